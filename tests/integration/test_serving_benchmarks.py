"""The load, the soak and the report of serving, on a server of this process: they see what is right and what is not."""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import load, serving
from benchmarks.client import WorkerError
from benchmarks.serving_page import page
from benchmarks.serving_results import Record, load_records
from benchmarks.soak import KINDS, Soak, growth, known_cases
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.settings import ServerSettings
from live_server import Live, live_server


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    ready = {"tiny": LanguageModel.load("tiny", threads=1)}
    settings = ServerSettings(port=0, max_output_tokens=100_000)
    with live_server({"tiny": "tiny"}, settings=settings, ready=ready) as server:
        yield server


def test_a_load_counts_tokens_and_what_is_lost(live: Live) -> None:
    def body(number: int) -> dict:
        wrong = {"max_tokens": -1} if number == 3 else {}
        return {"max_tokens": 5, "min_tokens": 5, "stream_options": {"include_usage": True}, **wrong}

    found = load.measure(live.url, body, clients=3, each=2)
    assert found.tokens == 5 * 5
    assert len(found.first) == 5
    assert all(0 < seconds < found.seconds for seconds in found.first)
    (lost,) = found.lost
    assert "max_tokens = -1 is not possible" in lost


def test_percentiles() -> None:
    found = load.Load(100, 4.0, [0.3, 0.1, 0.2, 0.9], [])
    assert (found.rate, found.percentile(0.5), found.percentile(0.99)) == (25.0, 0.2, 0.9)
    assert math.isnan(load.Load(0, 1.0, [], ["x"]).percentile(0.5))


def test_a_click_goes_on_from_the_likeliest_token(live: Live) -> None:
    load.clicks(live.url, [1], 1)  # the model is loaded
    before = live.model("tiny").scheduler.prefixes.statistics().found_tokens
    assert len(load.clicks(live.url, list(range(40, 80)), 3)) == 3
    assert live.model("tiny").scheduler.prefixes.statistics().found_tokens - before >= 40 + 41 + 42 - 3
    assert len(load.nothing(live.url, 4)) == 4


def soaked(live: Live, lm: LanguageModel, *, spoilt: bool) -> Soak:
    cases = known_cases(lm, 6, random.Random(1))
    if spoilt:
        for case in cases:
            case.texts[0] += "!"
    nexts = [(c.body["prompt"], [i for i, _, _ in lm.next_tokens(c.body["prompt"], k=5)]) for c in cases]
    soak = Soak(live.url, cases, nexts, time.monotonic())

    async def clients() -> None:
        await asyncio.gather(*(soak.act(kind, random.Random(i)) for kind in KINDS for i in range(3)))

    asyncio.run(clients())
    return soak


def test_a_soak_finds_nothing_wrong(live: Live, lm: LanguageModel) -> None:
    soak = soaked(live, lm, spoilt=False)
    assert soak.wrong == []
    assert soak.seen == dict.fromkeys(KINDS, 3)


def test_a_soak_finds_what_is_wrong(live: Live, lm: LanguageModel) -> None:
    said = soaked(live, lm, spoilt=True).wrong
    assert sum("instead of" in line for line in said) == 6  # three whole, three streamed


def test_growth_is_judged_after_the_warm_up() -> None:
    flat = [(float(i), 100 if i >= 3 else 10) for i in range(12)]
    assert growth(flat) == (100, 100, 0.0)
    rising = [(float(i), 100 + 10 * i) for i in range(13)]
    first, last, grown = growth(rising)
    assert grown == pytest.approx(last / first - 1) and grown > 0.3


SHAPE = (32, 32, 64)


def test_the_report_forms_ratios_within_rounds(tmp_path: Path) -> None:
    record = Record(tmp_path, "124M, random", "int8", 2, SHAPE)
    served = {"first_median": 0.1, "first_p99": 0.2, "lost": 0}
    for number, (engine, server, openvino, theirs) in enumerate(
        [(200, 100, 50, 10), (100, 90, 30, 10), (400, 100, 10, 5)]
    ):
        record.add("engine", number, {"rate": float(engine)})
        record.add("server", number, {**served, "rate": float(server)})
        record.add("openvino", number, {"rate": float(openvino), "way": "PA"})
        record.add("transformers", number, {**served, "lost": 1, "rate": float(theirs), "way": "float32"})
    record.click({"click": 0.012, "nothing": 0.002, "step": 0.008, "context": 500})
    text = page(load_records(tmp_path))
    assert "## 124M, random, int8" in text
    assert "| gpt2lab serve | 100 |  |  |" in text
    assert "| its engine alone | 200 | 0.50 x |  |" in text
    assert "| OpenVINO GenAI | 30 | 3.00 x | PA |" in text
    assert "| transformers serve | 10 | 10.00 x | float32 |" in text
    assert "gpt2lab serve: median 0.100 s, 99 % within 0.200 s; 0 answers lost." in text
    assert "transformers serve: median 0.100 s, 99 % within 0.200 s; 3 answers lost." in text
    assert re.search(r"500 tokens: 12\.0 ms, .* 2\.0 ms;\nthe rest is 1\.25 x a step of the engine \(8\.0 ms\)", text)


def test_a_contestant_that_fails_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: dict[str, list[int]] = {"engine": [], "server": [], "openvino": [], "transformers": []}

    def measure(name: str, fails_in: int) -> Callable[[int], dict]:
        def one(number: int) -> dict:
            rounds[name].append(number)
            if number == fails_in:
                raise WorkerError(f"{name} is not installed\nand more")
            return {"rate": 10.0 * number, "first_median": 0.1, "first_p99": 0.2, "lost": 0}

        return one

    wanted = {"engine": 9, "server": 9, "openvino": 1, "transformers": 2}
    monkeypatch.setattr(serving, "contestants", lambda *_: {n: measure(n, fails) for n, fails in wanted.items()})
    monkeypatch.setattr(serving, "click", lambda *_: {"click": 2.0, "nothing": 1.0, "step": 1.0, "context": 500})
    record = Record(tmp_path, "embedded", "fp32", 2, SHAPE)
    nobody = serving.Fastest("", [], lambda _: 0.0)
    work = serving.Work(tmp_path, tmp_path, 2)
    serving.compare(work, serving.Model("embedded", tmp_path, "tiny"), record, nobody, time.monotonic() + 3600)
    assert rounds == {"engine": [1, 2, 3], "server": [1, 2, 3], "openvino": [1], "transformers": [1, 2]}
    text = page(load_records(tmp_path))
    assert "| its engine alone | 20 | 1.00 x |  |" in text
    assert "| transformers serve | 10 | 1.00 x |  |" in text  # of the round that it has finished
    assert "OpenVINO GenAI is missing: openvino is not installed\n" in text
    assert "transformers serve is missing: transformers is not installed\n" in text


def test_when_the_time_is_over_a_round_has_been_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(serving, "contestants", lambda *_: {"engine": lambda n: seen.append(n) or {"rate": 1.0}})
    monkeypatch.setattr(serving, "click", lambda *_: {})
    record = Record(tmp_path, "embedded", "fp32", 2, SHAPE)
    nobody = serving.Fastest("", [], lambda _: 0.0)
    serving.compare(serving.Work(tmp_path, tmp_path, 2), serving.Model("", tmp_path, ""), record, nobody, 0.0)
    assert seen == [1]


def test_the_fastest_way_is_tried_once_and_ways_that_fail_are_left_out() -> None:
    tried: list[str] = []

    def rate(way: str) -> float:
        tried.append(way)
        if way == "c":
            raise OSError("no such program")
        return {"a": 1.0, "b": 3.0}[way]

    fastest = serving.Fastest("peer", ["a", "b", "c"], rate)
    assert (fastest.way(), fastest.way()) == ("b", "b")
    assert tried == ["a", "b", "c"]
    with pytest.raises(WorkerError, match="c: no such program"):
        serving.Fastest("peer", ["c"], rate).way()
    with pytest.raises(WorkerError, match="no answer came: "):
        serving.of_load(load.Load(0, 1.0, [], ["500"]))

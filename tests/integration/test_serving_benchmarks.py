"""The load, the soak and the report of serving, on a server of this process: they see what is right and what is not."""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Iterator

import pytest

from benchmarks import load
from benchmarks.serving_page import page
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


def test_the_report_forms_ratios_within_rounds() -> None:
    def served(*rates: float, lost: int = 0, way: str = "") -> list[dict]:
        return [{"rate": r, "first_median": 0.1, "first_p99": 0.2, "lost": lost, "way": way} for r in rates]

    found = {
        "engine": [200.0, 100.0, 400.0], "server": served(100, 90, 100), "absent": "",
        "openvino": served(50, 30, 10, way="PA"), "transformers": served(10, 10, 5, lost=1, way="float32"),
        "click": {"click": 0.012, "nothing": 0.002, "step": 0.008, "context": 500},
    }  # fmt: skip
    text = page({("124M", "int8"): found}, 2, 3, (32, 32, 64))
    assert "## 124M, int8" in text
    assert "| gpt2lab serve | 100 |  |  |" in text
    assert "| its engine alone | 200 | 0.50 x |  |" in text
    assert "| OpenVINO GenAI | 30 | 3.00 x | PA |" in text
    assert "| transformers serve | 10 | 10.00 x | float32 |" in text
    assert "gpt2lab serve: median 0.100 s, 99 % within 0.200 s; 0 answers lost." in text
    assert "transformers serve: median 0.100 s, 99 % within 0.200 s; 3 answers lost." in text
    assert re.search(r"500 tokens: 12\.0 ms, .* 2\.0 ms;\nthe rest is 1\.25 x a step of the engine \(8\.0 ms\)", text)
    absent = page({("124M", "fp32"): {**found, "openvino": [], "absent": "no converter"}}, 2, 3, (32, 32, 64))
    assert "OpenVINO is missing: no converter" in absent

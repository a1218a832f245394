"""The benchmark's arithmetic and its report: statistics, limits, choices, and every number on the page."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import benchmarks.rounds as rounds
from benchmarks import install, summary, workload
from benchmarks.client import Reply, WorkerError
from benchmarks.engines import Engine, chosen, entrants, every_engine, installed
from benchmarks.limits import AHEAD, STREAMS, Limits
from benchmarks.machine import Moment, description
from benchmarks.page import PLOTS, page
from benchmarks.plots import draw
from benchmarks.report import Facts
from benchmarks.results import Result, Store
from benchmarks.rounds import Turns
from benchmarks.summary import Spread
from benchmarks.workload import GROUPS, SIZES, Case
from gpt2lab.engine.native import Precision
from gpt2lab.model.config import GPT2Config, preset

ROOT = Path(__file__).parents[2]
MACHINE = {"processor": "a processor"}


# ---- arithmetic ----------------------------------------------------------------------------------------------


def test_ratios_are_formed_within_rounds() -> None:
    ours, theirs = {1: 10.0, 2: 30.0, 3: 9.0}, {1: 5.0, 2: 10.0, 4: 1.0}
    assert summary.ratio(ours, theirs) == Spread(2.5, 2.0, 3.0)
    assert summary.ratio(ours, {7: 1.0}) is None
    assert summary.ratio(ours, {1: 0.0}) is None


def test_a_decode_rate_leaves_the_first_token_out() -> None:
    assert summary.decode_rate(8, 11, 0.5, 4.5) == 20.0
    assert summary.decode_rate(1, 11, math.nan, 5.0) == 2.0


def test_the_streaming_part_is_bytes_of_weights_over_bandwidth() -> None:
    assert summary.streaming_part({1: 100.0}, 150_000_000, {1: 20e9}) == Spread(0.75, 0.75, 0.75)


def test_operations_of_a_prompt_are_those_of_its_matrices() -> None:
    config = GPT2Config(vocab_size=11, n_positions=16, n_embd=8, n_layer=3, n_head=2, n_inner=24)
    tokens = 5
    matrices = [shape for name, shape in config.tensor_shapes().items() if ".h." in name and len(shape) == 2]
    expected = sum(2 * tokens * rows * columns for rows, columns in matrices) + 2 * 8 * 11
    pairs = tokens * (tokens + 1) // 2
    expected += config.n_layer * config.n_head * pairs * 2 * 2 * (config.n_embd // config.n_head)
    assert summary.prompt_operations(config, tokens) == expected


def test_tokens_may_part_at_a_tie() -> None:
    assert summary.first_difference([1, 2, 3], [1, 2, 3]) is None
    assert summary.first_difference([1, 2, 3], [1, 5, 3]) == 1
    assert summary.gap_explains([0.0, 1.0, 0.99], 1, 2, 0.02)
    assert not summary.gap_explains([0.0, 1.0, 0.99], 1, 2, 0.001)
    assert not summary.gap_explains([0.0, 1.0, 0.99], 0, 1, 0.5)


# ---- what is measured ----------------------------------------------------------------------------------------


def test_prompts_differ_in_every_row_and_round() -> None:
    case = Case(group="decode", batch=64)
    rows = [tuple(row) for seed in (1, 1000, 1001, 2000) for row in workload.prompts(case, seed)]
    assert len(set(rows)) == len(rows) == 256
    assert len({row[:4] for row in rows}) == 256
    assert all(len(row) == case.context for row in rows)
    assert 0 <= min(map(min, rows)) <= max(map(max, rows)) < GPT2Config().vocab_size - 1


def test_cases_have_names_of_their_own_and_fit_the_model() -> None:
    cases = list(workload.cases(GROUPS, tuple(SIZES), 2))
    assert len({case.key for case in cases}) == len(cases)
    assert {case.group for case in cases} == set(GROUPS)
    assert {case.kind for case in cases} == {"single", "batch", "prompt", "cold"}
    assert all(case.context + case.new <= preset(SIZES[case.size]).n_positions for case in cases)
    assert [case.size for case in workload.cases(("size",), ("355M", "774M"), 2)] == ["355M", "774M"]


@pytest.mark.parametrize(("limit", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_threads_double_up_to_the_limit(limit: int, counts: list[int]) -> None:
    assert workload.powers_of_two(limit) == counts


def test_every_precision_of_the_engine_takes_part() -> None:
    ours = [engine for engine in every_engine() if engine.ours]
    assert {engine.form for engine in ours} == set(get_args(Precision)) - {"auto"}
    assert {engine.width for engine in every_engine()} <= {"fp32", "bf16", "int8", "int4"}
    assert all(engine.kind.variants() for engine in every_engine())


def test_engines_are_chosen_by_name() -> None:
    names = [engine.name for engine in chosen(["openvino", "gpt2lab:int8"], ["openvino:fp32"])]
    assert names == ["gpt2lab int8", "OpenVINO bf16", "OpenVINO int8", "OpenVINO int4"]
    with pytest.raises(ValueError, match=r"'gptlab' is no engine; there are .*gpt2lab, gpt2lab:bf16, .*transformers"):
        chosen([], ["gptlab"])


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("openvino", "int8")
    monkeypatch.setattr(engine.kind, "package", "no-such-package-at-all")
    assert installed([engine]) == ([], {"OpenVINO int8": "no-such-package-at-all is not installed"})


def test_sampling_is_ours_alone_and_scaling_is_for_few() -> None:
    engines = every_engine()
    assert all(engine.ours for engine in entrants(Case(group="sampling"), engines))
    few = entrants(Case(group="batch"), engines)
    assert any(engine.ours for engine in few)
    assert len(few) < len(engines) == len(entrants(Case(group="decode"), engines))


# ---- taking turns --------------------------------------------------------------------------------------------


def replying(value: Any = None) -> Any:
    return lambda seed: Reply(value if value is not None else seed, 1.0, 0.1)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make others use as much of the machine as this list says, then nothing; nobody waits."""
    shares: list[float] = []
    monkeypatch.setattr(rounds, "SETTLE", 0.0)
    monkeypatch.setattr(Moment, "share_of_others", lambda _self, _cpu: shares.pop(0) if shares else 0.0)
    return shares


@pytest.mark.usefixtures("quiet")
def test_everyone_has_a_turn_a_round_and_nobody_is_always_first() -> None:
    order: list[str] = []

    def ask(name: str) -> Any:
        def measure(seed: int) -> Reply:
            order.append(name)
            return Reply(seed, 1.0, 0.1)

        return measure

    samples, failed = Turns(rounds=2, steady=0.0).take({name: ask(name) for name in "abc"})
    assert "".join(order) == "abc" + "bca" + "cab"
    assert [(s.entrant, s.round) for s in samples] == [(n, 1) for n in "bca"] + [(n, 2) for n in "cab"]
    assert {s.reply.value for s in samples} == {1000, 2000}
    assert failed == {}


@pytest.mark.usefixtures("quiet")
def test_who_fails_is_left_out_with_what_it_did_before() -> None:
    def failing(seed: int) -> Reply:
        if seed >= 2000:
            raise WorkerError("out of memory")
        return Reply(seed, 1.0, 0.1)

    samples, failed = Turns(rounds=3, steady=0.0).take({"good": replying(), "bad": failing})
    assert [s.entrant for s in samples] == ["good"] * 3
    assert failed == {"bad": "out of memory"}


def test_a_disturbed_measurement_is_repeated_and_the_least_disturbed_counts(quiet: list[float], tmp_path: Path) -> None:
    quiet += [0.3, 0.1, 0.01]
    samples, _ = Turns(rounds=1, steady=0.0, lock=tmp_path / "lock").take({"one": replying()})
    assert [(s.reply.value, s.others) for s in samples] == [(1018, 0.01)]
    quiet += [0.3]
    samples, _ = Turns(rounds=1, steady=0.0, patience=0.0).take({"one": replying()})
    assert [(s.reply.value, s.others) for s in samples] == [(1000, 0.3)]


@pytest.mark.usefixtures("quiet")
def test_what_is_short_is_measured_until_a_second_is_full_and_the_median_counts() -> None:
    seconds = iter([0.3, 0.2, 0.4, 0.25])
    samples, _ = Turns(rounds=1, steady=0.0).take(
        {"one": lambda seed: Reply(seed, next(seconds) if seed > 0 else 1.0, 0.1)}
    )
    assert [(s.reply.value, s.reply.seconds) for s in samples] == [(1000, 0.3)]
    samples, _ = Turns(rounds=1, steady=0.0).take({"one": lambda seed: Reply(seed, 0.001, 0.1)})
    assert len(samples) == 1


@pytest.mark.usefixtures("quiet")
def test_an_entrant_warms_up_until_it_gets_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(rounds.time, "monotonic", lambda: clock[0])
    asked: list[int] = []

    def ask(seed: int) -> Reply:
        asked.append(seed)
        clock[0] += 1.0
        return Reply(seed, max(10.0 - len(asked), 5.0), 0.1)  # the fifth is as fast as it gets

    Turns(rounds=1, steady=3.0).take({"one": ask})
    assert asked == [-1, -2, -3, -4, -5, -6, -7, -8, 1000]
    asked.clear()
    Turns(rounds=1, steady=3.0, longest=2.0).take({"one": ask})
    assert asked == [-1, -2, 1000]


def test_our_own_work_is_not_others() -> None:
    before = Moment.now()
    assert before.share_of_others(0.0) >= 0.0
    assert before.share_of_others(1e6) == 0.0
    assert Moment(before.wall, math.nan).share_of_others(0.0) == 0.0
    assert description()["cores"].isdigit()


# ---- limits of the machine -----------------------------------------------------------------------------------


def test_limits_compile_and_measure(tmp_path: Path) -> None:
    limits = Limits(str(tmp_path), 2)
    assert limits.stream(1 << 22) > 1e8
    assert limits.arithmetic("fp32") > 1e8
    assert limits.arithmetic("AMX int8") >= 0
    (built,) = tmp_path.glob("limits-*.so")
    stamp = built.stat().st_mtime_ns
    Limits(str(tmp_path), 1)
    assert built.stat().st_mtime_ns == stamp
    assert 0 in AHEAD
    assert 1 in STREAMS


# ---- installing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-export.txt"])
def test_requirements_are_pinned(name: str) -> None:
    lines = install.requirements(ROOT / "benchmarks" / name)
    assert lines
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines)
    assert "torch==2.13.0" in lines


def test_llama_cpp_is_built_for_the_processors_flags() -> None:
    flags = ["fpu", "avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_int8"]
    with_amx = "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON"
    assert install.llama_switches(flags, amx=False) == {"CMAKE_ARGS": with_amx}
    assert install.llama_switches(flags, amx=True) == {
        "CMAKE_ARGS": f"{with_amx} -DGGML_AMX_TILE=ON -DGGML_AMX_INT8=ON"
    }


# ---- the report ----------------------------------------------------------------------------------------------


def detail(title: str, form: str, width: str, **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "form": form,
        "width": width,
        "ours": title == "gpt2lab",
        "settings": "plain",
        "version": "1.0 (a build)",
        "weight_bytes": 100_000_000,
        "memory": 250_000_000,
        **more,
    }


def sample(entrant: str, number: int, seconds: float, first: float = 1.0, others: float = 0.0) -> dict[str, Any]:
    return {"entrant": entrant, "round": number, "others": others, "first": first, "seconds": seconds}


def limit(entrant: str, number: int, rate: float) -> dict[str, Any]:
    return {"entrant": entrant, "round": number, "others": 0.0, "rate": rate}


def result(case: Case, samples: list[dict[str, Any]], **more: Any) -> Result:
    details = {
        "gpt2lab int8": detail("gpt2lab", "int8", "int8"),
        "Peer q8": detail("Peer", "q8", "int8"),
        "Peer q4": detail("Peer", "q4", "int4", settings="fast"),
    }
    return Result(case, {"case": {}, "failed": {}, "details": details, "samples": samples, **more})


def decoded(batch: int = 1) -> Result:
    samples = [
        sample("Peer q8", 1, 64.0), sample("gpt2lab int8", 1, 22.0), sample("Peer q4", 1, 2.0),
        sample("Peer q8", 2, 127.0), sample("gpt2lab int8", 2, 64.0), sample("Peer q4", 2, 2.0, others=0.2),
        limit("limit stream 100000000", 1, 600e6), limit("limit stream 100000000", 2, 400e6),
    ]  # fmt: skip
    return result(Case(group="decode", batch=batch), samples)


def test_the_table_of_decoding() -> None:
    text = page([decoded(8), decoded()], Facts(machine=MACHINE), [])
    # ours: 63 tokens in 21 and 63 s; the peer: in 63 and 126 s; so 3 and 2 times as fast, round for round
    assert "| **gpt2lab int8** | 2.00 | 1.00 – 3.00 |  | 100 | 38% | 250 |" in text
    assert "| Peer q8 | 0.75 | 0.50 – 1.00 | 2.50 × | 100 | 15% | 250 |" in text
    assert "| Peer q4 | 63.0 | 63.0 – 63.0 | – | 100 |" in text
    assert "0.5 GB/s from 100 MB" in text
    assert "| Peer q8 | 6.00 | 4.00 – 8.00 | 2.50 × |\n" in text  # batch 8 has no limit
    assert text.index("### Batch 1") < text.index("### Batch 8")
    assert "During 2 of 16 measurements other programs used more than 5% of the\nmachine, 20% at most." in text
    assert "- processor: a processor" in text


def test_the_table_of_a_prompt() -> None:
    case = Case(group="prompt", context=1000, new=1)
    operations = summary.prompt_operations(preset("gpt2"), 1000)
    samples = [
        sample("gpt2lab int8", 1, 1.0), sample("Peer q8", 1, 2.0), sample("Peer q4", 1, 4.0),
        limit("limit product int8", 1, 2 * operations), limit("limit product fp32", 1, operations),
        limit("limit arithmetic fp32", 1, 5e9), limit("limit arithmetic AMX int8", 1, 0.0),
    ]  # fmt: skip
    text = page([result(case, samples)], Facts(machine=MACHINE), [])
    giga = operations / 1e9
    assert f"| **gpt2lab int8** | 1,000 | 1,000 – 1,000 |  | {giga:,.0f} | 50% |" in text
    assert f"| Peer q8 | 2,000 | 2,000 – 2,000 | 2.00 × | {giga / 2:,.0f} | 25% |" in text
    assert f"large products: int8 {2 * giga:,.0f}, fp32 {giga:,.0f}." in text
    assert "in registers alone: fp32 5." in text  # what the processor lacks is not told


def test_cold_starts_sampling_and_scaling_are_shown() -> None:
    cold = result(Case(group="cold", new=1, cold=True), [sample("gpt2lab int8", 1, 0.3), sample("Peer q8", 1, 1.2)])
    sampling = result(
        Case(group="sampling"), [sample("gpt2lab int8", 1, 64.0), sample("gpt2lab int8, sampled", 1, 65.26)]
    )
    scaled = [
        result(Case(group="batch", batch=batch), [sample("gpt2lab int8", 1, 1.0 + 63.0 / (1 + batch // 2))])
        for batch in (4, 1)
    ]
    text = page([cold, sampling, *scaled], Facts(machine=MACHINE), ["benchmarks-scaling.png"])
    assert "| **gpt2lab int8** | 0.30 | 0.30 – 0.30 |  |" in text
    assert "| Peer q8 | 1.20 | 1.20 – 1.20 | 4.00 × |" in text
    assert "| **gpt2lab int8** | 1.00 | 0.98 | 2.0% |" in text
    assert "| engine | 1 | 4 |\n" in text
    assert "| **gpt2lab int8** | 1.00 | 12.0 |" in text
    assert "(images/benchmarks-scaling.png)" in text
    assert "(images/benchmarks-engines.png)" not in text


def test_the_page_says_what_was_tried_and_what_is_missing() -> None:
    facts = Facts(
        machine=MACHINE,
        agreement={"Peer f32": "logits differ by at most 1.0e-05"},
        tried={"Peer q4": ["plain", "fast"], "Peer q8": ["plain"]},
        absent={"Other int8": "other is not installed"},
    )
    failed = result(Case(group="decode"), [], failed={"Peer q2": "no such weights"})
    text = page([decoded(), failed], facts, [])
    assert "gpt2lab 1.0, Peer 1.0." in text
    assert "| engine | single |\n" in text
    assert "| Peer q4 | fast |\n" in text
    assert "- Tried with Peer q4: plain; fast.\n" in text
    assert "Tried with Peer q8" not in text
    assert "- Peer f32: logits differ by at most 1.0e-05" in text
    assert "- Other int8: other is not installed" in text
    assert "- Peer q2, decode (batch 1, context 32, 124M): no such weights" in text


def test_the_page_without_results_has_no_tables() -> None:
    text = page([], Facts(machine=MACHINE), [])
    assert "| engine" not in text
    assert "## Not measured" not in text


def test_results_are_kept_and_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert store.load() == []
    values = {"case": {"group": "prompt", "new": 1}, "failed": {}, "details": {}}
    for seconds in (5.0, 3.0):
        store.save({**values, "samples": [sample("one", 1, seconds, first=math.nan)]})
    (loaded,) = store.load()
    assert loaded.case == Case(group="prompt", new=1)
    assert loaded.seconds("one") == {1: 3.0}
    assert np.isnan(loaded.values["samples"][0]["first"])
    assert loaded.names == ["one"]


def test_plots_are_small_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    scaled = [result(Case(group="batch", batch=b), [sample("gpt2lab int8", 1, 2.0)]) for b in (1, 2)]
    assert draw([decoded(), decoded(8), *scaled], tmp_path) == list(PLOTS)
    for name in PLOTS:
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 100_000

"""The determinism contract: the same model, precision, seed and parameters give the same tokens, bit for bit.

One test per claim: batch size, neighbours, threads, prefill chunks, streaming, instruction set, number of samples,
continuation, coming and going, known beginnings, guessing ahead. Log-probabilities are compared as well: equal bits,
not close numbers.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from gpt2lab import _native
from gpt2lab.engine.beam import beam_search
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.running import Limits
from gpt2lab.engine.scheduler import Scheduler
from gpt2lab.model.config import GPT2Config
from random_gpt2 import MODEL, native

PARAMS = SamplingParams(
    max_new_tokens=40,
    temperature=0.9,
    top_k=30,
    top_p=0.95,
    repetition_penalty=1.1,
    seed=7,
    stop_ids=(),
    top_logprobs=2,
)
LONG = dataclasses.replace(MODEL, n_positions=500)
"""Wide enough that a prompt is fed in several chunks."""


def prompt(length: int, seed: int = 0) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(MODEL.vocab_size, size=length).astype(np.int32)


def run(backend: NativeBackend, jobs: list[Job], **options: int) -> list[Output]:
    batch = Batch(backend, jobs, **options)
    for _ in batch:
        pass
    return [batch.output(i) for i in range(len(jobs))]


@pytest.fixture(params=["fp32", "bf16", "int8", "int4"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


JOBS = [Job(prompt(length, length), PARAMS, sample) for sample, length in enumerate((1, 3, 17, 60, 2, 33, 9))]


def test_batch_size_changes_nothing(precision: str) -> None:
    backend = native(MODEL, precision=precision)
    alone = [run(backend, [job])[0] for job in JOBS]
    for size in (1, 2, 3, len(JOBS)):
        assert run(backend, JOBS, batch_size=size) == alone


def test_neighbours_change_nothing(precision: str) -> None:
    backend = native(MODEL, precision=precision)
    alone = run(backend, [JOBS[2]])[0]
    others = [
        Job(prompt(50, s), dataclasses.replace(PARAMS, temperature=1.5, seed=s, max_new_tokens=s * 7), s)
        for s in range(1, 6)
    ]
    for place in range(len(others) + 1):
        assert run(backend, [*others[:place], JOBS[2], *others[place:]])[place] == alone


def test_threads_change_nothing(precision: str) -> None:
    outputs = [run(native(MODEL, precision=precision, threads=n), JOBS) for n in (1, 2, 3)]
    assert outputs[0] == outputs[1] == outputs[2]


def test_prefill_chunks_change_nothing(precision: str) -> None:
    backend = native(LONG, precision=precision)
    ids = prompt(450)
    whole = backend.new_cache()
    expected = backend.forward([whole], [ids], all_positions=True)
    for size in (1, 7, 191, 192, 193):
        cache = backend.new_cache()
        parts = [backend.forward([cache], [ids[i : i + size]], all_positions=True) for i in range(0, len(ids), size)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        assert cache.length == whole.length
    cache = backend.new_cache()
    backend.feed(cache, ids[:333])
    np.testing.assert_array_equal(backend.forward([cache], [ids[333:]]), expected[-1:])


def test_streaming_changes_nothing(precision: str) -> None:
    backend = native(MODEL, precision=precision)
    expected = run(backend, JOBS)
    batch = Batch(backend, JOBS, max_burst=1)
    seen: list[list[int]] = [[] for _ in JOBS]
    for step in batch:
        assert len(step.ids) <= 1
        seen[step.job] += step.ids
    assert seen == [o.ids for o in expected]


def test_the_instruction_set_changes_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    for isa in _native.available_isas():
        monkeypatch.setenv("GPT2LAB_ISA", isa)
        backend = native(MODEL, precision=precision)
        assert isa in backend.description
        outputs.append(run(backend, JOBS))
    assert all(o == outputs[0] for o in outputs)


def test_beams_keep_the_contract(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = dataclasses.replace(PARAMS, num_beams=4, top_logprobs=0)
    outputs = []
    for isa in _native.available_isas():
        monkeypatch.setenv("GPT2LAB_ISA", isa)
        for threads in (1, 2):
            outputs.append(
                beam_search(native(MODEL, precision=precision, threads=threads), prompt(9), params, num_return=4)
            )
    assert all(o == outputs[0] for o in outputs)


def test_the_number_of_samples_changes_nothing(precision: str) -> None:
    """Samples of one prompt share its computation; each is what it would be alone."""
    backend = native(MODEL, precision=precision)
    shared = prompt(25)
    many = run(backend, [Job(shared, PARAMS, s) for s in range(6)], batch_size=4)
    assert len({tuple(o.ids) for o in many}) == 6
    for sample, output in enumerate(many):
        assert run(backend, [Job(shared.copy(), PARAMS, sample)])[0] == output


def test_a_continued_text_is_the_longer_text(precision: str) -> None:
    """Positions are counted from the prompt's beginning, and so is the window's, also beyond n_positions."""
    backend = native(MODEL, precision=precision)
    params = dataclasses.replace(PARAMS, max_new_tokens=150)
    whole = run(backend, [Job(prompt(20), params, 3)])[0].ids
    for cut in (1, 44, 45, 100):
        begun = np.concatenate([prompt(20), np.asarray(whole[:cut], np.int32)])
        rest = dataclasses.replace(params, max_new_tokens=150 - cut)
        assert run(backend, [Job(begun, rest, 3)])[0].ids == whole[cut:]


def test_coming_and_going_changes_nothing(precision: str) -> None:
    """Prompts are read in pieces while neighbours are cancelled and others join, in any order."""
    backend = native(MODEL, precision=precision, threads=2)
    expected = run(backend, JOBS)
    endless = dataclasses.replace(PARAMS, max_new_tokens=10**9)
    for step_tokens, order in ((3, JOBS), (20, JOBS[::-1]), (192, JOBS[3:] + JOBS[:3])):
        limits = Limits(max_running=4, step_tokens=step_tokens, report_seconds=0)
        with Scheduler(backend, limits=limits, prefixes=PrefixCache(0)) as scheduler:
            others = [scheduler.submit(Job(prompt(30 + n, n), endless, n)) for n in range(2)]
            tickets = {job.sample: scheduler.submit(job) for job in order}
            for other in others:
                next(iter(other))
                other.cancel()
            assert [tickets[job.sample].result() for job in JOBS] == expected


def test_a_known_beginning_changes_nothing(precision: str) -> None:
    backend = native(LONG, precision=precision, threads=2)
    jobs = [Job(prompt(450)[:length], PARAMS, length) for length in (450, 20, 21, 200, 333, 449, 450)]
    expected = [run(backend, [job])[0] for job in jobs]
    prefixes = PrefixCache()
    with Scheduler(backend, limits=Limits(max_running=2), prefixes=prefixes) as scheduler:
        assert [t.result() for t in scheduler.submit_all(jobs)] == expected
    assert prefixes.statistics().found_tokens >= 5 * 20


def test_guessing_ahead_changes_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(np.resize(prompt(3, n), 20 + n), dataclasses.replace(PARAMS, temperature=0.3 * n), n) for n in range(3)]
    guessing = [Job(j.prompt, dataclasses.replace(j.params, prompt_lookup_num_tokens=6), j.sample) for j in jobs]
    expected = run(native(MODEL, precision=precision), jobs)
    for isa in _native.available_isas():
        monkeypatch.setenv("GPT2LAB_ISA", isa)
        for threads in (1, 3):
            assert run(native(MODEL, precision=precision, threads=threads), guessing) == expected


def test_seeds_and_samples_give_different_texts() -> None:
    backend = native(MODEL)
    texts = {
        tuple(run(backend, [Job(prompt(5), dataclasses.replace(PARAMS, seed=s), n)])[0].ids)
        for s in range(4)
        for n in range(4)
    }
    assert len(texts) == 16


def test_a_config_of_odd_sizes_keeps_the_contract() -> None:
    config = GPT2Config(
        vocab_size=101, n_positions=7, n_embd=33, n_layer=1, n_head=3, n_inner=50, bos_token_id=0, eos_token_id=0
    )
    params = dataclasses.replace(PARAMS, logit_bias={}, max_new_tokens=30)
    jobs = [Job(prompt(n, n) % 101, params, n) for n in (1, 2, 6, 7, 8, 20)]
    outputs = [run(native(config, threads=n), jobs, batch_size=b) for n, b in ((1, 1), (2, 6))]
    assert outputs[0] == outputs[1]

"""Generation: ends, windows, limits, order, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import random_gpt2
from gpt2lab.engine.beam import beam_search
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output, check_prompt
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.errors import CheckpointError, ConfigError, RequestError
from random_gpt2 import MODEL, native, weights_of

GREEDY = SamplingParams(temperature=0.0, max_new_tokens=12, stop_ids=())


def ids(*values: int) -> Any:
    return np.asarray(values, np.int32)


def run(backend: NativeBackend, *jobs: Job, **options: Any) -> list[Output]:
    batch = Batch(backend, jobs, **options)
    for _ in batch:
        pass
    return [batch.output(i) for i in range(len(jobs))]


def changed(**values: Any) -> SamplingParams:
    return GREEDY.replaced(values)


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL)


def test_lengths_and_reasons(backend: NativeBackend) -> None:
    whole = run(backend, Job(ids(5, 6), GREEDY))[0]
    assert len(whole.ids) == len(whole.logprobs) == 12
    assert whole.finish == "length"
    end = whole.ids[4]
    ended = run(backend, Job(ids(5, 6), changed(stop_ids=(end,))))[0]
    assert ended.ids == whole.ids[: whole.ids.index(end)]
    assert len(ended.logprobs) == len(ended.ids)
    assert ended.finish == "eos"
    later = run(backend, Job(ids(5, 6), changed(stop_ids=(end,), min_new_tokens=12)))[0]
    assert end not in later.ids
    assert len(later.ids) == 12
    assert run(backend, Job(ids(5), changed(max_new_tokens=0)))[0] == Output([], [], [], "length")


def test_logprobs_are_the_models_own(backend: NativeBackend) -> None:
    params = changed(temperature=0.6, top_k=3, repetition_penalty=1.5, top_logprobs=4)
    output = run(backend, Job(ids(5, 6), params))[0]
    whole = ids(5, 6, *output.ids)
    logits = backend.forward([backend.new_cache()], [whole], all_positions=True).astype(np.float64)[1:-1]
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(output.logprobs, expected[np.arange(12), output.ids], atol=1e-5)
    for row, best in zip(expected, output.top_logprobs, strict=True):
        order = np.argsort(-row)[:4]
        assert [i for i, _ in best] == order.tolist()
        np.testing.assert_allclose([p for _, p in best], row[order], atol=1e-5)


def test_one_text_that_ends_does_not_stop_its_neighbours(backend: NativeBackend) -> None:
    first = run(backend, Job(ids(5, 6), GREEDY))[0]
    short = changed(stop_ids=(first.ids[0],))
    outputs = run(backend, Job(ids(5, 6), short), Job(ids(9), GREEDY), Job(ids(5, 6), GREEDY))
    assert [len(o.ids) for o in outputs] == [0, 12, 12]
    assert outputs[2] == first


def test_the_callers_stop(backend: NativeBackend) -> None:
    batch = Batch(backend, [Job(ids(5), changed(max_new_tokens=1000)), Job(ids(6), GREEDY)], max_burst=1)
    for step in batch:
        if step.job == 0 and not step.finish:
            batch.stop(0)
    assert batch.output(0).finish == "stop"
    assert len(batch.output(0).ids) < 5
    assert batch.output(1).finish == "length"


def test_time_ends_a_text_in_one_piece(backend: NativeBackend) -> None:
    output = run(backend, Job(ids(5), changed(max_new_tokens=10**9, max_time=0.05)))[0]
    assert output.finish == "length"
    assert 0 < len(output.ids) < 10**6
    assert len(output.logprobs) == len(output.ids)


def test_an_unfinished_job_has_no_output(backend: NativeBackend) -> None:
    with pytest.raises(RequestError, match="Generation 0 has not finished"):
        Batch(backend, [Job(ids(5), GREEDY)]).output(0)


# ---- texts longer than the window ------------------------------------------------------------------------------


def by_hand(backend: NativeBackend, prompt: list[int], params: SamplingParams) -> list[int]:
    """Greedy generation that recomputes the stated window for every token."""
    n, out = backend.config.n_positions, list(prompt)
    stride = params.stride(n)
    for _ in range(params.max_new_tokens):
        start = 0 if len(out) <= n else -(-(len(out) - n) // stride) * stride
        logits = backend.forward([backend.new_cache()], [ids(*out[start:])])[0]
        out.append(int(logits.argmax()))
    return out[len(prompt) :]


@pytest.mark.parametrize("window", ["half", "recompute"])
@pytest.mark.parametrize("length", [1, 60, 64, 65, 200])
def test_the_window_moves_as_documented(backend: NativeBackend, window: str, length: int) -> None:
    prompt = np.random.default_rng(length).integers(MODEL.vocab_size, size=length).astype(np.int32)
    params = changed(window=window, max_new_tokens=80)
    assert run(backend, Job(prompt, params))[0].ids == by_hand(backend, prompt.tolist(), params)


def test_steps_end_with_a_text_so_that_another_can_take_its_place(backend: NativeBackend) -> None:
    texts = [
        backend.sequence(ids(5), changed(max_new_tokens=most, stop_ids=()), n) for n, most in enumerate((3, 10, 3))
    ]
    assert backend.decode(texts, 100) == 3
    assert [text.generated for text in texts] == [3, 3, 3]
    assert backend.decode(texts, 4) == 4
    assert backend.decode(texts, 100) == 3
    assert backend.decode(texts, 100) == 0


def test_5000_tokens_from_a_model_of_128_positions_in_bounded_memory() -> None:
    backend = native(dataclasses.replace(MODEL, n_positions=128))
    sequence = backend.sequence(ids(5), SamplingParams(max_new_tokens=5000, stop_ids=(), seed=1), 0)
    largest = 0
    while sequence.running:
        backend.decode([sequence], 100)
        largest = max(largest, sequence.cache_bytes)  # type: ignore[attr-defined]
    assert sequence.generated == 5000
    full = backend.new_cache()
    backend.feed(full, ids(*range(128)))
    assert largest == full.nbytes  # type: ignore[attr-defined]


def test_strict_windows_are_filled_and_not_passed(backend: NativeBackend) -> None:
    n = MODEL.n_positions
    output = run(backend, Job(ids(5, 6), changed(window="strict", max_new_tokens=n - 1)))[0]
    assert len(output.ids) == n - 1
    with pytest.raises(RequestError, match=r"2 tokens and 64 new ones do not fit the model's window of 64"):
        run(backend, Job(ids(5, 6), changed(window="strict", max_new_tokens=n)))
    params = changed(window="strict", num_beams=2, max_new_tokens=n)
    beams = beam_search(backend, ids(5, 6), params)
    assert len(beams[0].ids) == n - 1


def test_beams_pass_the_window_too(backend: NativeBackend) -> None:
    outputs = beam_search(backend, ids(5, 6), changed(num_beams=3, max_new_tokens=100), num_return=3)
    assert [len(o.ids) for o in outputs] == [100] * 3
    assert len({tuple(o.ids) for o in outputs}) == 3


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import numpy as np
from random_gpt2 import native
from gpt2lab.engine.params import SamplingParams

def tokens():
    sequence = backend.sequence(np.asarray([5], np.int32), SamplingParams(max_new_tokens=30, seed=1), 0)
    backend.decode([sequence], 30)
    return sequence.ids_from(1)

backend = native(threads=3)
expected = tokens()
child = os.fork()
if child == 0:
    same = tokens() == expected
    del backend
    os._exit(0 if same else 7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
child = os.fork()
if child == 0:
    del backend
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert tokens() == expected
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_goes_on_with_threads_of_its_own() -> None:
    helpers = Path(random_gpt2.__file__).parent
    subprocess.run([sys.executable, "-c", FORK, str(helpers)], check=True, timeout=60)


# ---- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"temperature": -1.0}, r"temperature = -1.0 must be 0 .* or a positive number"),
        ({"temperature": float("nan")}, "temperature = nan must be"),
        ({"temperature": "hot"}, "temperature = 'hot' must be"),
        ({"top_k": -1}, "top_k = -1 must be a whole number of at least 0"),
        ({"top_k": 2.5}, "top_k = 2.5 must be a whole number"),
        ({"top_k": True}, "top_k = True must be a whole number"),
        ({"top_p": 0.0}, r"top_p = 0.0 must be in \(0, 1\]; 1 keeps every token"),
        ({"top_p": 1.5}, "top_p = 1.5 must be in"),
        ({"min_p": 2}, "min_p = 2 must be in"),
        ({"typical_p": 0}, "typical_p = 0 must be in"),
        ({"repetition_penalty": 0}, "repetition_penalty = 0 must be positive"),
        ({"length_penalty": float("inf")}, "length_penalty = inf must be a number"),
        ({"no_repeat_ngram_size": -2}, "no_repeat_ngram_size = -2 must be"),
        ({"max_new_tokens": -5}, "max_new_tokens = -5 must be"),
        ({"min_new_tokens": 13}, "min_new_tokens = 13 is more than max_new_tokens = 12"),
        ({"num_beams": 0}, "num_beams = 0 must be a whole number of at least 1"),
        ({"seed": -1}, "seed = -1 must be"),
        ({"seed": 2**64}, r"seed = 18446744073709551616 must be below 2\*\*64"),
        ({"max_time": 0}, "max_time = 0 must be a positive number of seconds"),
        ({"top_p_rule": "hf"}, "top_p_rule = 'hf' is not one of 'inclusive', 'openai'"),
        ({"window": "full"}, "window = 'full' is not one of 'half', 'recompute', 'strict'"),
        ({"bad_words_ids": [[]]}, "bad_words_ids holds an empty sequence"),
        ({"logit_bias": {1: float("nan")}}, "logit_bias of token 1 = nan must be a number"),
        ({"top_logprobs": -1}, "top_logprobs = -1 must be"),
        ({"topk": 5}, r"Unknown option 'topk'. Did you mean 'top_k'\?"),
    ],
)
def test_impossible_values_are_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        GREEDY.replaced(values)


def test_ids_outside_the_vocabulary_are_named() -> None:
    with pytest.raises(RequestError, match=r"bad_words_ids names the token 900; the model's ids are 0 to 210"):
        SamplingParams(bad_words_ids=[[900]]).check_ids(211)
    with pytest.raises(RequestError, match="logit_bias names the token -1"):
        SamplingParams(logit_bias={-1: 1.0}).check_ids(211)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ([], "The prompt is empty; give at least one token"),
        ([1, 211], r"Token id 211 is not one of the model's: 0 to 210"),
        ([-1], "Token id -1 is not one"),
        ([[1, 2]], "must be one flat list"),
        (["a"], "must be a list of whole numbers"),
    ],
)
def test_impossible_prompts_are_named(prompt: list[Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        check_prompt(prompt, 211)


def test_batch_size_must_be_positive(backend: NativeBackend) -> None:
    for size in (0, -1, 1.5, True):
        with pytest.raises(RequestError, match=r"batch_size = .* must be a whole number of at least 1"):
            Batch(backend, [], batch_size=size)  # type: ignore[arg-type]


def test_a_ban_of_everything_is_named(backend: NativeBackend) -> None:
    nothing = changed(bad_words_ids=[[i] for i in range(MODEL.vocab_size)])
    with pytest.raises(RequestError, match="No token is possible"):
        run(backend, Job(ids(5), nothing))
    with pytest.raises(RequestError, match="No token is possible"):
        beam_search(backend, ids(5), nothing.replaced({"num_beams": 2}))


def test_damaged_weights_are_named() -> None:
    weights = weights_of(MODEL)
    weights["transformer.h.0.ln_1.weight"][3] = np.nan
    broken = NativeBackend(MODEL, weights)
    with pytest.raises(CheckpointError, match="not a number"):
        run(broken, Job(ids(5), GREEDY))
    with pytest.raises(CheckpointError, match="not a number"):
        beam_search(broken, ids(5), changed(num_beams=2))


def test_beams_cannot_return_more_than_there_are(backend: NativeBackend) -> None:
    with pytest.raises(RequestError, match="num_beams = 2 cannot return 3 texts"):
        beam_search(backend, ids(5), changed(num_beams=2), num_return=3)


def test_precision_threads_and_kernels_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"precision = 'fp23' is not one of auto, fp32, bf16, int8, int4. Did you mean 'fp32'\?"
    ):
        native(MODEL, precision="fp23")
    for threads in (0, -1, 1000, 1.5):
        with pytest.raises(ConfigError, match="must be a whole number from 1 to 256"):
            native(MODEL, threads=threads)
    monkeypatch.setenv("GPT2LAB_ISA", "avx1024")
    with pytest.raises(ConfigError, match=r"GPT2LAB_ISA=avx1024 is not one of this processor's kernels: .*portable"):
        native(MODEL)

"""Prompt lookup: the same tokens, log-probabilities and ends as without it, in fewer steps where a text repeats."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpt2lab import LanguageModel
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.errors import RequestError
from random_gpt2 import CONFIGS, MODEL, native

GREEDY = SamplingParams(temperature=0.0, max_new_tokens=150, stop_ids=(), top_logprobs=3)
REFRAIN = "The sea was calm. The sea was blue. The sea was calm. The sea was blue. The sea was calm. The sea"


def looking(params: SamplingParams, count: int = 5) -> SamplingParams:
    return params.replaced({"prompt_lookup_num_tokens": count})


def run(backend: NativeBackend, jobs: list[Job], **options: Any) -> list[Output]:
    batch = Batch(backend, jobs, **options)
    for _ in batch:
        pass
    return [batch.output(i) for i in range(len(jobs))]


def repeated(length: int, period: int, vocab: int = MODEL.vocab_size) -> npt.NDArray[np.int32]:
    """Return a prompt that repeats itself."""
    motif = np.random.default_rng(period).integers(vocab, size=period)
    return np.resize(motif, length).astype(np.int32)


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    return LanguageModel.load("tiny", threads=2)


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL, threads=2)


def both(backend: NativeBackend, prompt: npt.NDArray[np.int32], params: SamplingParams) -> list[Output]:
    return [run(backend, [Job(prompt, p)])[0] for p in (params, looking(params, 1), looking(params, 10))]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("prompt", [REFRAIN, "Once upon a time"])
def test_the_embedded_model_says_the_same(tiny: LanguageModel, prompt: str, temperature: float) -> None:
    ids = np.asarray(tiny.tokenizer.encode(prompt), np.int32)  # type: ignore[union-attr]
    plain, one, ten = both(tiny.backend, ids, GREEDY.replaced({"temperature": temperature, "seed": 3}))  # type: ignore[arg-type]
    assert plain == one == ten
    assert len(plain.ids) == 150


def test_a_text_that_repeats_itself_takes_fewer_steps(tiny: LanguageModel) -> None:
    ids = np.asarray(tiny.tokenizer.encode(REFRAIN), np.int32)  # type: ignore[union-attr]
    sequence = tiny.backend.sequence(ids, looking(GREEDY, 10), 0)
    steps = 0
    while sequence.running:
        tiny.backend.decode([sequence], 1)
        steps += 1
    guessed, kept = sequence.lookups
    assert steps + kept == sequence.generated == 150
    assert kept >= 75
    assert kept >= 0.5 * guessed


def test_nothing_is_guessed_unless_asked_for(backend: NativeBackend) -> None:
    sequence = backend.sequence(repeated(30, 3), GREEDY, 0)
    backend.decode([sequence], 200)
    assert sequence.lookups == (0, 0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", list(CONFIGS)[::3])
def test_models_of_every_shape_say_the_same(name: str, temperature: float) -> None:
    config = CONFIGS[name]
    backend = native(config, threads=2)
    params = GREEDY.replaced({"temperature": temperature, "max_new_tokens": 3 * config.n_positions + 5})
    for period in (1, 2, 5):
        plain, one, ten = both(backend, repeated(config.n_positions, period, config.vocab_size), params)
        assert plain == one == ten


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    ("window", "length"),
    [(w, n) for w in ("half", "recompute", "strict") for n in (3, 61, 63, 64, 70) if w != "strict" or n <= 64],
)
def test_at_the_end_of_the_window(precision: str, window: str, length: int) -> None:
    backend = native(MODEL, precision=precision)
    room = 65 - length if window == "strict" else 150
    params = GREEDY.replaced({"window": window, "max_new_tokens": room})
    plain, one, ten = both(backend, repeated(length, 2), params)
    assert plain == one == ten
    assert len(plain.ids) == room


@pytest.mark.parametrize(
    "values",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"no_repeat_ngram_size": 4},
        {"bad_words_ids": [[5, 6], [7]]},
        {"temperature": 0.8, "top_k": 5, "top_p": 0.9},
        {"temperature": 0.8, "typical_p": 0.5, "min_p": 0.01},
        {"max_new_tokens": 1},
        {"max_new_tokens": 7},
    ],
)
def test_every_way_to_choose_a_token(backend: NativeBackend, values: dict[str, Any]) -> None:
    plain, one, ten = both(backend, repeated(40, 4), GREEDY.replaced(values))
    assert plain == one == ten


def test_ends_inside_of_a_guess(backend: NativeBackend) -> None:
    plain = run(backend, [Job(repeated(40, 4), GREEDY)])[0].ids
    for end in dict.fromkeys(plain):
        for least in (0, 20, 100):
            params = GREEDY.replaced({"stop_ids": (end,), "min_new_tokens": least})
            without, one, ten = both(backend, repeated(40, 4), params)
            assert without == one == ten


def test_guessing_texts_and_others_side_by_side(backend: NativeBackend) -> None:
    jobs = [
        Job(repeated(5 + 9 * n, 1 + n % 4), dataclasses.replace(GREEDY, seed=n, temperature=0.0 if n % 3 else 0.9), n)
        for n in range(9)
    ]
    mixed = [Job(j.prompt, looking(j.params, 1 + i) if i % 2 else j.params, j.sample) for i, j in enumerate(jobs)]
    expected = [run(backend, [job])[0] for job in jobs]
    for size in (3, 9):
        assert run(backend, mixed, batch_size=size) == expected
    assert run(native(MODEL, threads=3), mixed, max_burst=1) == expected


def test_guesses_longer_than_a_chunk_of_rows() -> None:
    """What is computed together is cut into chunks; a guess may lie across the cut."""
    config = dataclasses.replace(MODEL, n_positions=700)
    backend = native(config, threads=2)
    prompts = [repeated(200 + 37 * n, 3) for n in range(4)]
    params = GREEDY.replaced({"max_new_tokens": 300})
    expected = [run(backend, [Job(p, params)])[0] for p in prompts]
    assert run(backend, [Job(p, looking(params, 250)) for p in prompts]) == expected


def test_a_text_whose_guesses_fail_stops_guessing(backend: NativeBackend) -> None:
    params = looking(GREEDY.replaced({"temperature": 5.0, "max_new_tokens": 2000}), 10)
    sequence = backend.sequence(repeated(40, 4), params, 0)
    backend.decode([sequence], 2000)
    assert sequence.generated == 2000
    assert sequence.lookups[0] < 100


def test_the_option_is_checked(backend: NativeBackend) -> None:
    with pytest.raises(RequestError, match="prompt_lookup_num_tokens = -1 must be a whole number of at least 0"):
        looking(GREEDY, -1)


def test_the_facade_takes_it(tiny: LanguageModel) -> None:
    plain = tiny.generate(REFRAIN, max_new_tokens=40, temperature=0)
    assert tiny.generate(REFRAIN, max_new_tokens=40, temperature=0, prompt_lookup_num_tokens=8)[0].text == plain[0].text

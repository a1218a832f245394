"""The native engine against transformers and the NumPy twin: logits, greedy and beam continuations, processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numpy_gpt2
from gpt2lab import _native
from gpt2lab.engine.beam import beam_search
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.lm import LanguageModel
from gpt2lab.model.config import GPT2Config
from random_gpt2 import CONFIGS, MODEL, native, transformers_model, weights_of

torch = pytest.importorskip("torch", reason="transformers needs torch")
pytest.importorskip("transformers", reason="the reference implementation is not installed")

TOLERANCE = 1e-4
NEW_TOKENS = 20


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_equal_transformers_and_the_numpy_twin_on_every_path(
    config: GPT2Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_of(config)
    ids = np.random.default_rng(3).integers(config.vocab_size, size=config.n_positions).astype(np.int32)
    with torch.no_grad():
        reference = transformers_model(config, weights)(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].numpy()
    np.testing.assert_allclose(numpy_gpt2.logits(config, weights, ids.tolist()), reference, rtol=0, atol=TOLERANCE)
    first = None
    for isa in _native.available_isas():
        monkeypatch.setenv("GPT2LAB_ISA", isa)
        backend = NativeBackend(config, weights, threads=2)
        logits = backend.forward([backend.new_cache()], [ids], all_positions=True)
        np.testing.assert_allclose(logits, reference, rtol=0, atol=TOLERANCE)
        first = logits if first is None else first
        np.testing.assert_array_equal(logits, first, err_msg=f"{isa} differs from the best path")


def greedy(backend: NativeBackend, prompts: list[list[int]], params: SamplingParams) -> list[list[int]]:
    batch = Batch(backend, [Job(np.asarray(p, np.int32), params) for p in prompts])
    for _ in batch:
        pass
    return [batch.output(i).ids for i in range(len(prompts))]


def reference_continuations(
    model: Any, prompts: list[list[int]], *, end: int | None = 0, **options: Any
) -> list[list[int]]:
    """Return transformers' new tokens up to the end token; prompts of one length go through it together."""
    found: dict[int, list[int]] = {}
    for length in sorted({len(p) for p in prompts}):
        places = [i for i, p in enumerate(prompts) if len(p) == length]
        given = torch.tensor([prompts[i] for i in places])
        out = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=end,
            **options,
        )
        for i, row in zip(places, out[:, length:].tolist(), strict=True):
            found[i] = row[: row.index(end)] if end in row else row
    return [found[i] for i in range(len(prompts))]


def random_prompts(count: int, vocab_size: int) -> list[list[int]]:
    rng = np.random.default_rng(11)
    return [rng.integers(1, vocab_size, size=rng.choice([1, 2, 5, 9, 30])).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def pair() -> tuple[NativeBackend, Any]:
    return native(MODEL), transformers_model(MODEL, weights_of(MODEL))


def test_greedy_continuations_of_200_prompts_are_identical(pair: tuple[NativeBackend, Any]) -> None:
    prompts = random_prompts(200, MODEL.vocab_size)
    params = SamplingParams(temperature=0.0, max_new_tokens=NEW_TOKENS, stop_ids=(0,))
    assert greedy(pair[0], prompts, params) == reference_continuations(pair[1], prompts)


@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_beam_search_of_200_prompts_is_identical(
    pair: tuple[NativeBackend, Any], penalty: float, early_stopping: bool
) -> None:
    prompts = random_prompts(200 if penalty == 1.0 else 40, MODEL.vocab_size)
    params = SamplingParams(
        num_beams=4, max_new_tokens=NEW_TOKENS, stop_ids=(0,), length_penalty=penalty, early_stopping=early_stopping
    )
    own = [beam_search(pair[0], np.asarray(p, np.int32), params)[0].ids for p in prompts]
    expected = reference_continuations(
        pair[1], prompts, num_beams=4, length_penalty=penalty, early_stopping=early_stopping
    )
    assert own == expected


def test_all_beams_come_in_the_same_order(pair: tuple[NativeBackend, Any]) -> None:
    prompt = [5, 9, 77]
    params = SamplingParams(num_beams=4, max_new_tokens=8, stop_ids=(0,))
    own = [o.ids for o in beam_search(pair[0], np.asarray(prompt, np.int32), params, num_return=4)]
    given = torch.tensor([prompt])
    rows = pair[1].generate(
        given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=8, pad_token_id=0, num_beams=4,
        num_return_sequences=4,
    )[:, 3:].tolist()  # fmt: skip
    assert own == [row[: row.index(0)] if 0 in row else row for row in rows]


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[3], [5, 9], [7, 7, 8]]},
        {"min_new_tokens": 12},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "bad_words_ids": [[4], [1, 2]]},
    ],
    ids=str,
)
def test_processors_give_the_tokens_of_transformers(pair: tuple[NativeBackend, Any], options: dict[str, Any]) -> None:
    prompts = random_prompts(20, MODEL.vocab_size)
    params = SamplingParams(temperature=0.0, max_new_tokens=NEW_TOKENS, stop_ids=(0,), **options)
    assert greedy(pair[0], prompts, params) == reference_continuations(pair[1], prompts, **options)
    beams = SamplingParams(num_beams=3, max_new_tokens=NEW_TOKENS, stop_ids=(0,), **options)
    own = [beam_search(pair[0], np.asarray(p, np.int32), beams)[0].ids for p in prompts]
    assert own == reference_continuations(pair[1], prompts, num_beams=3, **options)


def test_hidden_states_equal_transformers(pair: tuple[NativeBackend, Any]) -> None:
    ids = np.arange(1, 40, dtype=np.int32)
    with torch.no_grad():
        states = pair[1](torch.from_numpy(ids.astype(np.int64))[None], output_hidden_states=True).hidden_states
    for layer, expected in enumerate(states):
        np.testing.assert_allclose(pair[0].hidden(ids, layer), expected[0].numpy(), rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def tiny() -> tuple[LanguageModel, Any]:
    from transformers import GPT2LMHeadModel

    from gpt2lab.checkpoint.resolve import EMBEDDED

    return LanguageModel.load("tiny"), GPT2LMHeadModel.from_pretrained(EMBEDDED["tiny"], dtype=torch.float32).eval()


@pytest.mark.parametrize("beams", [1, 4])
def test_the_embedded_model_continues_200_prompts_as_in_transformers(
    tiny: tuple[LanguageModel, Any], beams: int
) -> None:
    """The prompts are beginnings of what the model writes itself: English of every length."""
    lm, model = tiny
    written = lm.generate(num_return_sequences=200, max_new_tokens=60, seed=5, stop_ids=(), batch_size=50)
    prompts = [w.token_ids[: (2, 5, 12, 30, 60)[i % 5]] for i, w in enumerate(written)]
    plain = {"max_new_tokens": NEW_TOKENS, "repetition_penalty": 1.0, "num_beams": beams}
    own = lm.generate(token_ids=prompts, temperature=0.0, **plain)
    end = lm.config.eos_token_id
    expected = reference_continuations(model, prompts, num_beams=beams, repetition_penalty=1.0, end=end)
    assert [group[0].token_ids for group in own] == expected


def test_the_embedded_model_has_the_logits_of_transformers(tiny: tuple[LanguageModel, Any]) -> None:
    lm, model = tiny
    ids = np.random.default_rng(0).integers(lm.config.vocab_size, size=lm.config.n_positions).astype(np.int32)
    with torch.no_grad():
        expected = model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].numpy()
    own = lm.backend.forward([lm.backend.new_cache()], [ids], all_positions=True)
    np.testing.assert_allclose(own, expected, rtol=0, atol=TOLERANCE)

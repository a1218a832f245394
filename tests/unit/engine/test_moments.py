"""What a detector asks of a model: against plain double precision and the engine's own scores, whatever the windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpt2lab.engine.moments import Moments, moments_of, row_moments
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.score import score_ids
from gpt2lab.errors import RequestError
from random_gpt2 import MODEL, native

N = MODEL.n_positions


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL)


def text(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(MODEL.vocab_size, size=length).astype(np.int32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide = wide - wide.max(1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(1, keepdims=True))


@pytest.mark.parametrize("spread", [0.01, 3.0, 40.0])
def test_rows_agree_with_double_precision(spread: float) -> None:
    rng = np.random.default_rng(1)
    logits, other = (rng.normal(0, spread, (50, 997)).astype(np.float32) for _ in range(2))
    targets = rng.integers(997, size=50).astype(np.int32)
    logp = log_softmax(logits)
    for weights, reference in (
        (None, np.exp(logp)),
        (np.exp(other - other.max(1, keepdims=True)), np.exp(log_softmax(other))),
    ):
        logprobs, ranks, entropies, highest, means, variances = row_moments(logits, targets, weights)
        expected = (reference * logp).sum(1)
        np.testing.assert_allclose(logprobs, logp[np.arange(50), targets], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(highest, logp.max(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(entropies, -(np.exp(logp) * logp).sum(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-5)
        spreads = (reference * (logp - expected[:, None]) ** 2).sum(1)
        np.testing.assert_allclose(variances, spreads, rtol=1e-3, atol=1e-6)
        assert ranks.tolist() == [int((row > row[t]).sum()) for row, t in zip(logits, targets, strict=True)]


def test_ranks_are_those_of_a_stable_sort_where_logits_are_equal() -> None:
    logits = np.random.default_rng(2).integers(-3, 4, (200, 40)).astype(np.float32)
    targets = np.random.default_rng(3).integers(40, size=200).astype(np.int32)
    order = np.argsort(-logits, axis=1, kind="stable")
    assert row_moments(logits, targets)[1].tolist() == np.argmax(order == targets[:, None], axis=1).tolist()


def test_impossible_tokens_count_for_nothing() -> None:
    logits = np.asarray([[0.0, 1.0, -np.inf, -np.inf]], np.float32)
    with_them = row_moments(logits, np.zeros(1, np.int32))
    without = row_moments(np.ascontiguousarray(logits[:, :2]), np.zeros(1, np.int32))
    for a, b in zip(with_them, without, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 2, N, N + 1, 3 * N + 5])
@pytest.mark.parametrize("context", [0, None])
def test_windows_and_scores_are_the_engines(backend: NativeBackend, length: int, context: int | None) -> None:
    ids = text(length)
    counted: list[int] = []
    found = moments_of(backend, ids, context=context, stride=20, top=3, progress=counted.append)
    scores = score_ids(backend, ids, context=context, stride=20, top=3)
    assert sum(counted) == length - (context is None)
    assert found.scored.tolist() == (scores.ranks >= 0).tolist()
    np.testing.assert_array_equal(found.ranks, scores.ranks)
    np.testing.assert_array_equal(found.top_ids, scores.top_ids)
    known = found.scored
    for mine, theirs in (
        (found.logprobs, scores.logprobs), (found.entropies, scores.entropies), (-found.means, scores.entropies),
        (found.top_logprobs, scores.top_logprobs), (found.highest, scores.top_logprobs[:, 0]),
    ):  # fmt: skip
        np.testing.assert_allclose(mine[known], theirs[known], rtol=1e-4, atol=1e-5)
    assert np.isnan(found.variances).tolist() == (~known).tolist()


def test_a_model_as_its_own_reference_says_the_same(backend: NativeBackend) -> None:
    alone, both = (moments_of(backend, text(N), context=0, reference=r) for r in (None, backend))
    for field in dataclasses.fields(Moments):
        np.testing.assert_allclose(getattr(alone, field.name), getattr(both, field.name), rtol=1e-3, atol=1e-5)


def test_the_reference_weighs_what_the_scorer_expects(backend: NativeBackend) -> None:
    other = native(dataclasses.replace(MODEL, n_positions=N // 2), seed=8)
    ids = text(N // 2)
    found = moments_of(backend, ids, context=0, reference=other)
    before = np.concatenate([[0], ids[:-1]]).astype(np.int32)
    scoring, weighing = (
        log_softmax(b.forward([b.new_cache()], [before], all_positions=True)) for b in (backend, other)
    )
    np.testing.assert_allclose(found.means, (np.exp(weighing) * scoring).sum(1), rtol=1e-4)


def test_what_does_not_fit_is_one_sentence(backend: NativeBackend) -> None:
    other = native(dataclasses.replace(MODEL, vocab_size=100))
    with pytest.raises(RequestError, match="must share a vocabulary, but one has 211 tokens and the other 100"):
        moments_of(backend, text(5), context=0, reference=other)
    with pytest.raises(RequestError, match="top = -1 must not be negative"):
        moments_of(backend, text(5), context=0, top=-1)

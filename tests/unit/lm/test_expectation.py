"""What an explorer shows of one row of logits, beside the same in NumPy from what the library's filters leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpt2lab.engine.native import expected, filtered
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.score import most_likely
from gpt2lab.errors import RequestError

HISTORY = np.array([3, 5, 3, 700], np.int32)


def row(seed: int = 0, size: int = 1000) -> Any:
    logits = np.random.default_rng(seed).normal(0, 3, size).astype(np.float32)
    logits[40:60] = logits[40]  # equals, of which the lower ids come first
    return logits


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 0.7},
        {"temperature": 2.0, "top_k": 40},
        {"top_p": 0.9},
        {"min_p": 0.05},
        {"typical_p": 0.5},
        {"repetition_penalty": 1.7, "bad_words_ids": ((9,), (11,))},
        {"temperature": 0.8, "top_k": 5, "top_p": 0.6},
    ],
)
@pytest.mark.parametrize("k", [1, 7, 2000])
def test_it_is_what_the_filters_leave(settings: dict[str, Any], k: int) -> None:
    logits, params = row(), SamplingParams(**settings)
    raw, left, kept, entropy = expected(logits, params, HISTORY, k)
    ids, probabilities = filtered(logits, params, HISTORY)
    order = np.lexsort((ids, -probabilities))[:k]
    assert [i for i, _ in raw] == [i for i, _ in most_likely(logits, k)]
    np.testing.assert_allclose([p for _, p in raw], [p for _, p in most_likely(logits, k)], rtol=1e-5)
    assert [i for i, _ in left] == ids[order].tolist()
    np.testing.assert_allclose([p for _, p in left], probabilities[order], rtol=1e-5)
    assert kept == len(ids)
    p = np.exp(logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64)))
    assert entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)


def test_tokens_that_are_impossible_are_not_kept() -> None:
    logits = row()
    logits[::2] = -np.inf
    raw, left, kept, entropy = expected(logits, SamplingParams(), HISTORY, 10)
    assert kept == 500
    assert all(i % 2 for i, _ in [*raw, *left])
    assert np.isfinite(entropy)


def test_a_number_of_tokens_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match="k = 0"):
        expected(row(), SamplingParams(), HISTORY, 0)

"""Vectors of texts: white ones, cosines, neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import DataError, RequestError
from gpt2lab.lm.vectors import Whitening, cosines, nearest, text_vectors


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_white_vectors_have_no_mean_and_one_variance_in_every_direction() -> None:
    vectors = (normal(400, 12) @ normal(12, 12, seed=1) + 5).astype(np.float32)
    white = Whitening.of(vectors)(vectors)
    assert white.shape == (400, 12)
    assert np.abs(white.mean(0)).max() < 1e-5
    assert np.abs(np.cov(white.T, bias=True) - np.eye(12)).max() < 1e-4
    fewer = Whitening.of(vectors, 3)(vectors)
    assert np.allclose(np.abs(fewer), np.abs(white[:, :3]), atol=1e-4), "the directions of the largest variance"


def test_directions_that_are_not_there_are_left_out() -> None:
    vectors = normal(5, 12).astype(np.float32)
    assert Whitening.of(vectors)(vectors).shape == (5, 4)
    for same in (np.ones((6, 3), np.float32), np.ones((1, 3), np.float32)):
        with pytest.raises(DataError, match="at least two different texts"):
            Whitening.of(same)
    with pytest.raises(RequestError, match="dimensions = 0"):
        Whitening.of(vectors, 0)


def test_cosines() -> None:
    a = np.array([[3, 0], [0, 2], [0, 0], [1, 1]], np.float32)
    assert np.allclose(cosines(a, a), [[1, 0, 0, 0.5**0.5], [0, 1, 0, 0.5**0.5], [0] * 4, [0.5**0.5] * 2 + [0, 1]])


@pytest.mark.parametrize("block", [1, 7, 1 << 24])
def test_neighbours_are_those_of_a_full_search(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.lm.vectors._BLOCK", block * 30)
    vectors = normal(30, 6).astype(np.float32)
    vectors[7] = vectors[3]
    full = cosines(vectors, vectors)
    found = nearest(vectors, vectors, 5)
    for row, near in zip(full, found, strict=True):
        assert [c for _, c in near] == pytest.approx(sorted(row, reverse=True)[:5], abs=1e-6)
    assert [i for i, _ in found[7][:2]] == [3, 7], "lower numbers first among equals"
    others = nearest(vectors, vectors, 50, but_self=True)
    assert all(len(near) == 29 and i not in dict(near) for i, near in enumerate(others))
    with pytest.raises(RequestError, match="k = 0"):
        nearest(vectors, vectors, 0)


def test_vectors_of_texts_are_their_features(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    texts = ["the night train", "a grey cat waited for the harbour. " * 9]
    told: list[tuple[int, int]] = []
    made = text_vectors(lm, texts, layer=1, pooling="weighted", progress=lambda *n: told.append(n))
    assert told == [(1, 2), (2, 2)]
    for row, text in zip(made, texts, strict=True):
        states = lm.features(text, layer=1, pooling="none")
        weights = np.arange(1, len(states) + 1)
        assert np.allclose(row, (states * weights[:, None]).sum(0) / weights.sum(), atol=1e-5)
    with pytest.raises(RequestError, match="one text at a time"):
        text_vectors(lm, texts, pooling="none")

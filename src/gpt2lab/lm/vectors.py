"""Texts as vectors: many at once, whitened so that directions count alike, and which of them are near each other.

Knows arrays and a `LanguageModel`. Whitening: Su et al. (2021), "Whitening Sentence Representations for Better
Semantics and Faster Retrieval", section 3: subtract the mean, turn to the axes of the covariance, make all variances 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.errors import DataError, RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.pooling import Pooling

Vectors = npt.NDArray[np.float32]

_BLOCK = 1 << 24  # cosines held at once
_SMALLEST = 1e-10  # of the largest variance: directions with less are rounding errors, and are left out


def text_vectors(
    lm: LanguageModel,
    texts: Sequence[str],
    *,
    layer: int = -1,
    pooling: Pooling = "mean",
    progress: Callable[[int, int], None] | None = None,
) -> Vectors:
    """Return the pooled hidden states (n, n_embd) of n texts, as `LanguageModel.features` has them.

    `progress(done, total)` counts texts. Raises `RequestError` for a text that is empty.
    """
    if pooling == "none":
        raise RequestError(
            "pooling = 'none' makes a vector of each token; take one text at a time, or another pooling."
        )
    made = np.empty((len(texts), lm.config.n_embd), np.float32)
    for i, text in enumerate(texts):
        made[i] = lm.features(text, layer=layer, pooling=pooling)
        if progress is not None:
            progress(i + 1, len(texts))
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """What makes vectors white: `mean` (C,) is subtracted, the rest multiplied by `matrix` (C, D)."""

    mean: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]

    @classmethod
    def of(cls, vectors: npt.NDArray[np.floating], dimensions: int | None = None) -> Whitening:
        """Learn it from vectors (n, C); of the new axes the `dimensions` with the largest variances are kept.

        Fewer are left where the vectors span fewer. Raises `DataError` for fewer than two different vectors.
        """
        if dimensions is not None and dimensions < 1:
            raise RequestError(f"dimensions = {dimensions} must be at least 1.")
        wide = np.asarray(vectors, np.float64)
        mean = wide.mean(axis=0)
        centred = wide - mean
        _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
        variances = lengths**2 / max(len(wide), 1)
        kept = int((variances > _SMALLEST * variances.max(initial=0.0)).sum()) if variances.max(initial=0.0) > 0 else 0
        if not kept:
            raise DataError("Whitening needs at least two different texts; give more of them.")
        kept = min(kept, dimensions or kept)
        return cls(mean, (axes[:kept] / np.sqrt(variances[:kept])[:, None]).T)

    def __call__(self, vectors: npt.NDArray[np.floating]) -> Vectors:
        """Return white vectors (n, D) of vectors (n, C)."""
        white: Vectors = ((np.asarray(vectors, np.float64) - self.mean) @ self.matrix).astype(np.float32)
        return white


def cosines(a: Vectors, b: Vectors) -> Vectors:
    """Return the cosine of every vector of a (n, C) with every one of b (m, C), as (n, m); 0 for vectors of zeros."""
    found: Vectors = _unit(a) @ _unit(b).T
    return np.clip(found, -1.0, 1.0)


def nearest(queries: Vectors, vectors: Vectors, k: int, *, but_self: bool = False) -> list[list[tuple[int, float]]]:
    """Return for each query the k nearest of `vectors` (n, C) as (number, cosine), nearest first, lower numbers first
    among equals. `but_self`: the queries are the vectors, and none is its own neighbour.
    """
    if k < 1:
        raise RequestError(f"k = {k} must be at least 1.")
    k = min(k, len(vectors) - but_self)
    found: list[list[tuple[int, float]]] = []
    rows = max(_BLOCK // max(len(vectors), 1), 1)
    for first in range(0, len(queries), rows):
        block = cosines(queries[first : first + rows], vectors)
        if but_self:
            block[np.arange(len(block)), np.arange(first, first + len(block))] = -np.inf
        order = np.argsort(-block, axis=1, kind="stable")[:, :k]
        found += [[(int(i), float(row[i])) for i in best] for row, best in zip(block, order, strict=True)]
    return found


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit

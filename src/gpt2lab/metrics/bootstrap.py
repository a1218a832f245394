"""How certain a figure is: the bootstrap over the rows that it was made of (Efron 1979).

A figure is a function of sums over rows (right answers and questions; nats and words), so a resampled figure is that
function of sums with other weights, and no row is measured twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Row = Mapping[str, float]
"""Numbers that are added up over the rows, by name."""

Figure = Callable[[Mapping[str, float]], float]
"""From the sums by name to a figure."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Standard error and bounds of a figure; NaN where there are fewer than two rows."""

    stderr: float
    low: float
    high: float


def sums(rows: Sequence[Row]) -> dict[str, float]:
    """Return the exactly rounded sum of every number that the rows have; a row that lacks one adds nothing to it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: math.fsum(row.get(name, 0.0) for row in rows) for name in names}


def intervals(
    rows: Sequence[Row], figures: Mapping[str, Figure], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Return the bootstrap interval of each figure: percentiles of `resamples` figures, each of as many rows drawn with
    replacement.

    The same rows and seed give the same bits.
    """
    if len(rows) < 2 or resamples < 2:
        return dict.fromkeys(figures, Interval(math.nan, math.nan, math.nan))
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = np.asarray([[row.get(name, 0.0) for name in names] for row in rows], np.float64)  # (rows, names)
    drawn = np.empty((resamples, len(names)), np.float64)
    generator = np.random.default_rng(seed)
    for i in range(resamples):
        weights = np.bincount(generator.integers(len(rows), size=len(rows)), minlength=len(rows))
        drawn[i] = _weighted(weights.astype(np.float64), table)
    found = {}
    for name, figure in figures.items():
        values = np.asarray([figure(dict(zip(names, row, strict=True))) for row in drawn.tolist()], np.float64)
        tail = 50 * (1 - level)
        low, high = np.percentile(values, [tail, 100 - tail])
        found[name] = Interval(float(values.std(ddof=1)), float(low), float(high))
    return found


def _weighted(weights: npt.NDArray[np.float64], table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted sums of the columns; by NumPy's own loop, not by a library whose order of sums depends on the
    number of threads."""
    total: npt.NDArray[np.float64] = (weights[:, None] * table).sum(axis=0)
    return total

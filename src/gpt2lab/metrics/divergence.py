"""How far apart probability distributions are: total variation, and Jensen and Shannon's divergence in bits.

Sources: Lin 1991, "Divergence measures based on the Shannon entropy", equation 5.1; for what merging outcomes does to
them, Cover and Thomas 2006, section 2.8. Both can only shrink when outcomes are merged, so what is measured on first
tokens bounds from below what holds for whole texts.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Distributions: TypeAlias = npt.NDArray[np.float64]


def total_variation(p: Distributions, q: Distributions) -> float:
    """Return half the sum of |p - q|: the most by which the probability of any event differs, from 0 to 1."""
    return 0.5 * math.fsum(np.abs(p - q).tolist())


def jensen_shannon(rows: Distributions) -> float:
    """Return the divergence of distributions (groups, outcomes) from their even mixture, in bits.

    0 where all are alike, log2(groups) where no two share an outcome: how much one outcome tells of its group.
    """
    mixture = rows.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(rows > 0, rows * np.log2(rows / mixture), 0.0)
    return max(0.0, math.fsum(terms.ravel().tolist()) / len(rows))


def log_odds_ratio(p: float, q: float) -> float:
    """Return ln(p / (1 - p)) - ln(q / (1 - q)), the log-odds ratio of two probabilities strictly between 0 and 1."""
    return math.log(p) - math.log1p(-p) - math.log(q) + math.log1p(-q)

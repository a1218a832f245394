"""Detectors that need no training: one number a text, made of what one pass of a language model says of its tokens.

Higher is more machine-like, as the methods' authors have it. That is a bet on a sampler and a model: text sampled at
temperature 1 is *less* likely than human text to a good model, text of top-k sampling *more* (Solaiman et al. 2019), so
a value counts by how unusual it is among human texts on either side: `two_sided`. Knows no text, only `Moments`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.moments import Moments

Array = npt.NDArray[np.float64]


def likelihood(m: Moments) -> float:
    """Mean log-probability in nats (Solaiman et al. 2019)."""
    return _mean(m.logprobs[m.scored])


def rank(m: Moments) -> float:
    """Minus the mean rank, the likeliest token's being 1 (Gehrmann et al. 2019)."""
    return -_mean(m.ranks[m.scored] + 1)


def log_rank(m: Moments) -> float:
    """Minus the mean logarithm of the rank (Mitchell et al. 2023, section 5)."""
    return -_mean(np.log1p(m.ranks[m.scored]))


def lrr(m: Moments) -> float:
    """Log-likelihood over log-rank (Su et al. 2023, "DetectLLM"); NaN where every token is the likeliest."""
    ranks = -log_rank(m)
    return -likelihood(m) / ranks if ranks else math.nan


def entropy(m: Moments) -> float:
    """Mean entropy of the distributions, in nats (Gehrmann et al. 2019)."""
    return _mean(m.entropies[m.scored])


def curvature(m: Moments) -> float:
    """Conditional probability curvature: how many standard deviations the text's log-probability lies above what the
    model expects of its own samples (Fast-DetectGPT, Bao et al. 2024, equation 6)."""
    known = m.scored
    spread = math.sqrt(max(float(m.variances[known].sum(dtype=np.float64)), 0.0))
    excess = float(m.logprobs[known].sum(dtype=np.float64) - m.means[known].sum(dtype=np.float64))
    return excess / spread if spread else math.nan


def binoculars(m: Moments) -> float:
    """Minus log-perplexity over cross-perplexity (Hans et al. 2024, equation 4): the scoring model is the performer,
    the reference the observer. With one model it is log-perplexity over entropy."""
    crossed = -_mean(m.means[m.scored])
    return likelihood(m) / crossed if crossed else math.nan


METHODS: Mapping[str, Callable[[Moments], float]] = {
    "likelihood": likelihood,
    "rank": rank,
    "log_rank": log_rank,
    "lrr": lrr,
    "entropy": entropy,
    "fast_detectgpt": curvature,
    "binoculars": binoculars,
}
"""Name of each method -> the function."""

REFERRED = ("fast_detectgpt", "binoculars")
"""The methods whose values a second model changes."""

BUCKETS = (10, 100, 1000)
"""GLTR's bounds of ranks."""


def measure(m: Moments) -> dict[str, float]:
    """Return every method's value; NaN where a text has no scored token."""
    if not m.scored.any():
        return dict.fromkeys(METHODS, math.nan)
    return {name: method(m) for name, method in METHODS.items()}


def bucket_shares(m: Moments, bounds: Sequence[int] = BUCKETS) -> Array:
    """Return the share of tokens whose rank is below each bound and no earlier one, and the rest last: GLTR's test."""
    ranks = m.ranks[m.scored]
    counts = np.bincount(np.searchsorted(np.asarray(bounds), ranks, side="right"), minlength=len(bounds) + 1)
    shares: Array = counts / max(len(ranks), 1)
    return shares


def fractions(m: Moments) -> Array:
    """Return frac(p): the probability of each scored token over that of the likeliest one in its place."""
    shares: Array = np.exp((m.logprobs - m.highest)[m.scored].astype(np.float64))
    return np.minimum(shares, 1.0)


def two_sided(value: float, humans: Sequence[float]) -> tuple[float, float]:
    """Return where a value stands among those of human texts, 0 to 1, and the probability of one at least as far out.

    `humans` are their quantiles at even steps, ascending. The second number is twice the smaller tail, never less than
    what so many quantiles can tell.
    """
    place = float(np.interp(value, humans, np.linspace(0, 1, len(humans))))
    least = 1 / len(humans)
    return place, min(1.0, max(2 * min(place, 1 - place), least))


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(values.mean(dtype=np.float64))

"""Numbers from samples: medians, spread, ratios within rounds, and parts of the machine's limits. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpt2lab.model.config import GPT2Config

Rounds = Mapping[int, float]
"""A value for each round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def decode_rate(batch: int, new: int, first: float, seconds: float) -> float:
    """Return tokens a second of all rows after the first token: the prompt's own time is another case."""
    return batch * (new - 1) / (seconds - (0.0 if math.isnan(first) else first))


def ratio(ours: Rounds, theirs: Rounds) -> Spread | None:
    """Return ours over theirs, formed within each round that has both; None where no round has."""
    both = [ours[n] / theirs[n] for n in ours if n in theirs and theirs[n] > 0]
    return Spread.of(both) if both else None


def streaming_part(rate: Rounds, weight_bytes: int, bandwidth: Rounds) -> Spread | None:
    """Return the part of the bandwidth that reading all weights once a token takes, at `rate` steps a second."""
    return ratio({n: tokens * weight_bytes for n, tokens in rate.items()}, bandwidth)


def prompt_operations(config: GPT2Config, tokens: int) -> float:
    """Return the operations of a prompt up to its last position's logits; a product and a sum are two.

    All positions count in all layers, though much of the last layer is needed of the last position alone. Attention
    counts the lower triangle only. Layer norms, GELU and softmax are left out: they are not products.
    """
    width, inner = config.n_embd, config.inner
    weights = config.n_layer * (4 * width * width + 2 * width * inner)
    attention = config.n_layer * 2 * tokens * (tokens + 1) * width
    return 2.0 * weights * tokens + attention + 2.0 * width * config.vocab_size


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the first place at which two rows of tokens differ, or None."""
    places = (i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return next(places, None)


def gap_explains(logits: Sequence[float], one: int, other: int, tolerance: float) -> bool:
    """Tell whether two engines may rightly disagree: both tokens are within `tolerance` of the largest logit."""
    top = max(logits)
    return top - logits[one] <= tolerance and top - logits[other] <= tolerance

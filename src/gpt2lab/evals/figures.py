"""The usual figures as functions of sums: perplexities, bits, shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gpt2lab.evals.task import NATS, Figure

Sums = Mapping[str, float]


def ratio(part: str, whole: str, scale: float = 1.0) -> Callable[[Sums], float]:
    """Return scale * part / whole; NaN where there is nothing to divide by."""
    return lambda sums: scale * sums[part] / sums[whole] if sums.get(whole) else math.nan


def perplexity(unit: str, *, nats: str = NATS) -> Figure:
    """Return exp of the nats over the number of `unit`s ("words", "tokens", …)."""
    mean = ratio(nats, unit)

    def of(sums: Sums) -> float:
        try:
            return math.exp(mean(sums))
        except OverflowError:
            return math.inf

    return Figure(of, f"perplexity per {_SINGULAR.get(unit, unit)}", "lower")


def bits(unit: str) -> Figure:
    """Return the nats in bits over the number of `unit`s ("bytes", "characters")."""
    return Figure(ratio(NATS, unit, 1 / math.log(2)), f"bits per {_SINGULAR.get(unit, unit)}", "lower")


def percent(part: str, whole: str = "questions") -> Figure:
    """Return the share of `part` in `whole` in percent."""
    return Figure(ratio(part, whole, 100.0), f"% of {whole}")


def share(part: str, whole: str = "questions") -> Figure:
    """Return the share of `part` in `whole`, from 0 to 1."""
    return Figure(ratio(part, whole), f"of {whole}")


_SINGULAR = {
    "words": "word",
    "tokens": "BPE token",
    "bytes": "byte",
    "characters": "character",
    "questions": "word",
    "recipe_tokens": "BPE token",
}

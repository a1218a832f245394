"""What may honestly be said of a text: a probability, how far such numbers can be trusted at this length, or nothing.

A probability assumes that as many texts are machine-written as human ones. No verdict is given on a text that is
shorter than anything the detector was calibrated for, or unlike anything it was trained with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gpt2lab.errors import ConfigError

_LARGEST = 1e12  # of a number in a detector, so that no sum of products becomes infinite
_CERTAIN = 0.99  # nothing that was measured here says more

Call = Literal["machine", "human", "unsure", "too short", "unlike"]

SURE, SURELY_NOT = 0.8, 0.2
"""The probabilities from which on a text is called machine-written, and human."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a detector did on texts of about `words` words that it had not learnt from.

    slope and offset turn its score into a logit; auroc, tpr: the share of machine texts found where 1 % of the human
    ones are accused; shares: of the texts whose probability fell into each fifth of [0, 1], how many were
    machine-written (None: too few to say), and counts: how many there were.
    """

    words: int
    slope: float
    offset: float
    auroc: float
    tpr: float
    shares: tuple[float | None, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.slope, self.offset, self.auroc, self.tpr, *(s for s in self.shares if s is not None))
        if self.words < 1 or not self.counts or len(self.counts) != len(self.shares) or not usable(numbers):
            raise ConfigError(f"What it says of held-out texts of {self.words} words is damaged; train it again.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says of a text of `words` words.

    probability: that a machine wrote it, None where nothing is said. call: "machine" from `SURE` up, "human" from
    `SURELY_NOT` down, "unsure" between, "too short" and "unlike" (what it was trained with) where nothing is said.
    held_out: how texts of about this length fared. share: how many of the held-out texts with such a probability were
    machine-written.
    """

    call: Call
    words: int
    probability: float | None
    held_out: Kept | None
    share: float | None = None
    share_of: int = 0

    def sentence(self) -> str:
        """Return it in words."""
        if self.call == "too short":
            return f"too short to say ({self.words} words)"
        if self.call == "unlike":
            return "no verdict: unlike anything the detector was trained with"
        assert self.probability is not None
        said = {"machine": "probably machine-written", "human": "probably human", "unsure": "cannot tell"}[self.call]
        p = self.probability
        shown = "above 0.99" if p > _CERTAIN else "below 0.01" if p < 1 - _CERTAIN else f"{p:.2f}"
        return f"{said}: probability {shown} that a machine wrote it"


def usable(numbers: Iterable[float]) -> bool:
    """Return whether a detector can reckon with these numbers: one that is none would make any verdict of a text."""
    return all(abs(number) <= _LARGEST for number in numbers)


def call_of(probability: float) -> Call:
    """Return what a probability is called."""
    return "machine" if probability >= SURE else "human" if probability <= SURELY_NOT else "unsure"


def nearest_length(kept: Sequence[Kept], words: int) -> Kept | None:
    """Return the longest length that a text of so many words reaches; None for a shorter text than all."""
    reached = [k for k in kept if k.words <= words]
    return max(reached, key=lambda k: k.words) if reached else None

"""What a probe found: plain frozen values, ready for JSON. An interval that is not defined has NaN for its bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt2lab.config import to_dict


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % bootstrap interval."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def clear(self) -> bool:
        """Whether the interval is defined and leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: Jensen-Shannon divergence of the groups' next tokens and next words in bits, total variation of the
    tokens of each pair of groups ("a / b"), the probability of words that were not followed, and the likeliest words
    with their probability, for each group."""

    template: str
    words: tuple[str, ...]
    divergence: float
    word_divergence: float
    variation: Mapping[str, float]
    rest: Mapping[str, float]
    likeliest: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Odds:
    """A word, its mean probability after each group over the questions that it was met in, and for each group the
    log-odds ratio against the mean of the other groups. `templates`: how many templates it was met in."""

    word: str
    probability: Mapping[str, float]
    log_odds: Mapping[str, Estimate]
    templates: int


@dataclass(frozen=True, slots=True)
class AxisFound:
    """An axis: divergences over its templates in bits, total variation of each pair of groups, words, questions."""

    name: str
    control: bool
    groups: tuple[str, ...]
    templates: int
    divergence: Estimate
    word_divergence: Estimate
    variation: Mapping[str, Estimate]
    words: tuple[Odds, ...]
    questions: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """How an axis's divergence of next tokens differs between two models, template by template."""

    axis: str
    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Preference:
    """Pairs of sentences: how many, the share in which the first is likelier, and by how many nats on average."""

    kind: str
    pairs: int
    share: Estimate
    nats: Estimate


@dataclass(frozen=True, slots=True)
class Occupation:
    """How much likelier, in nats, sentences are with "he" than with "she": where the pronoun is the occupation's, and
    where it is the other person's. `women`: the published percentage of women in it, where it was given."""

    name: str
    own: float
    other: float
    women: float | None = None


@dataclass(frozen=True, slots=True)
class Occupations:
    """All occupations, the mean of `own` over them, its mean difference from `other`, and the correlation of `own` with
    the percentage of women (None where no percentages were given)."""

    occupations: tuple[Occupation, ...]
    own: Estimate
    own_less_other: Estimate
    correlation: Estimate | None


@dataclass(frozen=True, slots=True)
class Card:
    """Samples of one prompt, as model cards show them."""

    prompt: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was asked of one model. `settings` say what reproduces it."""

    model: str
    settings: Mapping[str, Any]
    axes: tuple[AxisFound, ...] = ()
    cards: tuple[Card, ...] = ()
    crows: tuple[Preference, ...] = ()
    winogender: Occupations | None = None


def plain(value: Any) -> Any:
    """Return results as dictionaries and lists for JSON; numbers that are none become None."""
    if dataclasses.is_dataclass(value):
        value = to_dict(value)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

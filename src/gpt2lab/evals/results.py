"""What an evaluation found, with all that is needed to find it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpt2lab.config import to_dict


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its bootstrap standard error and 95 % interval (NaN: one row alone tells nothing of them)."""

    value: float
    unit: str
    better: str
    stderr: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Result:
    """One task on one model.

    figures: by name, `main` the one for tables. documents: how many. tokens, units: how many BPE tokens were counted,
    and how many words, bytes or characters they stand for. log_likelihood: of all of them in nats, None where a task
    has none. settings: the task's own. data, model, versions: where everything came from, with hashes.
    """

    task: str
    preset: str
    main: str
    figures: Mapping[str, Measured]
    documents: int
    rows: int
    tokens: int
    units: Mapping[str, int]
    log_likelihood: float | None
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    versions: Mapping[str, str]
    limit: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def value(self) -> float:
        """The main figure."""
        return self.figures[self.main].value

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold; a number that is none becomes None."""
        plain: dict[str, Any] = _finite(to_dict(self))
        return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

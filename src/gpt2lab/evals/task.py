"""What an evaluation is: the seam between the one way to run it and everything that is evaluated.

A task turns documents into requests and answers into rows of numbers; every figure is a function of the sums of those
numbers, so that its bootstrap interval follows without any work of the task. Knows no model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from gpt2lab.evals.requests import Answer, Request
from gpt2lab.metrics.bootstrap import Row

D = TypeVar("D")

UNITS = ("tokens", "words", "bytes", "characters")
"""Names of the numbers in rows that say how much text was measured: BPE tokens counted, and the units of the text."""

NATS = "nats"
"""Name of the number in rows that holds the negative log-likelihood."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a task: `of` makes it of the sums of the rows' numbers; `unit` says in words what it counts."""

    of: Callable[[Mapping[str, float]], float]
    unit: str
    better: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where documents come from: `source` for people, the SHA-256 of what was read, and whether its counts or its hash
    are the published ones (None: nothing is published to hold them against)."""

    source: str
    sha256: str
    official: bool | None
    counts: Mapping[str, int] = field(default_factory=dict)


class Task(ABC, Generic[D]):
    """One column of a table. Has a name, frozen settings (a dataclass) and the figures that it makes.

    `preset` is the name under which the settings are known, `main` the name of the figure that tables show.
    """

    figures: Mapping[str, Figure]
    main: str

    def __init__(self, name: str, preset: str, settings: Any) -> None:
        self.name, self.preset, self.settings = name, preset, settings

    @abstractmethod
    def load(self, limit: int | None = None) -> tuple[Sequence[D], Provenance]:
        """Return the documents, at most the first `limit` (of a running text: lines, or
        kilobytes where it has none), and where they come from.

        Raises `DataError` where they are absent, damaged or not as many as they should be.
        """

    @abstractmethod
    def requests(self, document: D) -> Sequence[Request]:
        """Return what is asked of the model about a document."""

    @abstractmethod
    def rows(self, document: D, answers: Sequence[Answer]) -> Sequence[Row]:
        """Return the numbers that the answers come to: one row for each part of the document that stands for itself."""

    def further(self, rows: Sequence[Row]) -> Mapping[str, float]:
        """Return figures that are no function of sums; they get no interval."""
        return {}

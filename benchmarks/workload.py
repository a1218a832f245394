"""What is asked of every engine: model sizes, prompts and cases. Knows no engine and no clock.

Prompts are made from a seed that changes every round, so that no engine can answer from what it remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

VOCABULARY = 50256
"""Ids of prompts stay below the end-of-text id."""

PROMPT, NEW, LONG = 32, 64, 1000
SIZES = {"124M": "gpt2", "355M": "gpt2-medium", "774M": "gpt2-large"}
"""Name in the report -> the preset whose shape it is."""

Group = Literal["decode", "prompt", "cold", "sampling", "batch", "context", "threads", "size"]
GROUPS: tuple[Group, ...] = ("decode", "prompt", "cold", "sampling", "batch", "context", "threads", "size")
SCALING: tuple[Group, ...] = ("batch", "context", "threads", "size")

BATCHES = (1, 8, 32)
SCALED_BATCHES = (1, 2, 4, 8, 16, 32, 64)
SCALED_CONTEXTS = (32, 128, 256, 512, 960)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure: `batch` prompts of `context` tokens, `new` tokens after each; `cold`: by a new process."""

    group: Group
    size: str = "124M"
    threads: int = 2
    batch: int = 1
    context: int = PROMPT
    new: int = NEW
    cold: bool = False

    @property
    def key(self) -> str:
        """A name that no other case has."""
        return (
            f"{self.group} {self.size} threads={self.threads} batch={self.batch} context={self.context} new={self.new}"
        )

    @property
    def kind(self) -> str:
        """The kind of work, by which settings are chosen: "cold", "prompt", "single" or "batch"."""
        if self.cold:
            return "cold"
        if self.new == 1:
            return "prompt"
        return "single" if self.batch == 1 else "batch"


def prompts(case: Case, seed: int) -> list[list[int]]:
    """Return the prompts of a case, different in every row and for every seed."""
    return [
        [(seed * 7919 + row * 977 + place * (7 + 2 * row)) % VOCABULARY for place in range(case.context)]
        for row in range(case.batch)
    ]


def cases(groups: Sequence[Group], sizes: Sequence[str], threads: int) -> Iterator[Case]:
    """Yield the cases of the groups, in the order of the report."""
    size = sizes[0]
    for group in groups:
        base = Case(group=group, size=size, threads=threads)
        if group == "decode":
            yield from (replace(base, batch=batch) for batch in BATCHES)
        elif group == "prompt":
            yield replace(base, context=LONG, new=1)
        elif group == "cold":
            yield replace(base, new=1, cold=True)
        elif group == "sampling":
            yield base
        elif group == "batch":
            yield from (replace(base, batch=batch, new=NEW // 2) for batch in SCALED_BATCHES)
        elif group == "context":
            yield from (replace(base, context=context, new=NEW // 2) for context in SCALED_CONTEXTS)
        elif group == "threads":
            yield from (replace(base, threads=count) for count in powers_of_two(threads))
        else:
            yield from (replace(base, size=name) for name in sizes)


def powers_of_two(limit: int) -> list[int]:
    """Return 1, 2, 4 … and `limit` itself."""
    counts = [1]
    while counts[-1] * 2 < limit:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == limit else [*counts, limit]

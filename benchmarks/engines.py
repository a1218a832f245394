"""Which engines take part: every peer in every weight format, ours first, and the choice among them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import OURS, TARGETS, peer_class
from benchmarks.peers.base import Peer, Width
from benchmarks.workload import SCALING, Case

_SCALED = ("gpt2lab", "transformers:fp32", "ctranslate2:int8", "llama.cpp:Q8_0", "llama.cpp:Q4_0", "openvino:int8",
           "openvino:int4")  # fmt: skip
"""Engines whose scaling is shown: ours, and the fastest of each kind."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A peer with one weight format."""

    peer: str
    form: str

    @property
    def kind(self) -> type[Peer]:
        """The peer's class."""
        return peer_class(self.peer)

    @property
    def name(self) -> str:
        """Its name in the report."""
        return f"{self.kind.title} {self.form}"

    @property
    def width(self) -> Width:
        """The precision of ours that it is set beside."""
        return self.kind.formats()[self.form]

    @property
    def ours(self) -> bool:
        """Whether it is gpt2lab."""
        return self.peer == OURS

    def matches(self, words: Sequence[str]) -> bool:
        """Tell whether one of `words` names it, as "peer" or "peer:format"."""
        return self.peer in words or f"{self.peer}:{self.form}" in words


def every_engine() -> list[Engine]:
    """Return all engines, ours first."""
    return [Engine(peer, form) for peer in TARGETS for form in peer_class(peer).formats()]


def chosen(only: Sequence[str], skip: Sequence[str]) -> list[Engine]:
    """Return the engines that `only` names (all, where it is empty) without those that `skip` names.

    A word that names no engine is a `ValueError` that lists them.
    """
    engines = every_engine()
    for word in (*only, *skip):
        if not any(engine.matches([word]) for engine in engines):
            known = sorted({*TARGETS, *(f"{engine.peer}:{engine.form}" for engine in engines)})
            raise ValueError(f"{word!r} is no engine; there are {', '.join(known)}.")
    return [engine for engine in engines if (not only or engine.matches(only)) and not engine.matches(skip)]


def installed(engines: Sequence[Engine]) -> tuple[list[Engine], dict[str, str]]:
    """Return the engines whose package is installed, and the names of the others with the reason."""
    there, absent = [], {}
    for engine in engines:
        try:
            importlib.metadata.version(engine.kind.package)
            there.append(engine)
        except importlib.metadata.PackageNotFoundError:
            absent[engine.name] = f"{engine.kind.package} is not installed"
    return there, absent


def entrants(case: Case, engines: Sequence[Engine]) -> list[Engine]:
    """Return the engines that take part in a case."""
    if case.group == "sampling":
        return [engine for engine in engines if engine.ours]
    if case.group in SCALING:
        return [engine for engine in engines if engine.matches(_SCALED)]
    return list(engines)

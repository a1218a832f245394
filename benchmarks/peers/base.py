"""What an engine must offer to be measured: load, decode, logits, and its weights' bytes. Imports no engine.

An engine is run in a process of its own (benchmarks/worker.py), so a peer's constructor may import, set and allocate
what it likes, and nothing else of the module does.
"""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

Width = Literal["fp32", "bf16", "int8", "int4"]
WIDTHS: tuple[Width, ...] = ("fp32", "bf16", "int8", "int4")
Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decode call made, and the seconds to the first token of all rows and to the last.

    `first` is NaN where the engine does not tell.
    """

    tokens: list[list[int]]
    first: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the value that goes to the driver."""
        return {"tokens": self.tokens, "first": self.first, "seconds": self.seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a conversion may use: the model folder with a tokenizer in it, and the export environment's bin folder."""

    source: Path
    export: Path


class Peer(ABC):
    """One engine with one weight format, loaded.

    title: its name in the report. package: the distribution whose version is reported.
    converted: whether `prepare` makes it a model of its own; otherwise it reads the Hugging Face folder.
    """

    title: ClassVar[str]
    package: ClassVar[str]
    converted: ClassVar[bool] = True
    CALLS: ClassVar[frozenset[str]] = frozenset({"decode_json", "logits", "weight_bytes", "version", "samples"})

    @abstractmethod
    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        """Load the model that `prepare` made, or the Hugging Face folder itself where it makes none."""

    @classmethod
    @abstractmethod
    def formats(cls) -> Mapping[str, Width]:
        """Return its weight formats, each with the precision of ours that it is set beside."""

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        """Return the settings worth trying, by name; for each kind of work the benchmark takes the fastest."""
        return {"default": {}}

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        """Write the model in the engine's own format into the folder `target`."""
        raise NotImplementedError(f"{cls.title} reads the Hugging Face folder itself")

    @abstractmethod
    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """Continue every prompt greedily by exactly `new` tokens, all rows at once."""

    def decode_json(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """Call `decode` for the driver."""
        return self.decode(prompts, new).as_json()

    def logits(self, ids: Sequence[int]) -> list[list[float]] | None:
        """Return the logits after every id, or None where the engine gives none."""
        return None

    def samples(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """Decode with top_k 40, top_p 0.9, temperature 0.8 instead of greedily."""
        raise NotImplementedError(f"{self.title} is not asked to sample")

    @abstractmethod
    def weight_bytes(self) -> int:
        """Return the bytes of weights that one decoding step reads: all but the positions' table."""

    def version(self) -> str:
        """Return the version of the engine."""
        return importlib.metadata.version(self.package)

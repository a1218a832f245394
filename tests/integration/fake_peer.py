"""An engine for tests of the benchmark: answers at once with made-up times and tokens. Not a test itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.base import Decoded, Peer, Settings, Tools, Width

SECONDS = {"fp32": 2.0, "int8": 1.0}
"""Format -> the seconds that decoding takes after the first token, which takes a quarter of a second."""


class Fake(Peer):
    """As fast as its format says, twice as fast with the setting "better"."""

    title = "Fake"
    package = "pytest"

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        return {"fp32": "fp32", "int8": "int8"}

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        return {"plain": {"speed": 1}, "better": {"speed": 2}, "broken": {"speed": 0}}

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        if form == "int8":
            raise ValueError("no int8 today")
        (target / "made").write_text(str(tools.source), encoding="utf-8")

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        print("a library that prints to stdout")
        if not settings["speed"]:
            raise ValueError("cannot be loaded like this")
        self._form, self._speed, self._shift = form, settings["speed"], 0.01 * (self.title == "Fake")

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        tokens = [[row[0] % 2, *([1] * (new - 1))] for row in prompts]
        return Decoded(tokens, 0.25, 0.25 + SECONDS[self._form] / self._speed)

    def logits(self, ids: Sequence[int]) -> list[list[float]]:
        return [[0.0, 0.5 + self._shift] for _ in ids]

    def weight_bytes(self) -> int:
        return 1000


class Ours(Fake):
    """The same under our name, read from the folder itself."""

    title = "gpt2lab"
    converted = False


class Silent(Fake):
    """Gives no logits, so its tokens are compared."""

    title = "Silent"
    converted = False

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        return Decoded([[0] * new for _ in prompts], 0.25, 0.5)

    def logits(self, ids: Sequence[int]) -> None:
        return None


class Machine:
    """Limits that are round numbers."""

    CALLS = frozenset({"stream", "arithmetic", "product"})

    def __init__(self, folder: str, threads: int) -> None:
        pass

    def stream(self, size: int) -> float:
        return 63_000.0

    def arithmetic(self, kind: str) -> float:
        return 0.0 if "AMX" in kind else 4e9

    def product(self, kind: str) -> float:
        return 2e9


class Stubborn:
    """Misbehaves as processes do."""

    CALLS = frozenset({"hang", "die"})

    def __init__(self) -> None:
        print("made")

    def hang(self) -> None:
        time.sleep(3600)

    def die(self) -> None:
        print("last words", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)

"""What benchmarks/serving.py has measured, on disk: a JSON file for each model and precision, whole after every step.

A file holds {"model", "precision", "threads", "shape": [clients, tokens of a prompt, new tokens], "rounds": {name:
{round: {"rate", ...}}}, "absent": {name: why}, "click": {...} or null}. The names are engine, server, openvino and
transformers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt2lab.files import write_json

Figures = dict[str, Any]
"""rate: tokens a second; of servers also first_median, first_p99, lost; way: how a peer was run."""


class Record:
    """One model in one precision; making one begins its file anew."""

    def __init__(self, folder: Path, model: str, precision: str, threads: int, shape: tuple[int, int, int]) -> None:
        self.precision = precision
        self.absent: dict[str, str] = {}
        self._rounds: dict[str, dict[str, Figures]] = {}
        self._values: Figures = {
            "model": model, "precision": precision, "threads": threads, "shape": list(shape), "rounds": self._rounds,
            "absent": self.absent, "click": None,
        }  # fmt: skip
        name = "".join(c if c.isalnum() else "-" for c in f"{model}-{precision}")
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.json"
        self._save()

    def add(self, name: str, number: int, figures: Figures) -> None:
        """Keep a contestant's figures of a round."""
        self._rounds.setdefault(name, {})[str(number)] = figures
        self._save()

    def miss(self, name: str, why: str) -> None:
        """Note that a contestant has failed; rounds that it has finished count."""
        self.absent[name] = why
        self._save()

    def click(self, figures: Figures) -> None:
        """Keep what a click costs."""
        self._values["click"] = figures
        self._save()

    def _save(self) -> None:
        write_json(self._path, self._values)


def load_records(folder: Path) -> list[Figures]:
    """Return the contents of all files, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]

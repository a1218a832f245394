"""Results on disk: a JSON file for each case, so that a later run may add to them or replace them.

A case's file holds {"case", "failed": {name: why}, "details": {name: {…}}, "samples": [{"entrant", "round",
"others", and "first" and "seconds" or "rate"}]}. first is the time to the first token, null where an engine does not
say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.summary import Rounds, decode_rate
from benchmarks.workload import Case
from gpt2lab.files import write_json


@dataclass(frozen=True, slots=True)
class Result:
    """A case that was measured."""

    case: Case
    values: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Entrants that were measured, in order."""
        return list(dict.fromkeys(sample["entrant"] for sample in self.values["samples"]))

    @property
    def others(self) -> float:
        """The largest part of the machine that others used during a sample that counts."""
        return max((sample["others"] for sample in self.values["samples"]), default=0.0)

    def detail(self, name: str) -> Mapping[str, Any]:
        """Return what is known of an engine: title, form, width, ours, settings, version, weight_bytes, memory."""
        found: Mapping[str, Any] = self.values["details"].get(name, {})
        return found

    def seconds(self, name: str) -> Rounds:
        """Return an entrant's whole time in each round."""
        return {s["round"]: s["seconds"] for s in self._samples(name)}

    def decode_rate(self, name: str) -> Rounds:
        """Return an entrant's tokens a second after the first in each round."""
        batch, new = self.case.batch, self.case.new
        return {s["round"]: decode_rate(batch, new, s["first"], s["seconds"]) for s in self._samples(name)}

    def limit(self, name: str) -> Rounds:
        """Return a limit's rate in each round."""
        return {s["round"]: s["rate"] for s in self._samples(name)}

    def _samples(self, name: str) -> list[Mapping[str, Any]]:
        return [sample for sample in self.values["samples"] if sample["entrant"] == name]


class Store:
    """The folder in which results are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, values: Mapping[str, Any]) -> None:
        """Keep what was seen in one case, in place of what was seen before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = Case(**values["case"]).key.replace(" ", "-").replace("=", "")
        write_json(self._folder / f"{name}.json", _without_nan(values))

    def load(self) -> list[Result]:
        """Return all results, in the order of their names."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            values = json.loads(path.read_text(encoding="utf-8"))
            for sample in values["samples"]:
                if "first" in sample and sample["first"] is None:
                    sample["first"] = math.nan
            found.append(Result(Case(**values["case"]), values))
        return found


def _without_nan(value: Any) -> Any:
    """Return JSON values with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value

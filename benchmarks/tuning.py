"""The best settings of every engine for every kind of work, found by trying them; kept until asked for anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.checkpoints import ConversionError
from benchmarks.client import WorkerError
from benchmarks.engines import Engine
from benchmarks.rounds import Turns
from benchmarks.session import Place, decoding, load_arguments, loaded
from benchmarks.workload import LONG, Case
from gpt2lab.files import write_json

_BASE = Case(group="decode", new=24)
TRIALS = {
    "single": _BASE,
    "batch": replace(_BASE, batch=8),
    "prompt": replace(_BASE, context=LONG, new=1),
}
"""Kind of work -> the short case on which settings are compared, at the first size."""


class Tuning:
    """Settings by engine and kind of work; `path` keeps the seconds of every trial."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self._seconds: dict[str, dict[str, dict[str, float]]] = known.get(str(threads), {})
        self._known = known

    def choose(self, engine: Engine, kind: str) -> tuple[str, Mapping[str, Any]]:
        """Return the name and values of the fastest settings of an engine; the first ones where none was tried."""
        variants = engine.kind.variants()
        tried = {n: s[kind] for n, s in self._seconds.get(engine.name, {}).items() if n in variants and kind in s}
        best = min(tried, key=tried.__getitem__) if tried else next(iter(variants))
        return best, variants[best]

    def tried(self, name: str) -> list[str]:
        """Return the names of the settings that were tried for an engine."""
        return list(self._seconds.get(name, {}))

    def run(
        self,
        engines: Sequence[Engine],
        size: str,
        place: Place,
        turns: Turns,
        *,
        again: bool,
        say: Callable[[str], None],
    ) -> None:
        """Try the settings of the engines that have a choice and were not tried before, or all of them `again`.

        A setting that fails is not chosen; what failed is said.
        """
        for engine in engines:
            variants = engine.kind.variants()
            if len(variants) < 2 or (not again and set(self._seconds.get(engine.name, {})) == set(variants)):
                continue
            self._seconds[engine.name] = {}
            for name, settings in variants.items():
                seconds: dict[str, float] = {}
                try:
                    seconds = self._try(engine, size, settings, place, turns)
                except (ConversionError, WorkerError) as error:
                    say(f"    {engine.name}, {name}: {error}")
                self._seconds[engine.name][name] = seconds
                say(f"    {engine.name}, {name}: " + ", ".join(f"{k} {s:.3f} s" for k, s in seconds.items()))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {**self._known, str(self._threads): self._seconds})

    def _try(
        self, engine: Engine, size: str, settings: Mapping[str, Any], place: Place, turns: Turns
    ) -> dict[str, float]:
        trials = {kind: replace(case, size=size, threads=self._threads) for kind, case in TRIALS.items()}
        seconds: dict[str, list[float]] = {kind: [] for kind in trials}
        with loaded(place, engine, load_arguments(place, engine, trials["single"], settings)) as worker:
            samples, failed = turns.take({kind: decoding(worker, case) for kind, case in trials.items()})
        for sample in samples:
            value = sample.reply.value
            prompt = value["first"] if trials[sample.entrant].new > 1 else 0.0
            seconds[sample.entrant].append(value["seconds"] - prompt)
        if failed:
            raise WorkerError(next(iter(failed.values())))
        return {kind: min(spent) for kind, spent in seconds.items()}

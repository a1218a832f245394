"""One case with all its engines: starts their workers, lets them take turns, and returns what was seen.

Workers stay for the cases of one group that differ in the batch or the context alone: they are warm already.
The limits of the machine take turns too, so that an engine's part of a limit is formed within a round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.checkpoints import ConversionError, converted
from benchmarks.client import Reply, Worker, WorkerError
from benchmarks.engines import Engine
from benchmarks.peers import TARGETS
from benchmarks.rounds import Ask, Sample, Turns
from benchmarks.workload import SIZES, Case

LIMITS = "benchmarks.limits:Limits"
STREAM, PRODUCT, ARITHMETIC = "limit stream ", "limit product ", "limit arithmetic "
"""Entrants that are limits, followed by a number of bytes or a kind of number."""

GREEDY, SAMPLED = "", ", sampled"
_LOAD_TIMEOUT = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the benchmark works: its folder, and the bin folder of the environment that exports models."""

    work: Path
    export: Path
    failures: dict[tuple[Engine, str], str] = field(default_factory=dict)

    def model(self, engine: Engine, size: str) -> Path:
        """Return the engine's model of a size such as "124M"; makes it if need be, and tries only once in a run."""
        if (engine, size) in self.failures:
            raise ConversionError(self.failures[engine, size])
        try:
            return converted(self.work, SIZES[size], engine.peer, engine.form, self.export)
        except ConversionError as error:
            self.failures[engine, size] = str(error)
            raise

    def log(self, name: str) -> Path:
        """Return the file that takes what a worker prints."""
        return self.work / "logs" / f"{name.replace(' ', '-').replace(':', '-')}.log"


Choose = Callable[[Engine, str], tuple[str, Mapping[str, Any]]]
"""(engine, kind of work) -> name and values of its settings."""


class Session:
    """Runs cases at a place. `choose` gives each engine's settings; `say` tells a person what goes on."""

    def __init__(self, place: Place, turns: Turns, choose: Choose, say: Callable[[str], None]) -> None:
        self._place, self._turns, self._choose, self._say = place, turns, choose, say
        self._workers = Workers(place)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def run(self, case: Case, engines: Sequence[Engine]) -> dict[str, Any]:
        """Measure a case; return it as the values that results are kept in (see benchmarks/results.py)."""
        failed: dict[str, str] = {}
        details: dict[str, dict[str, Any]] = {}
        with ExitStack() as stack:
            asks: dict[str, Ask] = {}
            workers: dict[str, Worker] = {}
            self._workers.only_for(case)
            for engine in engines:
                name, settings = self._choose(engine, case.kind)
                details[engine.name] = described(engine, name)
                try:
                    arguments = load_arguments(self._place, engine, case, settings)
                    if case.cold:
                        asks[engine.name] = self._cold(engine, case, arguments)
                        continue
                    workers[engine.name] = worker = self._workers.of(engine, arguments)
                    for call in ("version", "weight_bytes"):
                        details[engine.name][call] = worker.call(call).value
                except (ConversionError, WorkerError) as error:
                    failed[engine.name] = str(error)
                    continue
                asks[engine.name] = decoding(worker, case)
                if case.group == "sampling":
                    asks[engine.name + SAMPLED] = decoding(worker, case, "samples")
            asks |= self._limits(stack, case, engines, details)
            samples, broken = self._turns.take(asks, self._tell) if asks else ([], {})
            for engine in engines:
                name = engine.name
                if name in broken or name in failed:
                    self._workers.forget(engine)
                elif name in workers:
                    details[name]["memory"] = workers[name].call("memory").value
        return {
            "case": asdict(case),
            "failed": failed | broken,
            "details": details,
            "samples": [as_record(sample) for sample in samples],
        }

    def _tell(self, sample: Sample) -> None:
        others = f", others {sample.others:.0%}" if sample.others > self._turns.tolerance else ""
        number = f"round {sample.round}" if sample.round else "warm-up"
        self._say(f"    {number}: {sample.entrant} {sample.reply.seconds:.3f} s{others}")

    def _cold(self, engine: Engine, case: Case, arguments: Mapping[str, Any]) -> Ask:
        """Return what times a new process from its start to its first token; the warm-up fills caches."""

        def ask(seed: int) -> Reply:
            before = children_cpu()
            started = time.perf_counter()
            with Worker(TARGETS[engine.peer], self._place.log(engine.name)) as worker:
                worker.send("load", **arguments)
                worker.send("decode_json", prompts=workload.prompts(case, seed), new=1)
                worker.receive(_LOAD_TIMEOUT)
                value = worker.receive().value
                seconds = time.perf_counter() - started
            return Reply({**value, "seconds": seconds}, seconds, children_cpu() - before)

        return ask

    def _limits(
        self, stack: ExitStack, case: Case, engines: Sequence[Engine], details: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Ask]:
        """Return the limits that belong to a case: reading our weights for single decoding, products for prompts."""
        asks: dict[str, Ask] = {}
        if case.group not in ("decode", "prompt") or case.batch > 1:
            return asks
        worker = stack.enter_context(Worker(LIMITS, self._place.log("limits")))
        try:
            worker.call("load", folder=str(self._place.work), threads=case.threads)
            if case.group == "decode":
                for engine in (e for e in engines if e.ours and "weight_bytes" in details[e.name]):
                    size = details[engine.name]["weight_bytes"]
                    asks[f"{STREAM}{size}"] = lambda _, size=size: worker.call("stream", size=size)  # type: ignore[misc]
            else:
                for kind in ("fp32", "bf16", "int8"):
                    asks[PRODUCT + kind] = lambda _, kind=kind: worker.call("product", kind=kind)  # type: ignore[misc]
                for kind in ("fp32", "bf16", "int8", "AMX bf16", "AMX int8"):
                    asks[ARITHMETIC + kind] = lambda _, kind=kind: worker.call("arithmetic", kind=kind)  # type: ignore[misc]
        except WorkerError as error:
            self._say(f"    no limits: {error}")
        return asks


class Workers:
    """The loaded engines of one group of cases, each under the settings it was last asked for with."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._group: tuple[str, str, int] | None = None
        self._loaded: dict[str, tuple[Mapping[str, Any], Worker]] = {}

    def only_for(self, case: Case) -> None:
        """End all workers that another group, size of the model or number of threads has used."""
        group = (case.group, case.size, case.threads)
        if group != self._group or case.group == "decode":  # whose table has a column of memory, for one case
            self.close()
        self._group = group

    def of(self, engine: Engine, arguments: Mapping[str, Any]) -> Worker:
        """Return a worker that has loaded the engine with these arguments."""
        known, worker = self._loaded.get(engine.name, (None, None))
        if worker is not None and known == arguments:
            return worker
        self.forget(engine)
        worker = load(self._place, engine, arguments)
        self._loaded[engine.name] = (arguments, worker)
        return worker

    def forget(self, engine: Engine) -> None:
        """End the engine's worker, if there is one."""
        if engine.name in self._loaded:
            self._loaded.pop(engine.name)[1].close()

    def close(self) -> None:
        """End all workers."""
        for _, worker in self._loaded.values():
            worker.close()
        self._loaded.clear()


def load_arguments(place: Place, engine: Engine, case: Case, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which an engine's worker loads; converts the model if need be."""
    model = place.model(engine, case.size)
    return {"model": str(model), "form": engine.form, "threads": case.threads, "settings": dict(settings)}


@contextmanager
def loaded(place: Place, engine: Engine, arguments: Mapping[str, Any]) -> Iterator[Worker]:
    """Yield a worker that has loaded the engine; ends it afterwards."""
    with load(place, engine, arguments) as worker:
        yield worker


def load(place: Place, engine: Engine, arguments: Mapping[str, Any]) -> Worker:
    """Return a worker that has loaded the engine."""
    worker = Worker(TARGETS[engine.peer], place.log(engine.name))
    try:
        worker.call("load", timeout=_LOAD_TIMEOUT, **arguments)
    except WorkerError:
        worker.close()
        raise
    return worker


def described(engine: Engine, settings: str) -> dict[str, Any]:
    """Return what the report says of an engine before it is loaded."""
    return {
        "title": engine.kind.title,
        "form": engine.form,
        "width": engine.width,
        "ours": engine.ours,
        "settings": settings,
    }


def decoding(worker: Worker, case: Case, call: str = "decode_json") -> Ask:
    """Return what measures a case in a loaded worker."""
    return lambda seed: worker.call(call, timeout=600.0, prompts=workload.prompts(case, seed), new=case.new)


def as_record(sample: Sample) -> dict[str, Any]:
    """Return a sample as it is kept: times for engines, the rate for limits; tokens are not kept."""
    value = sample.reply.value
    kept = {k: value[k] for k in ("first", "seconds")} if isinstance(value, dict) else {"rate": value}
    return {"entrant": sample.entrant, "round": sample.round, "others": sample.others, **kept}


def children_cpu() -> float:
    """Return the processor seconds of all processes that have been started and have ended."""
    times = os.times()
    return times.children_user + times.children_system

"""Measure gpt2lab beside other engines and write the report.

    python -m benchmarks [--quick] [--groups decode,prompt] [--only gpt2lab,openvino:int8] [--output docs/benchmarks.md]

Results are kept in the work folder, a file for each case; the report is written from all that are there, so that a
benchmark may be run in parts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, workload
from benchmarks.agreement import Disagreement, agreement
from benchmarks.checkpoints import ConversionError
from benchmarks.client import ROOT, WorkerError
from benchmarks.engines import Engine, chosen, entrants, installed
from benchmarks.install import ABSENT
from benchmarks.page import page
from benchmarks.plots import draw
from benchmarks.report import Facts
from benchmarks.results import Store
from benchmarks.rounds import Turns
from benchmarks.session import Place, Session
from benchmarks.tuning import Tuning
from benchmarks.workload import GROUPS, SIZES, Group
from gpt2lab.files import atomic_write, write_json

QUICK = ("decode", "prompt")
"""Groups of a quick run, which takes two rounds and few engines."""


def words(allowed: Sequence[str] | None = None) -> Callable[[str], tuple[str, ...]]:
    """Return what reads words between commas, each one of `allowed` if that is given."""

    def read(text: str) -> tuple[str, ...]:
        given = tuple(word for word in text.split(",") if word)
        for word in given:
            if allowed is not None and word not in allowed:
                raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(allowed)}")
        return given

    return read


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds; one more warms up (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every engine (default: 2)")
    parser.add_argument("--groups", type=words(GROUPS), default=GROUPS, help=f"of {','.join(GROUPS)} (default: all)")
    parser.add_argument("--sizes", type=words(tuple(SIZES)), default=tuple(SIZES), help="model sizes; the first is used for all but the size group (default: all)")  # fmt: skip  # noqa: E501
    parser.add_argument("--only", type=words(), default=(), help="engines, as peer or peer:format (default: all)")
    parser.add_argument("--skip", type=words(), default=(), help="engines to leave out")
    parser.add_argument("--quick", action="store_true", help="two rounds of decode and prompt, no tuning, no scaling")
    parser.add_argument("--retune", action="store_true", help="try every engine's settings again")
    parser.add_argument("--steady", type=float, default=4.0, help="seconds without gain that end an engine's warm-up")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds for repeating a disturbed measurement")
    parser.add_argument("--lock", type=Path, help="file to lock around every measurement, to take turns with others")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="folder for models and results")
    parser.add_argument(
        "--report-only", action="store_true", help="measure nothing; write the report from what is there"
    )
    parser.add_argument("--output", type=Path, help="the report to write, with its plots in images/ beside it")
    return parser.parse_args()


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    given = arguments()
    try:
        engines, absent = installed(chosen(given.only, given.skip))
    except ValueError as error:
        say(str(error))
        return 2
    environment = Path(sys.prefix)
    export = environment.with_name(f"{environment.name}-export") / "bin"
    place = Place(work=given.work.resolve(), export=export)
    tuning = Tuning(place.work / "tuning.json", given.threads)
    agreed = place.work / "agreement.json"
    if not given.report_only:
        try:
            write_json(agreed, measure(given, engines, place, tuning))
        except (Disagreement, ConversionError, WorkerError) as error:
            say(f"Stopped before timing: {error}")
            return 1
    if given.output:
        failed = environment / ABSENT
        absent |= json.loads(failed.read_text(encoding="utf-8")) if failed.is_file() else {}
        facts = Facts(
            machine={**machine.description(), "threads": str(given.threads)},
            agreement=json.loads(agreed.read_text(encoding="utf-8")) if agreed.is_file() else {},
            tried={engine.name: tuning.tried(engine.name) for engine in engines},
            absent=absent,
        )
        write(given.output, place, facts)
    return 0


def measure(given: argparse.Namespace, engines: Sequence[Engine], place: Place, tuning: Tuning) -> dict[str, str]:
    """Compare outputs, tune, and measure every case; return what the comparison found."""
    quick = given.quick
    turns = Turns(rounds=given.rounds, steady=given.steady, patience=given.patience, lock=given.lock)
    if quick:
        turns = replace(turns, rounds=2, steady=0.0, patience=0.0)
    groups: tuple[Group, ...] = tuple(g for g in given.groups if not quick or g in QUICK)
    say("Comparing outputs in fp32")
    findings = agreement(engines, given.sizes[0], place, tuning.choose, say)
    if not quick:
        say("Trying settings")
        trials = replace(
            turns, rounds=2, steady=0.0, patience=0.0
        )  # settings that differ by less than noise may as well be taken
        tuning.run(engines, given.sizes[0], place, trials, again=given.retune, say=say)
    store = Store(place.work / "results")
    with Session(place, turns, tuning.choose, say) as session:
        for case in workload.cases(groups, given.sizes, given.threads):
            say(case.key)
            store.save(session.run(case, entrants(case, engines)))
    return findings


def write(output: Path, place: Place, facts: Facts) -> None:
    """Write the report and its plots from all results in the work folder."""
    results = Store(place.work / "results").load()
    images = output.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    text = page(results, facts, draw(results, images))
    with atomic_write(output, "w") as stream:
        stream.write(text)


if __name__ == "__main__":
    sys.exit(main())

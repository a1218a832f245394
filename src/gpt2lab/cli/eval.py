"""`gpt2lab eval`: the paper's columns and other tasks on any model, with the protocol stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpt2lab.evals.place import HubData
    from gpt2lab.evals.published import Cell, PublishedRow
    from gpt2lab.evals.results import Result
    from gpt2lab.evals.task import Task
    from gpt2lab.lm.model import LanguageModel

EXAMPLES = examples(
    "gpt2lab eval --list",
    "gpt2lab eval --tasks wikitext2,lambada --model gpt2 --data corpora",
    "gpt2lab eval --tasks wikitext2 --preset hf --stride 512 --model gpt2 --json",
    "gpt2lab eval --table --model gpt2 --precision int8 --data corpora",
    "gpt2lab eval --tasks hellaswag --source hellaswag=someone/hellaswag-copy",
)


def eval(
    tasks: Annotated[
        str | None, Option("--tasks", metavar="NAMES", help="Tasks, with commas between them; see --list.")
    ] = None,
    table: Annotated[
        bool, Option("--table", help="The ten columns of the GPT-2 paper beside the published row of the nearest size.")
    ] = False,
    listed: Annotated[bool, Option("--list", help="List the tasks and presets, and do nothing else.")] = False,
    preset: Annotated[
        str | None, Option("--preset", metavar="NAME", help="Whose protocol. Default: the first that a task has.")
    ] = None,
    model: o.Model = "tiny",
    data: Annotated[
        str | None,
        Option("--data", metavar="DIR", help="Folder with the official files. Without it they come from the hub."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        Option(
            "--source",
            metavar="TASK=WHERE",
            help="Take a task's data from this file, or from USER/NAME[:CONFIGURATION[:SPLIT]] of the hub; may be "
            "given several times.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        Option(
            "--limit", metavar="N", min=1, help="Only the first N documents of each task (of a running text: lines)."
        ),
    ] = None,
    stride: Annotated[
        int | None,
        Option("--stride", metavar="N", min=1, help="Tokens by which the window moves over running text."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        Option("--set", metavar="TASK.KEY=VALUE", help="Change a setting of a task; may be given several times."),
    ] = None,
    any_data: Annotated[
        bool, Option("--any-data", help="Take files whose counts are not those of the official ones.")
    ] = False,
    cache: Annotated[
        bool, Option("--cache/--no-cache", help="Keep answers, so that the same command goes on where it was stopped.")
    ] = True,
    seed: Annotated[int, Option("--seed", metavar="N", min=0, help="Decides the bootstrap of the intervals.")] = 0,
    as_json: Annotated[bool, Option("--json", help="One JSON object with everything a result carries.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Evaluate a model by the protocols in use.

    Every figure comes with its 95 % interval (bootstrap) and with what it counts. docs/evaluation.md says what the
    presets do and why their figures differ.
    """
    from gpt2lab.cli import console, loading

    if listed:
        console.write(_list(as_json))
        return
    if bool(tasks) == table:
        raise ConfigError("Give --tasks NAMES or --table; gpt2lab eval --list shows the tasks.")
    wanted = load_tasks(
        tasks, data=data, preset=preset, stride=stride, assignments=assignments or (), sources=sources or (),
        offline=offline, official=not any_data,
    )  # fmt: skip
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    results, missing = _run(lm, wanted, limit=limit, seed=seed, cache=cache, may_miss=table)
    if table:
        from gpt2lab.evals import published

        row = published.nearest_row(lm.config.parameter_count())
        cells = published.table({r.task: r for r in results}, row)
        console.write(_table_json(model, cells, row, results) if as_json else _shown_table(model, cells, row, missing))
        return
    if as_json:
        console.write(console.to_json({"model": model, "results": [r.to_dict() for r in results]}, indent=2) + "\n")
        return
    console.write("\n\n".join(_shown(r) for r in results) + "\n")


def load_tasks(
    names: str | None,
    *,
    data: str | None = None,
    preset: str | None = None,
    stride: int | None = None,
    assignments: Sequence[str] = (),
    sources: Sequence[str] = (),
    offline: bool = False,
    official: bool = True,
) -> list[Task[Any]]:
    """Return the tasks called `names`, with commas between them, or None: those of the paper's table.

    `data` is a folder, `assignments` are TASK.KEY=VALUE, `sources` TASK=WHERE. Raises `ConfigError`, and `DataError`
    where a named task has no data.
    """
    from dataclasses import replace
    from pathlib import Path

    from gpt2lab.config import override
    from gpt2lab.evals.place import Place
    from gpt2lab.evals.published import COLUMNS
    from gpt2lab.evals.registry import TASKS, load_task

    place = Place(None if data is None else Path(data).expanduser(), offline=offline, official=official)

    if names is None:
        wanted = list(dict.fromkeys(column.task for column in COLUMNS))
    else:
        wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    settings = override({}, assignments)
    for name, values in settings.items():
        if name not in wanted or not isinstance(values, dict):
            raise ConfigError(f"--set {name!r} names no task that is run; write TASK.KEY=VALUE for one of {wanted}.")
    elsewhere = _sources(sources, wanted)
    strided = [n for n in wanted if n in TASKS and TASKS[n][0] == "perplexity"]
    if stride is not None and not strided:
        raise ConfigError("--stride is for running text; none of these tasks is.")
    made = []
    for name in wanted:
        moves = {"stride": stride} if stride is not None and name in strided else {}
        own = replace(place, source=elsewhere.get(name))
        task = load_task(name, preset=preset, place=own, settings={**moves, **settings.get(name, {})})
        if names is not None:
            task.load(1)  # what is missing or wrong is said before anything is computed
        made.append(task)
    return made


def _sources(given: Sequence[str], wanted: Sequence[str]) -> dict[str, Path | HubData]:
    """Return where the data of tasks are, by task. Raises `ConfigError`."""
    from gpt2lab.evals.place import read_source

    found = {}
    for text in given:
        name, equals, where = text.partition("=")
        if not equals or name not in wanted:
            raise ConfigError(f"--source {text!r} names no task that is run; write TASK=WHERE for one of {wanted}.")
        found[name] = read_source(where)
    return found


def _run(
    lm: LanguageModel, tasks: list[Task[Any]], *, limit: int | None, seed: int, cache: bool, may_miss: bool
) -> tuple[list[Result], dict[str, str]]:
    """Return the results, and for each task that had no data why, where tasks `may_miss` theirs."""
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.evals.answers import default_folder
    from gpt2lab.evals.place import MissingDataError
    from gpt2lab.evals.run import evaluate

    answers: Path | None = default_folder() if cache else None
    results: list[Result] = []
    missing: dict[str, str] = {}
    for task in tasks:
        with ProgressBar(task.name) as bar:
            try:
                results += evaluate(lm, [task], limit=limit, seed=seed, answers=answers, progress=bar.update)
            except MissingDataError as error:
                if not may_miss:
                    raise
                missing[task.name] = str(error)
    if not results:
        raise DataError(f"There is nothing to evaluate: {next(iter(missing.values()))}")
    return results, missing


# ---- showing --------------------------------------------------------------------------------------------------


def _list(as_json: bool) -> str:
    from gpt2lab.cli import console
    from gpt2lab.evals.registry import PRESETS, TASKS, presets_of

    if as_json:
        about = {name: {"about": TASKS[name][1], "presets": presets_of(name)} for name in TASKS}
        return console.to_json({"tasks": about, "presets": PRESETS}, indent=2) + "\n"
    rows = [(name, ", ".join(presets_of(name)), line) for name, (_, line) in TASKS.items()]
    lines = console.aligned([("task", "presets", "what it asks"), *rows])
    return "\n".join([*lines, "", *console.aligned([("preset", "protocol"), *PRESETS.items()])]) + "\n"


def _shown(result: Result) -> str:
    from gpt2lab.cli import console

    units = "".join(f", {count:,} {name}" for name, count in result.units.items())
    counted = f", {result.tokens:,} tokens{units}" if result.tokens else ""
    rows = [("figure", "value", "95 % interval", "unit")]
    for name, figure in result.figures.items():
        between = f"{_number(figure.low)} … {_number(figure.high)}" if figure.low == figure.low else "-"
        rows.append((name + (" *" if name == result.main else ""), _number(figure.value), between, figure.unit))
    head = f"{result.task}, preset {result.preset}: {result.documents:,} documents{counted}"
    first = "" if result.limit is None else f" (the first {result.limit:,} only)"
    odd = "" if result.data["official"] is not False else " (not the official file)"
    return "\n".join([head + first + odd, *console.aligned(rows, right=(1, 2))])


def _shown_table(model: str, cells: list[Cell], row: PublishedRow, missing: dict[str, str]) -> str:
    from gpt2lab.cli import console

    rows = [("column", "unit", model, row.name, "distance")]
    for cell in cells:
        measured = "-" if cell.measured is None else _number(cell.measured)
        distance = "-" if cell.distance is None else f"{cell.distance:+.2f}"
        rows.append((cell.column.heading, cell.column.unit, measured, _number(cell.published), distance))
    for reason in missing.values():
        console.note(reason)
    return "\n".join(console.aligned(rows, right=(2, 3, 4))) + "\n"


def _table_json(model: str, cells: list[Cell], row: PublishedRow, results: list[Result]) -> str:
    from gpt2lab.cli import console

    columns = [
        {
            "column": cell.column.heading,
            "unit": cell.column.unit,
            "task": cell.column.task,
            "figure": cell.column.figure,
            "measured": cell.measured,
            "published": cell.published,
            "distance": cell.distance,
        }
        for cell in cells
    ]
    value = {"model": model, "published": row.name, "columns": columns, "results": [r.to_dict() for r in results]}
    return console.to_json(value, indent=2) + "\n"


def _number(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.4e}"

"""`gpt2lab transfer`: a model fine-tuned to tell, to choose, to tag and to find, and what it then says."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpt2lab.apps.transfer.model import TransferModel
    from gpt2lab.apps.transfer.table import Row

TRAIN_EXAMPLES = examples(
    "gpt2lab transfer train recipes/sst2.toml --folder glue/SST-2",
    "gpt2lab transfer train --shape classification --data reviews.tsv --column text=review --epochs 3",
    "gpt2lab transfer train --shape entailment --data rte.jsonl --validation rte-dev.jsonl --model gpt2",
    "gpt2lab transfer train recipes/cola.toml --set task.weights=random --set train.seed=2 --set out=runs/random",
    "gpt2lab transfer train --resume runs/sst2",
)
PREDICT_EXAMPLES = examples(
    "gpt2lab transfer predict reviews.tsv --model runs/sst2",
    "gpt2lab transfer predict dev.tsv --model runs/sst2 --output predictions.jsonl --json",
    "head -n 5 reviews.jsonl | gpt2lab transfer predict - --model runs/sst2 --column text=review",
)
_NEW: dict[str, Any] = {
    "name": "transfer", "out": "runs/transfer",
    "optimizer": {"lr": 3e-4, "weight_decay": 0.01, "betas": [0.9, 0.999]},
    "schedule": {"name": "linear", "warmup_steps": 20},
    "train": {"batch_size": 16, "validate_every": 100, "keep_best": False},
}  # fmt: skip
"""What a run has that no recipe was given for."""


def app() -> typer.Typer:
    """Return the commands of `gpt2lab transfer`."""
    group = new_app()
    group.callback(context_settings=SETTINGS)(transfer)
    group.command("train", epilog=TRAIN_EXAMPLES, context_settings=SETTINGS)(train)
    group.command("predict", epilog=PREDICT_EXAMPLES, context_settings=SETTINGS)(predict)
    return group


def transfer() -> None:
    """Fine-tune a model to classify, compare, choose, tag and answer."""


Columns = Annotated[
    list[str] | None,
    Option(
        "--column",
        metavar="ROLE=NAME",
        help='What a column is: text=review, label=stars, context="{a} {b}"; choices may be given several times.',
    ),
]
ShapeOption = Annotated[
    str | None,
    Option("--shape", metavar="NAME", help="classification, entailment, similarity, choice, tags or span."),
]
FormatOption = Annotated[
    str | None, Option("--format", metavar="tsv|csv|jsonl", help="Of the files. Default: as their names end.")
]
Header = Annotated[
    bool | None,
    Option("--header/--no-header", help="Whether the first line names the columns; without, they are 1, 2 …"),
]


def train(
    recipe: Annotated[
        str | None, Argument(metavar="RECIPE", help="A TOML file; recipes/ has examples.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, Option("--data", metavar="FILE", help="The examples to learn from; - is stdin (JSON lines).")
    ] = None,
    validation: Annotated[
        list[str] | None, Option("--validation", metavar="FILE", help="Examples to judge by; several times.")
    ] = None,
    folder: Annotated[str | None, Option("--folder", metavar="DIR", help="Where the files of the recipe lie.")] = None,
    shape: ShapeOption = None,
    column: Columns = None,
    file_format: FormatOption = None,
    header: Header = None,
    model: Annotated[
        str | None, Option("--model", "-m", metavar="NAME", help="The model to begin with. Default: tiny.")
    ] = None,
    out: Annotated[str | None, Option("--out", "-o", metavar="DIR", help="The run's folder.")] = None,
    epochs: Annotated[
        float | None, Option("--epochs", metavar="X", help="How often all is read. Default: the recipe's, else 3.")
    ] = None,
    assignments: o.Assignments = None,
    resume: o.Resume = None,
    as_json: Annotated[bool, Option("--json", help="Print the report instead of the folder.")] = False,
    models_dir: o.ModelsDir = None,
) -> None:
    """Fine-tune a model on a table of examples, by a recipe or by options. Prints the folder of the model.

    The run's folder gets the model (transformers loads it with its head), report.json and the predictions on what was
    held out. Ctrl-C saves the run and its model; --resume goes on.
    """
    from gpt2lab.apps.transfer.training import REPORT, Transfer
    from gpt2lab.cli import console, loading

    values: dict[str, Any] | None = None
    overrides = list(assignments or [])
    if resume is None:
        task = _task(shape, column, file_format, header)
        task |= {"folder": folder} if folder is not None else {}
        task |= {"model": model} if model is not None else {}
        task |= {"validation": validation} if validation else {}
        values = _recipe(recipe, data, out, task)
        if recipe is None and epochs is None and not any(a.startswith(("train.steps", "train.max")) for a in overrides):
            epochs = 3.0
    elif any(given is not None for given in (recipe, data, out, shape, column, folder, model, epochs)) or validation:
        raise ConfigError("--resume goes on with a run as it was begun; change values with --set alone.")
    with _laid_down(values, overrides) as values:
        run = Transfer(
            values, overrides=overrides, resume=resume, epochs=epochs, models_dir=loading.expanded(models_dir)
        )  # fmt: skip
    if run.training.cut:
        console.note(
            f"{run.training.cut} of {len(run.training.items)} examples were cut to the window of {run.window} tokens"
        )
    if lost := len(run.training.items) - len(run.training.examples):
        console.note(f"{lost} examples whose answer lies behind the window are left out of the training")
    made = run.fit()
    if run.trainer.processes.is_main:
        report = (run.folder / REPORT).read_text(encoding="utf-8")
        console.write(report if as_json else f"{made}\n")


def _recipe(recipe: str | None, data: str | None, out: str | None, task: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's table with what the options say put in."""
    from gpt2lab.config import read_toml

    if recipe is None and (data is None or "shape" not in task):
        raise ConfigError("Give a recipe, or --data with --shape, or a run to go on with: --resume RUN.")
    values = read_toml(recipe) if recipe is not None else {**_NEW, "task": {"kind": "transfer"}}
    told = {"data": data, "out": out}
    before = values.get("task", {})
    if "columns" in task:
        task["columns"] = {**before.get("columns", {}), **task["columns"]}
    return {**values, **{k: v for k, v in told.items() if v is not None}, "task": {**before, **task}}


@contextlib.contextmanager
def _laid_down(values: dict[str, Any] | None, overrides: list[str]) -> Iterator[dict[str, Any] | None]:
    """Yield a recipe's table whose files can be read again: what comes from stdin or a pipe is laid down in the run's
    folder, where --resume finds it, and goes again where no run comes of it."""
    from pathlib import Path

    from gpt2lab.cli import console
    from gpt2lab.config import override

    task = (values or {}).get("task", {})
    held_out = list(task.get("validation", ()))
    piped = [name for name in ((values or {}).get("data"), *held_out) if name is not None and console.is_piped(name)]
    folder = Path(override(values or {}, overrides).get("out", ""))
    if values is None or not piped:
        yield values
        return
    if (folder / "checkpoints").exists():
        raise ConfigError(f"{folder} holds a run already: resume it, remove it, or name another folder with --out.")
    there, laid = folder.is_dir(), dict[str, str]()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for number, name in enumerate(dict.fromkeys(piped), start=1):
            ending = f".{task['format']}" if task.get("format") else Path(name).suffix or ".jsonl"
            laid[name] = str((folder / f"examples-{number}{ending}").absolute())
            console.lay_down(name, Path(laid[name]))
        held_out = [laid.get(name, name) for name in held_out]
        yield {**values, "data": laid.get(values["data"], values["data"]), "task": {**task, "validation": held_out}}
    except BaseException as error:
        for path in map(Path, laid.values()):
            path.unlink(missing_ok=True)  # also what an interruption has cut short
        if not there:
            with contextlib.suppress(OSError):  # something else has come to lie there
                folder.rmdir()
        if not isinstance(error, DataError):
            raise
        raise console.as_given(error, laid) from None


def _task(shape: str | None, columns: list[str] | None, file_format: str | None, header: bool | None) -> dict[str, Any]:
    """Return what options say of a task, as its table."""
    given = {"shape": shape, "format": file_format, "header": header}
    task: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    named: dict[str, Any] = {}
    for one in columns or []:
        role, sign, name = one.partition("=")
        if not sign or not role or not name:
            raise ConfigError(f"--column {one!r} is no assignment; write ROLE=NAME, for example text=review.")
        if role == "choices" and role in named:
            before = named[role]
            named[role] = [*(before if isinstance(before, list) else [before]), name]
        else:
            named[role] = name
    return {**task, "columns": named} if named else task


def predict(
    file: Annotated[str, Argument(metavar="FILE", help="A .tsv, .csv or .jsonl file; - is stdin (JSON lines).")],
    model: Annotated[
        str, Option("--model", "-m", metavar="DIR", help="A run, its model, or a folder of transformers with a head.")
    ],
    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Where predictions go, as JSON lines.")
    ] = None,
    shape: ShapeOption = None,
    column: Columns = None,
    file_format: FormatOption = None,
    header: Header = None,
    as_json: Annotated[
        bool, Option("--json", help="Print the report: how good the predictions are, where the file says.")
    ] = False,
    threads: o.Threads = None,
) -> None:
    """Say of every row what the model makes of it: the class, value, choice, tags or answer, with probabilities.

    Predictions are JSON lines on stdout, or in --output. Where the rows have their labels, how many are right is told
    too: on stderr, or with --json as one object on stdout (then predictions are not printed).
    """
    from gpt2lab.apps.transfer.decide import judged, plain
    from gpt2lab.apps.transfer.model import TransferModel
    from gpt2lab.cli import console
    from gpt2lab.cli.progress import ProgressBar

    console.check_output(output)
    found = TransferModel.load(
        model, task=_changed(model, _task(shape, column, file_format, header)), threads=threads
    )  # fmt: skip
    items = found.items(_rows(file, found, asked=file_format is not None))
    known = all(item.target is not None for item in items)
    if as_json and not known:
        raise ConfigError(f"{file} has rows without a label, so there is nothing to report; leave --json out.")
    with ProgressBar("predicting", unit="texts") as bar:
        said = found.said(items, progress=bar.update)
    if output is not None or not as_json:
        with console.open_output(output) as f:
            for one, item in zip(said, items, strict=True):
                f.write(json.dumps(plain(one, item, found.recipe, found.reading), ensure_ascii=False) + "\n")
    if not known:
        return
    measures = judged(found.recipe, items, said, found.reading)
    if as_json:
        console.write(console.to_json({"file": file, "examples": len(items), **measures}, indent=2) + "\n")
    else:
        console.say("  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in measures.items()))


def _changed(model: str, task: dict[str, Any]) -> dict[str, Any]:
    """Return the values that options change of what a model's folder says of its task."""
    if "columns" not in task:
        return task
    from pathlib import Path

    from gpt2lab.apps.transfer.model import ABOUT
    from gpt2lab.files import read_json
    from gpt2lab.train.recipe import MODEL

    place = Path(model).expanduser()
    about = next((p for p in (place / MODEL / ABOUT, place / ABOUT) if p.is_file()), None)
    before = read_json(about).get("task", {}).get("columns", {}) if about is not None else {}
    return {**task, "columns": {**before, **task["columns"]}}


def _rows(file: str, found: TransferModel, *, asked: bool) -> list[Row]:
    from gpt2lab.apps.transfer.table import read_table, rows_of
    from gpt2lab.cli import console

    recipe = found.recipe
    if file == console.STDIN:
        kind = recipe.format if asked and recipe.format else "jsonl"
        return rows_of(console.read_bytes(file), "Standard input", kind=kind, header=recipe.header)
    # the examples of the training may have had another format than what is asked now
    known = file.endswith((".tsv", ".csv", ".jsonl")) and not asked
    return read_table(file, kind=None if known else recipe.format, header=recipe.header)

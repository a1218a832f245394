"""What pretraining is worth: the embedded model against the same shape from random weights, on every recipe of GLUE.

Each run is `gpt2lab transfer train` by a shipped recipe with its model's weights or with random ones, and leaves one
JSON file; what is there already is not computed again, so that the table may be made in parts. Nothing but the weights
differs between the two of a seed: order of the examples, steps and rates are the same.

Usage: python -m benchmarks.transfer --data FOLDER --out FOLDER [--recipes rte,cola] [--seeds 5] [--rates 5e-4,1e-3]
       python -m benchmarks.transfer --out FOLDER --table

FOLDER of the data holds GLUE's (CoLA, SST-2, MRPC, RTE, STS-B) and `storycloze`, each with the files of its recipe.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import paired
from benchmarks.paired import RECIPES, Run, Shown
from gpt2lab import __version__
from gpt2lab.apps.transfer.training import REPORT, Transfer
from gpt2lab.files import read_json


class Case(NamedTuple):
    """Where a recipe's data lie, what it is judged by, and what that is called."""

    folder: str
    measure: str
    shown: str


CASES = {
    "rte": Case("RTE", "accuracy", "accuracy"),
    "mrpc": Case("MRPC", "f1", "F1"),
    "stsb": Case("STS-B", "pearson", "Pearson"),
    "cola": Case("CoLA", "matthews", "Matthews"),
    "storycloze": Case("storycloze", "accuracy", "accuracy"),
    "sst2": Case("SST-2", "accuracy", "accuracy"),
}
"""By the size of the data, the smallest first."""


def train(run: Run, data: Path, out: Path, settings: Sequence[str]) -> dict[str, Any]:
    """Do a run and return what is kept of it."""
    place = out / f"{run.name}.run"
    shutil.rmtree(place, ignore_errors=True)
    rate = [] if run.rate is None else [f"optimizer.lr={run.rate}"]
    began = time.monotonic()
    done = Transfer(
        RECIPES / f"{run.recipe}.toml",
        overrides=[
            f"out={place}", f"task.folder={data / CASES[run.recipe].folder}", f"task.weights={run.weights}",
            f"train.seed={run.seed}", "train.tensorboard=false", *rate, *settings,
        ],
    )  # fmt: skip
    done.fit()
    report = read_json(place / REPORT)
    shutil.rmtree(place)
    return {
        **run._asdict(), "gpt2lab": __version__, "seconds": round(time.monotonic() - began, 1),
        "settings": list(settings), "report": report,
    }  # fmt: skip


def measured(result: dict[str, Any]) -> float:
    """Return the figure of a run: on its test file where the recipe has one, else on its validation file."""
    report = result["report"]
    return float(report.get("test", report.get("validation"))[CASES[result["recipe"]].measure])


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the rows of a Markdown table, see `benchmarks.paired.table`."""
    shown = {recipe: [Shown(case.shown, measured, True)] for recipe, case in CASES.items()}
    return paired.table(results, "data", shown)


def main(arguments: Sequence[str] | None = None) -> None:
    paired.main(__doc__, list(CASES), train, table, arguments)


if __name__ == "__main__":
    main()

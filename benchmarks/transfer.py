"""What pretraining is worth: the embedded model against the same shape from random weights, on every recipe of GLUE.

Each run is `gpt2lab transfer train` by a shipped recipe with its model's weights or with random ones, and leaves one
JSON file; what is there already is not computed again, so that the table may be made in parts. Nothing but the weights
differs between the two of a seed: order of the examples, steps and rates are the same.

Usage: python -m benchmarks.transfer --data FOLDER --out FOLDER [--recipes rte,cola] [--seeds 5] [--rates 5e-4,1e-3]
       python -m benchmarks.transfer --out FOLDER --table

FOLDER of the data holds GLUE's (CoLA, SST-2, MRPC, RTE, STS-B) and `storycloze`, each with the files of its recipe.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpt2lab import __version__
from gpt2lab.apps.transfer.training import REPORT, Transfer
from gpt2lab.files import read_json, write_json

RECIPES = Path(__file__).parents[1] / "recipes"
WEIGHTS = ("pretrained", "random")


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


class Run(NamedTuple):
    """One training."""

    recipe: str
    weights: str
    seed: int
    rate: float | None

    @property
    def name(self) -> str:
        rate = "" if self.rate is None else f"-{self.rate:g}"
        return f"{self.recipe}-{self.weights}{rate}-{self.seed}"


def runs(recipes: Sequence[str], seeds: int, rates: Sequence[float | None]) -> Iterator[Run]:
    """Yield all runs, seed by seed, so that a table cut short has all rows."""
    for recipe in recipes:
        for seed in range(seeds):
            for rate in rates:
                yield from (Run(recipe, weights, seed, rate) for weights in WEIGHTS)


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
    """Return the rows of a Markdown table: mean and spread of each side, and in how many seeds the first was better."""
    lines = ["| data | judged by | embedded | random | difference | seeds it wins |", "|---|---|---|---|---|---|"]
    for recipe, case in CASES.items():
        for rate in sorted({r["rate"] for r in results if r["recipe"] == recipe}, key=lambda x: x or 0):
            found = {
                weights: {r["seed"]: measured(r) for r in results
                          if (r["recipe"], r["weights"], r["rate"]) == (recipe, weights, rate)}
                for weights in WEIGHTS
            }  # fmt: skip
            both = sorted(found["pretrained"].keys() & found["random"].keys())
            if not both:
                continue
            ours, theirs = ([found[weights][seed] for seed in both] for weights in WEIGHTS)
            wins = sum(a > b for a, b in zip(ours, theirs, strict=True))
            name = recipe if rate is None else f"{recipe}, rate {rate:g}"
            difference = statistics.fmean(ours) - statistics.fmean(theirs)
            lines.append(
                f"| {name} | {case.shown} | {spread(ours)} | {spread(theirs)} | {difference:+.3f} | "
                f"{wins} of {len(both)} |"
            )
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Return the mean of values, and their standard deviation where there are several."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{deviation}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--recipes", default=",".join(CASES), help="which, and in which order")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", default="", help="learning rates; default: the recipe's own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipes")
    parser.add_argument("--table", action="store_true", help="only write the table of what there is")
    given = parser.parse_args(arguments)
    if given.data is not None and not given.table:
        rates: list[float | None] = [float(rate) for rate in given.rates.split(",") if rate] or [None]
        for run in runs(given.recipes.split(","), given.seeds, rates):
            kept = given.out / f"{run.name}.json"
            if not kept.is_file():
                write_json(kept, train(run, given.data, given.out, given.set))
    print(table([read_json(path) for path in sorted(given.out.glob("*.json"))]))


if __name__ == "__main__":
    main()

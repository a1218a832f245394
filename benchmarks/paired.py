"""Trainings in pairs, from a model's weights and from random ones of its shape, seed by seed, and the table of both."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpt2lab.files import read_json, write_json

RECIPES = Path(__file__).parents[1] / "recipes"
WEIGHTS = ("pretrained", "random")

Result = dict[str, Any]
"""What is kept of a run: the fields of `Run`, "report" and what else is worth knowing."""


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


class Shown(NamedTuple):
    """A measure of the table: its name, what it is of a result, and whether more is better."""

    name: str
    of: Callable[[Result], float]
    more: bool


def table(results: Sequence[Result], first: str, shown: Mapping[str, Sequence[Shown]]) -> str:
    """Return the rows of a Markdown table: mean and spread of each side, and in how many seeds the first was better.

    `first` heads the column of recipes, of which `shown` has the measures.
    """
    lines = [f"| {first} | judged by | embedded | random | difference | seeds it wins |", "|---|---|---|---|---|---|"]
    for recipe, measures in shown.items():
        for rate in sorted({r["rate"] for r in results if r["recipe"] == recipe}, key=lambda x: x or 0):
            name = recipe if rate is None else f"{recipe}, rate {rate:g}"
            found = {
                weights: {r["seed"]: r for r in results
                          if (r["recipe"], r["weights"], r["rate"]) == (recipe, weights, rate)}
                for weights in WEIGHTS
            }  # fmt: skip
            both = sorted(found["pretrained"].keys() & found["random"].keys())
            for measure in measures if both else ():
                ours, theirs = ([measure.of(found[weights][seed]) for seed in both] for weights in WEIGHTS)
                wins = sum(a > b if measure.more else a < b for a, b in zip(ours, theirs, strict=True))
                difference = statistics.fmean(ours) - statistics.fmean(theirs)
                lines.append(
                    f"| {name} | {measure.name} | {spread(ours)} | {spread(theirs)} | {difference:+.3f} | "
                    f"{wins} of {len(both)} |"
                )
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Return the mean of values, and their standard deviation where there are several."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{deviation}"


def main(
    about: str | None,
    recipes: Sequence[str],
    train: Callable[[Run, Path, Path, Sequence[str]], Result],
    written: Callable[[Sequence[Result]], str],
    arguments: Sequence[str] | None,
) -> None:
    """Do the runs that have left no file yet, and print the table of all; `train` gets run, data, out and settings."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--recipes", default=",".join(recipes), help="which, and in which order")
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
    print(written([read_json(path) for path in sorted(given.out.glob("*.json"))]))

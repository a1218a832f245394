"""What pretraining is worth where pairs are few: translation and headlines learnt from 1 % of the data, by the embedded
model and by the same shape from random weights.

Each run is `gpt2lab seq2seq train` by a shipped recipe with its model's weights or with random ones, and leaves one
JSON file; what is there already is not computed again, so that the table may be made in parts. A seed draws which pairs
are learnt, their order and the random weights; nothing but the weights differs between the two of a seed. Of what is
held out one half chooses the weights that are kept; the other half is read once, and the table says what came of it.

Usage: python -m benchmarks.few_pairs --data FOLDER --out FOLDER [--recipes translate-few] [--seeds 5] [--rates 1e-3]
       python -m benchmarks.few_pairs --out FOLDER --table

FOLDER of the data holds `translate/multi30k` (train and val, .en.gz and .de.gz) and `news/ag_news_test.csv`.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import paired
from benchmarks.paired import RECIPES, Run, Shown
from gpt2lab import __version__
from gpt2lab.apps.seq2seq import training
from gpt2lab.apps.seq2seq.pairs import Pair, read_pairs
from gpt2lab.apps.seq2seq.scores import bleu_of, rouge_of
from gpt2lab.apps.seq2seq.write import PairModel
from gpt2lab.engine.likelihood import Pair as Continued
from gpt2lab.engine.likelihood import likelihoods
from gpt2lab.files import atomic_write

SHARE = 0.01
"""Of the pairs there are to learn from."""

HELD_OUT = 500
"""Pairs that are held out, every other one to choose the weights to keep."""

PARTS = ("train", "validation", "test")

Parts = tuple[list[Pair], list[Pair], list[Pair]]
"""All that could be learnt, what chooses the weights to keep, and what judges them."""


def captions(data: Path) -> Parts:
    """Return Multi30k's pairs, English to German: what is held out is of its validation file."""
    folder = data / "translate" / "multi30k"
    known, held_out = (
        read_pairs([folder / f"{split}.{side}.gz" for side in ("en", "de")]) for split in ("train", "val")
    )
    return known, held_out[:HELD_OUT:2], held_out[1:HELD_OUT:2]


def headlines(data: Path) -> Parts:
    """Return AG News's descriptions and titles; of the file the first are held out."""
    with (data / "news" / "ag_news_test.csv").open(encoding="utf-8", newline="") as f:
        found = [Pair(" ".join(text.split()), " ".join(title.split())) for _, title, text in csv.reader(f)]
    count = min(HELD_OUT, len(found) // 2)
    return found[count:], found[:count:2], found[1:count:2]


def translation_measures(given: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """Return BLEU and chrF (sacrebleu), both 0 to 100."""
    from sacrebleu.metrics.chrf import CHRF

    return {"bleu": bleu_of(given, right), "chrf": float(CHRF().corpus_score(given, [right]).score)}


class Case(NamedTuple):
    """Where pairs come from, what texts are worth, and which measures are shown: key, name, whether more is better."""

    pairs: Callable[[Path], Parts]
    measures: Callable[[Sequence[str], Sequence[str]], Mapping[str, float]]
    shown: Mapping[str, tuple[str, bool]]


LOSS = {"bits_per_byte": ("bits a byte of the target", False)}

CASES = {
    "translate-few": Case(captions, translation_measures, {**LOSS, "bleu": ("BLEU", True), "chrf": ("chrF", True)}),
    "headlines-few": Case(headlines, rouge_of, {**LOSS, "rouge1": ("ROUGE-1", True), "rougeLsum": ("ROUGE-L", True)}),
}


def drawn(case: Case, data: Path, seed: int) -> Parts:
    """Return a seed's pairs to learn, in the order of their files, and what is held out, which is every seed's."""
    known, validation, test = case.pairs(data)
    count = max(round(SHARE * len(known)), 1)
    chosen = np.random.default_rng(seed).choice(len(known), count, replace=False)
    return [known[i] for i in sorted(chosen)], validation, test


def train(run: Run, data: Path, out: Path, settings: Sequence[str]) -> dict[str, Any]:
    """Do a run and return what is kept of it."""
    place, case = out / f"{run.name}.run", CASES[run.recipe]
    shutil.rmtree(place, ignore_errors=True)
    parts = drawn(case, data, run.seed)
    for name, pairs in zip(PARTS, parts, strict=True):
        _write(place / f"{name}.jsonl", pairs)
    rate = [] if run.rate is None else [f"optimizer.lr={run.rate}"]
    began = time.monotonic()
    done = training.trainer(
        RECIPES / f"{run.recipe}.toml",
        overrides=[
            f"out={place / 'run'}", f"data={place}", 'task.train=["train.jsonl"]',
            'task.validation=["validation.jsonl"]', f"task.weights={run.weights}", f"train.seed={run.seed}",
            "train.tensorboard=false", *rate, *settings,
        ],
    )  # fmt: skip
    model = PairModel.load(training.finish(done), threads=done.recipe.train.threads)
    learnt = time.monotonic()
    report = {
        "weights": run.weights, "steps": done.step, "pairs": [len(pairs) for pairs in parts],
        **judged(model, parts[2], case),
    }  # fmt: skip
    shutil.rmtree(place)
    return {
        **run._asdict(), "gpt2lab": __version__, "seconds": round(learnt - began, 1), "settings": list(settings),
        "report": report,
    }  # fmt: skip


def judged(model: PairModel, pairs: Sequence[Pair], case: Case) -> dict[str, float]:
    """Return what a model is worth on pairs: the loss of their targets, ends included, and of what it writes itself."""
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    rows = [row.ids.astype(np.int32) for row in model.codec.rows(sources, targets)]
    places = [row.delimiter + 1 for row in model.codec.rows(sources, targets)]
    asked = [Continued(ids[:place], ids[place:]) for ids, place in zip(rows, places, strict=True)]
    nats = -sum(float(found.logprobs.astype(np.float64).sum()) for _, found in likelihoods(model.lm.backend, asked))
    tokens, octets = sum(len(pair.continuation) for pair in asked), sum(len(text.encode()) for text in targets)
    written = [one.text for one in model.write(sources)]
    return {
        "nats_per_token": nats / tokens, "bits_per_byte": nats / math.log(2) / octets, **case.measures(written, targets)
    }  # fmt: skip


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the rows of a Markdown table, see `benchmarks.paired.table`."""
    shown = {
        recipe: [Shown(name, functools.partial(_reported, key), more) for key, (name, more) in case.shown.items()]
        for recipe, case in CASES.items()
    }
    return paired.table(results, "recipe", shown)


def _reported(key: str, result: dict[str, Any]) -> float:
    return float(result["report"][key])


def _write(path: Path, pairs: Sequence[Pair]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as f:
        f.writelines(json.dumps(pair._asdict(), ensure_ascii=False) + "\n" for pair in pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    paired.main(__doc__, list(CASES), train, table, arguments)


if __name__ == "__main__":
    main()

"""Runs evaluations: documents to requests, requests to answers, answers to figures with their intervals."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gpt2lab
from gpt2lab.config import to_dict
from gpt2lab.evals.answers import AnswerStore
from gpt2lab.evals.results import Measured, Result
from gpt2lab.evals.scorer import Scorer
from gpt2lab.evals.task import NATS, UNITS, Task
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.bootstrap import Row, intervals, sums

RESAMPLES = 1000
"""Bootstrap resamples of an interval."""


def evaluate(
    lm: LanguageModel,
    tasks: Sequence[Task[Any]],
    *,
    limit: int | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    answers: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    done: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Return the result of every task, in order.

    `limit` takes only the first documents (of a running text: lines) of each. `seed` decides the bootstrap, of
    `resamples` resamples (0: no intervals). `answers` is the folder in which answers are kept, so that a run that was
    stopped goes on where it was (None: nothing is kept). `progress(done, total)` counts the tokens of each task,
    `done(result)` hears of its result at once. The same model, tasks and seed give the same result bit for bit. Raises
    what loading the data and asking the model raise.
    """
    fingerprint = lm.backend.fingerprint()
    store = None if answers is None else AnswerStore(answers, fingerprint)
    results = []
    try:
        for task in tasks:
            result = _evaluate(Scorer(lm, store=store, progress=progress), task, limit, (resamples, seed), fingerprint)
            if done is not None:
                done(result)
            results.append(result)
    finally:
        if store is not None:
            store.close()
    return results


def _evaluate(
    scorer: Scorer, task: Task[Any], limit: int | None, bootstrap: tuple[int, int], fingerprint: str
) -> Result:
    documents, provenance = task.load(limit)
    asked = [task.requests(document) for document in documents]
    answers = iter(scorer.answer([request for requests in asked for request in requests]))
    rows: list[Row] = []
    for document, requests in zip(documents, asked, strict=True):
        rows += task.rows(document, [next(answers) for _ in requests])
    total = sums(rows)
    return Result(
        task=task.name,
        preset=task.preset,
        main=task.main,
        figures=_figures(task, rows, total, bootstrap),
        documents=len(documents),
        rows=len(rows),
        tokens=int(total.get("tokens", 0)),
        units={name: int(total[name]) for name in UNITS[1:] if name in total},
        log_likelihood=-total[NATS] if NATS in total else None,
        settings=to_dict(task.settings),
        data=to_dict(provenance),
        model={
            "source": scorer.lm.source,
            "engine": scorer.lm.backend.description.partition(",")[0],
            "fingerprint": fingerprint,
            "tokenizer": tokenizer_digest(scorer.tokenizer),
            "parameters": scorer.lm.config.parameter_count(),
            "n_positions": scorer.lm.config.n_positions,
        },
        versions={
            "gpt2lab": gpt2lab.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        limit=limit,
    )


def _figures(
    task: Task[Any], rows: Sequence[Row], total: dict[str, float], bootstrap: tuple[int, int]
) -> dict[str, Measured]:
    resamples, seed = bootstrap
    bounds = intervals(rows, {name: figure.of for name, figure in task.figures.items()}, resamples=resamples, seed=seed)
    found = {
        name: Measured(
            figure.of(total), figure.unit, figure.better, bounds[name].stderr, bounds[name].low, bounds[name].high
        )
        for name, figure in task.figures.items()
    }
    for name, value in task.further(rows).items():
        found[name] = Measured(value, "", "higher")
    return found


def tokenizer_digest(tokenizer: Any) -> str:
    """Return a digest of a vocabulary and its merges, as 32 hexadecimal digits."""
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    digest.update(repr((sorted(tokenizer.vocab.items()), list(tokenizer.merges))).encode())
    return digest.hexdigest()

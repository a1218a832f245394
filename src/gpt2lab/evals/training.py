"""Evaluations while a model is trained: a callback of the training loop whose figures join the run's metrics.

The loop knows callbacks only; what a task is, it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpt2lab.evals.run import evaluate
from gpt2lab.evals.task import Task
from gpt2lab.lm.samples import language_model
from gpt2lab.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.train.loop import Trainer


class Evaluations:
    """Evaluates the model of a run on `tasks`: after every `every`-th step, or (None) with each validation.

    The figures are called TASK/FIGURE among the metrics; those that are no number are left out. `limit` as in
    `evaluate`. Pass `begin` to `gpt2lab.lm.training.train`, or call it with a `Trainer`.
    """

    def __init__(self, tasks: Sequence[Task[Any]], *, every: int | None = None, limit: int | None = None) -> None:
        self._tasks, self._every, self._limit = list(tasks), every, limit
        self._run: Trainer | None = None
        self._tokenizer: Tokenizer | None = None

    def begin(self, run: Trainer, tokenizer: Tokenizer) -> None:
        """Take the model of `run` from now on, and have the run call this."""
        from gpt2lab.train.loop import Every

        self._run, self._tokenizer = run, tokenizer
        run.add(self if self._every is None else Every(self._every, self))

    def __call__(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Return the figures of every task, in the process that speaks."""
        assert self._run is not None
        if not self._run.processes.is_main:
            return {}
        lm = language_model(self._run, model, self._tokenizer, {})
        return {
            f"{result.task}/{name}": figure.value
            for result in evaluate(lm, self._tasks, limit=self._limit, resamples=0)
            for name, figure in result.figures.items()
            if math.isfinite(figure.value)
        }

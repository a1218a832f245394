"""Generation where a rule says at each step which tokens may come next, as grammars and forced parts need it.

Works with every backend and chooses as `Batch` does: the rule only takes tokens away before a choice is made. A text
depends on its own prompt, parameters, sample number and rule alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.generate import DEFAULT_BATCH_SIZE
from gpt2lab.engine.jobs import Job, Output, check_window, damaged_weights, no_token_left
from gpt2lab.engine.likelihood import log_softmax
from gpt2lab.engine.native import choose_isa
from gpt2lab.engine.params import check_whole
from gpt2lab.engine.protocol import Backend
from gpt2lab.engine.score import drained
from gpt2lab.engine.stepped import SteppedSequence


class Rule(Protocol):
    """What one text may become. It is told every token of its own, after those of the prompt."""

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Return for each token of the vocabulary, (V,), whether it may come next; at least one must."""
        ...

    def accept(self, token: int) -> None:
        """Take note of the token that came."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the text ends here."""
        ...


def generate_guided(
    backend: Backend,
    jobs: Sequence[Job],
    rules: Sequence[Rule],
    *,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Output]:
    """Return what comes of every job under its rule, in order; `finish` is "stop" where the rule ended it.

    The log-probabilities are the model's own, among all tokens. `progress` is told the number of new tokens.
    """
    return drained(guided_pieces(backend, jobs, rules, batch_size=batch_size), progress)


def guided_pieces(
    backend: Backend, jobs: Sequence[Job], rules: Sequence[Rule], *, batch_size: int | None = None
) -> Generator[int, None, list[Output]]:
    """Do the same a step at a time: yields the number of new tokens of each, for `Scheduler.run`."""
    size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    check_whole("batch_size", size, 1)
    n = backend.config.n_positions
    waiting = list(range(len(jobs)))[::-1]
    active: dict[int, SteppedSequence] = {}
    done: dict[int, Output] = {}
    isa = choose_isa()
    own: dict[int, list[float]] = {}
    while waiting or active:
        while waiting and len(active) < size:
            number = waiting.pop()
            job = jobs[number]
            check_window(job, n)
            active[number], own[number] = _begun(backend, job, n), []
            if rules[number].complete or job.params.max_new_tokens == 0:
                done[number] = _output(active.pop(number), own[number], complete=rules[number].complete, job=job)
        if not active:
            continue
        numbers = list(active)
        logits = backend.forward([active[i].cache for i in numbers], [active[i].pending() for i in numbers])  # (B, V)
        for row, number in zip(logits, numbers, strict=True):
            _choose(active[number], row, rules[number], own[number], isa)
            complete = rules[number].complete
            if complete or not active[number].running:
                done[number] = _output(active.pop(number), own[number], complete=complete, job=jobs[number])
        yield len(numbers)
    return [done[i] for i in range(len(jobs))]


def _begun(backend: Backend, job: Job, n_positions: int) -> SteppedSequence:
    return SteppedSequence.begin(job.prompt, job.params, job.sample, backend.new_cache(), n_positions)


def _choose(
    sequence: SteppedSequence, row: npt.NDArray[np.float32], rule: Rule, logprobs: list[float], isa: str
) -> None:
    """Choose a token among those that the rule allows, and tell it which."""
    allowed = rule.allowed()
    if not allowed.any():
        raise no_token_left()
    if not np.isfinite(row).all():
        raise damaged_weights()
    sequence.accept(np.where(allowed, row, np.float32(-np.inf)), isa)
    if sequence.finish == "banned":
        raise no_token_left()
    (token,) = sequence.ids_from(sequence.prompt_length + sequence.generated - 1)
    logprobs.append(float(log_softmax(row[None])[0, token]))
    rule.accept(token)


def _output(sequence: SteppedSequence, logprobs: Sequence[float], *, complete: bool, job: Job) -> Output:
    ids = sequence.ids_from(sequence.prompt_length)
    ended = bool(ids) and ids[-1] in (job.params.stop_ids or ())
    count = len(ids) - ended
    finish = "eos" if ended else "stop" if complete else "length"
    return Output(ids[:count], list(logprobs[:count]), [], finish)

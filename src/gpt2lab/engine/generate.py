"""Running many generations at once: admission, bursts of tokens, early stops, order kept.

Tokens are made in bursts so that the loop over tokens stays inside the backend; between bursts the caller sees what
came, may stop a text, and Ctrl-C is noticed. No choice made here changes a token: a text depends on its own prompt,
parameters and sample number alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpt2lab.engine.params import SamplingParams, check_whole
from gpt2lab.engine.protocol import Backend, Ids, TextSequence
from gpt2lab.errors import CheckpointError, RequestError

DEFAULT_BATCH_SIZE = 16
_BURST_SECONDS = 0.1  # how long Ctrl-C, a stop string or a deadline may have to wait
_MAX_BURST = 64


@dataclass(frozen=True, slots=True)
class Job:
    """One text to generate: token ids of its prompt, parameters, and the number of its random stream."""

    prompt: Ids
    params: SamplingParams
    sample: int = 0


class Progress(NamedTuple):
    """New tokens of the job numbered `job`; `finish` is "" until its last report, then "length", "stop" or "eos"."""

    job: int
    ids: list[int]
    finish: str


@dataclass(frozen=True, slots=True)
class Output:
    """One finished text.

    `ids`: the generated tokens without the end token; `logprobs`: the model's own log-probability of each;
    `top_logprobs`: for each, the likeliest (id, log-probability) pairs, if they were asked for;
    `finish`: "length", "stop" (the caller stopped it) or "eos" (an end token came).
    """

    ids: list[int]
    logprobs: list[float]
    top_logprobs: list[list[tuple[int, float]]]
    finish: str


def check_prompt(prompt: Sequence[int] | Ids, vocab_size: int) -> Ids:
    """Return the prompt as an id array; an empty one or an id outside 0 … vocab_size-1 is a `RequestError`."""
    try:
        ids = np.ascontiguousarray(prompt, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise RequestError("Token ids must be a list of whole numbers.") from None
    if ids.ndim != 1:
        raise RequestError("Token ids must be one flat list of whole numbers.")
    if ids.size == 0:
        raise RequestError("The prompt is empty; give at least one token.")
    if ids.min() < 0 or ids.max() >= vocab_size:
        bad = int(ids[(ids < 0) | (ids >= vocab_size)][0])
        raise RequestError(f"Token id {bad} is not one of the model's: 0 to {vocab_size - 1}.")
    return ids.astype(np.int32)


def no_token_left() -> RequestError:
    """Return the error for bans that leave nothing to choose from."""
    return RequestError(
        "No token is possible: bad_words, logit_bias, no_repeat_ngram_size and min_new_tokens together ban every one."
    )


def damaged_weights() -> CheckpointError:
    """Return the error for logits that are not numbers."""
    return CheckpointError("The model's output is not a number (NaN or infinite); its weights are damaged.")


class Batch:
    """Generates all jobs, at most `batch_size` at a time; iterate to run it, then read `output(job)`.

    `max_burst` bounds the tokens made between two reports of a text (1 to see every token at once).
    """

    def __init__(
        self, backend: Backend, jobs: Sequence[Job], *, batch_size: int | None = None, max_burst: int = _MAX_BURST
    ) -> None:
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        check_whole("batch_size", size, 1)
        self._backend, self._jobs, self._size, self._max_burst = backend, list(jobs), size, max_burst
        for job in self._jobs:
            _check_window(job, backend.config.n_positions)
        self._sequences: list[TextSequence | None] = [None] * len(self._jobs)
        self._outputs: list[Output | None] = [None] * len(self._jobs)
        self._stopped: set[int] = set()
        self._base: tuple[int, TextSequence] | None = None  # the prompt that the next samples share

    def stop(self, job: int) -> None:
        """End a job now; its finish is "stop"."""
        self._stopped.add(job)
        sequence = self._sequences[job]
        if sequence is not None:
            sequence.stop()

    def output(self, job: int) -> Output:
        """Return a finished job's output."""
        output = self._outputs[job]
        if output is None:
            raise RequestError(f"Generation {job} has not finished.")
        return output

    def __iter__(self) -> Iterator[Progress]:
        waiting = iter(range(len(self._jobs)))
        active: list[int] = []
        reported = [0] * len(self._jobs)
        started = time.monotonic()
        burst = 1
        while True:
            while len(active) < self._size and (job := next(waiting, None)) is not None:
                self._sequences[job] = self._admit(job)
                active.append(job)
            if not active:
                return
            before = time.monotonic()
            self._backend.decode([self._running(job) for job in active], burst)
            elapsed = time.monotonic() - before
            burst = min(burst * 2, self._max_burst) if elapsed < _BURST_SECONDS / 2 else max(burst // 2, 1)
            self._stop_late(active, time.monotonic() - started)
            for job in list(active):
                sequence = self._running(job)
                ids = sequence.ids_from(sequence.prompt_length + reported[job])
                reported[job] += len(ids)
                finish = self._finish(job, sequence, ids)
                yield Progress(job, ids[:-1] if finish == "eos" else ids, finish)
                if not finish and job in self._stopped:
                    finish = "stop"
                if finish:
                    self._outputs[job] = _collect(sequence, finish)
                    self._sequences[job] = None
                    active.remove(job)

    def _running(self, job: int) -> TextSequence:
        sequence = self._sequences[job]
        assert sequence is not None
        return sequence

    def _admit(self, job: int) -> TextSequence:
        """Start a job; samples of one prompt that follow each other share its computation."""
        this = self._jobs[job]
        if self._base is not None and _same_text(self._jobs[self._base[0]], this):
            return self._base[1].fork(this.sample)
        sequence = self._backend.sequence(this.prompt, this.params, this.sample)
        self._base = None
        if job + 1 < len(self._jobs) and _same_text(this, self._jobs[job + 1]):
            self._backend.prefill([sequence])
            self._base = (job, sequence.fork(this.sample))
        return sequence

    def _stop_late(self, active: Sequence[int], elapsed: float) -> None:
        for job in active:
            limit = self._jobs[job].params.max_time
            if limit is not None and elapsed >= limit and self._running(job).running:
                self._running(job).stop()

    def _finish(self, job: int, sequence: TextSequence, new_ids: Sequence[int]) -> str:
        """Return the engine's word for the end of a sequence in the words of `Output.finish`, "" while it runs."""
        if sequence.finish == "banned":
            raise no_token_left()
        if sequence.finish == "broken":
            raise damaged_weights()
        if sequence.finish != "stop":
            return sequence.finish
        if job in self._stopped:
            return "stop"
        ended = bool(new_ids) and new_ids[-1] in (self._jobs[job].params.stop_ids or ())
        return "eos" if ended else "length"  # "length" when its time ran out


def _same_text(a: Job, b: Job) -> bool:
    return a.params is b.params and a.prompt is b.prompt


def _check_window(job: Job, n_positions: int) -> None:
    total = len(job.prompt) + job.params.max_new_tokens
    if job.params.window == "strict" and total > n_positions + 1:
        raise RequestError(
            f"The prompt's {len(job.prompt)} tokens and {job.params.max_new_tokens} new ones do not fit "
            f"the model's window of {n_positions}; ask for fewer, or let the window slide (window='half')."
        )


def _collect(sequence: TextSequence, finish: str) -> Output:
    ids = sequence.ids_from(sequence.prompt_length)
    count = len(ids) - (finish == "eos")
    pairs, k = sequence.top_logprobs, len(sequence.top_logprobs) // max(len(ids), 1)
    tops = [pairs[i * k : (i + 1) * k] for i in range(count)] if k else []
    return Output(ids[:count], sequence.logprobs[:count], tops, finish)

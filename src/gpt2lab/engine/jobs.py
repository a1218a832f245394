"""One text to generate: what is asked, what comes of it piece by piece, and how it ends.

`Batch` (generate.py) and `Scheduler` (scheduler.py) run many of them; neither is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import gpt2lab._native as _native
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, Ids, TextSequence
from gpt2lab.errors import CheckpointError, RequestError

TopLogprobs = list[list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Job:
    """One text to generate: token ids of its prompt, parameters, and the number of its random stream."""

    prompt: Ids
    params: SamplingParams
    sample: int = 0

    def window(self, n_positions: int) -> Ids:
        """Return the part of the prompt that the model reads: its end, where it is longer than the model's window."""
        return self.prompt[_native.window_start(len(self.prompt), n_positions, self.params.stride(n_positions)) :]


class End(NamedTuple):
    """The end token of a text, with its log-probability and the likeliest tokens in its place, as in `Output`."""

    id: int
    logprob: float
    top_logprobs: list[tuple[int, float]]


class Progress(NamedTuple):
    """New tokens of the job numbered `job`, with their log-probabilities as in `Output`.

    `finish` is "" until its last report, then "length", "stop" or "eos"; `end` comes with "eos" only.
    """

    job: int
    ids: list[int]
    finish: str
    logprobs: list[float]
    top_logprobs: TopLogprobs
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One finished text.

    `ids`: the generated tokens without the end token; `logprobs`: the model's own log-probability of each;
    `top_logprobs`: for each, the likeliest (id, log-probability) pairs, if they were asked for;
    `finish`: "length", "stop" (the caller stopped it) or "eos" (an end token came).
    """

    ids: list[int]
    logprobs: list[float]
    top_logprobs: TopLogprobs
    finish: str


def joined(job: int, parts: Sequence[Progress]) -> Progress:
    """Return consecutive reports of one job as one."""
    return Progress(
        job,
        [i for part in parts for i in part.ids],
        parts[-1].finish if parts else "",
        [p for part in parts for p in part.logprobs],
        [t for part in parts for t in part.top_logprobs],
        parts[-1].end if parts else None,
    )


def output_of(parts: Sequence[Progress]) -> Output:
    """Return a finished job's output from all of its reports."""
    whole = joined(0, parts)
    return Output(whole.ids, whole.logprobs, whole.top_logprobs, whole.finish)


class Text:
    """A job while it runs: its sequence, how much of it has been reported, and why it was ended from outside."""

    def __init__(self, number: int, job: Job, sequence: TextSequence) -> None:
        self.number, self.job, self.sequence = number, job, sequence
        self.reading = True  # its prompt, of which nothing has been left to others yet
        self._reported = 0
        self._stopped = False

    @classmethod
    def start(cls, backend: Backend, number: int, job: Job, prefixes: PrefixCache | None = None) -> Text:
        """Return a text on the computation of the longest beginning that `prefixes` knows."""
        known = None if prefixes is None else prefixes.find(job.window(backend.config.n_positions)[:-1])
        return cls(number, job, backend.sequence(job.prompt, job.params, job.sample, known))

    def stop(self) -> None:
        """End it now; its finish is "stop" unless it has ended by itself."""
        self._stopped = self._stopped or self.sequence.running
        self.sequence.stop()

    def stop_if_late(self, seconds: float) -> None:
        """End it when more than its `max_time` has passed; its finish is "length"."""
        limit = self.job.params.max_time
        if limit is not None and seconds >= limit:
            self.sequence.stop()

    def report(self) -> Progress:
        """Return what came since the last report; raise when no token was possible or the weights are damaged."""
        sequence, first = self.sequence, self._reported
        if sequence.finish == "banned":
            raise no_token_left()
        if sequence.finish == "broken":
            raise damaged_weights()
        ids = sequence.ids_from(sequence.prompt_length + first)
        finish = self._finish(ids)
        self._reported += len(ids)
        if not ids:
            return Progress(self.number, [], finish, [], [])
        logprobs, tops = sequence.logprobs_from(first), sequence.top_logprobs_from(first)
        if finish != "eos":
            return Progress(self.number, ids, finish, logprobs, tops)
        end = End(ids[-1], logprobs[-1], tops[-1] if tops else [])
        return Progress(self.number, ids[:-1], finish, logprobs[:-1], tops[:-1], end)

    def remember_in(self, prefixes: PrefixCache | None, *, ended: bool) -> None:
        """Leave what was computed to texts that begin alike: the prompt once it has been read, and all at the end."""
        if ended or (self.reading and self.sequence.due <= 1):
            self.reading = False
            if prefixes is not None:
                prefixes.add(*self.sequence.snapshot())

    def _finish(self, new_ids: Sequence[int]) -> str:
        """Return the engine's word for the end of a sequence in the words of `Output.finish`, "" while it runs."""
        if self.sequence.finish != "stop":
            return self.sequence.finish
        if self._stopped:
            return "stop"
        ended = bool(new_ids) and new_ids[-1] in (self.job.params.stop_ids or ())
        return "eos" if ended else "length"  # "length" when its time ran out


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


def check_window(job: Job, n_positions: int) -> None:
    """Raise `RequestError` when a text that may not pass the window is too long for it."""
    total = len(job.prompt) + job.params.max_new_tokens
    if job.params.window == "strict" and total > n_positions + 1:
        raise RequestError(
            f"The prompt's {len(job.prompt)} tokens and {job.params.max_new_tokens} new ones do not fit "
            f"the model's window of {n_positions}; ask for fewer, or let the window slide (window='half')."
        )


def no_token_left() -> RequestError:
    """Return the error for bans that leave nothing to choose from."""
    return RequestError(
        "No token is possible: bad_words, logit_bias, no_repeat_ngram_size and min_new_tokens together ban every one."
    )


def damaged_weights() -> CheckpointError:
    """Return the error for logits that are not numbers."""
    return CheckpointError("The model's output is not a number (NaN or infinite); its weights are damaged.")

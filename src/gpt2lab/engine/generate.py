"""Running many generations to their ends: admission, bursts of tokens, early stops, order kept.

Tokens are made in bursts so that the loop over tokens stays inside the backend; between bursts the caller sees what
came, may stop a text, and Ctrl-C is noticed. No choice made here changes a token: a text depends on its own prompt,
parameters and sample number alone. For texts that come and go while others run there is `Scheduler` (scheduler.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from gpt2lab.engine.jobs import Job, Output, Progress, Text, check_window, output_of
from gpt2lab.engine.params import check_whole
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, TextSequence
from gpt2lab.errors import RequestError

DEFAULT_BATCH_SIZE = 16
_BURST_SECONDS = 0.1  # how long Ctrl-C, a stop string or a deadline may have to wait
_MAX_BURST = 64


class Batch:
    """Generates all jobs, at most `batch_size` at a time; iterate to run it, then read `output(job)`.

    `max_burst` bounds the steps made between two reports of a text (1 to see every token at once). `prefixes` may know
    how the prompts begin, and remembers the texts.
    """

    def __init__(
        self,
        backend: Backend,
        jobs: Sequence[Job],
        *,
        batch_size: int | None = None,
        max_burst: int = _MAX_BURST,
        prefixes: PrefixCache | None = None,
    ) -> None:
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        check_whole("batch_size", size, 1)
        self._backend, self._jobs, self._size, self._max_burst = backend, list(jobs), size, max_burst
        self._prefixes = prefixes
        for job in self._jobs:
            check_window(job, backend.config.n_positions)
        self._active: dict[int, Text] = {}
        self._parts: list[list[Progress]] = [[] for _ in self._jobs]
        self._stopped: set[int] = set()
        self._base: tuple[int, TextSequence] | None = None  # the prompt that the next samples share

    def stop(self, job: int) -> None:
        """End a job now; its finish is "stop"."""
        self._stopped.add(job)
        if job in self._active:
            self._active[job].stop()

    def output(self, job: int) -> Output:
        """Return a finished job's output."""
        parts = self._parts[job]
        if not parts or not parts[-1].finish:
            raise RequestError(f"Generation {job} has not finished.")
        return output_of(parts)

    def __iter__(self) -> Iterator[Progress]:
        waiting = iter(range(len(self._jobs)))
        started = time.monotonic()
        while True:
            while len(self._active) < self._size and (job := next(waiting, None)) is not None:
                self._active[job] = self._admit(job)
                if job in self._stopped:
                    self._active[job].stop()
            if not self._active:
                return
            texts = self._active.values()
            steps = 1 if any(text.reading for text in texts) else self._max_burst
            self._backend.decode([text.sequence for text in texts], steps, seconds=_BURST_SECONDS)
            now = time.monotonic()
            for job, text in list(self._active.items()):
                text.stop_if_late(now - started)
                part = text.report()
                self._parts[job].append(part)
                yield part
                ended = part.finish != "" or job in self._stopped
                text.remember_in(self._prefixes, ended=ended)
                if ended:
                    self._parts[job][-1] = part._replace(finish=part.finish or "stop")
                    del self._active[job]

    def _admit(self, job: int) -> Text:
        """Start a job; samples of one prompt that follow each other share its computation."""
        this = self._jobs[job]
        if self._base is not None and _same_text(self._jobs[self._base[0]], this):
            return Text(job, this, self._base[1].fork(this.sample))
        text = Text.start(self._backend, job, this, self._prefixes)
        self._base = None
        if job + 1 < len(self._jobs) and _same_text(this, self._jobs[job + 1]):
            self._backend.prefill([text.sequence])
            self._base = (job, text.sequence.fork(this.sample))
        return text


def _same_text(a: Job, b: Job) -> bool:
    return a.params is b.params and a.prompt is b.prompt

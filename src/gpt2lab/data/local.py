"""Portions of work on all cores of this machine: in this process, or in others beside it.

Knows neither texts nor files. Portions are read here and handed out as workers become free; a few wait, the rest is not
yet read. The other processes end with this one, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, Literal

from gpt2lab.data.chunks import Chunk
from gpt2lab.data.worker import Work, Worker
from gpt2lab.errors import ConfigError, DataError

Task = Literal["make", "training_texts"]

ALONE_BYTES = 24_000_000
"""Input of which no more is worked on in this process alone, unless another number of workers is asked for."""

_WAITING = 2  # portions that wait for each worker


def choose_workers(workers: int | None, expected_bytes: int) -> int:
    """Return how many processes work: `workers`, else one for a little input, else one for each core."""
    if workers is None:
        if expected_bytes <= ALONE_BYTES:
            return 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 1024:
        raise ConfigError(f"workers = {workers!r} must be a whole number from 1 to 1024.")
    return workers


def run(work: Work, task: Task, chunks: Iterator[Chunk], *, workers: int) -> Iterator[Any]:
    """Yield what the task returns for every portion, in order. Whatever it raises is raised here."""
    if workers == 1:
        worker = Worker(work)
        yield from map(_method(worker, task), chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(work,))
    waiting: deque[Future[Any]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_do, task, chunk))
            if len(waiting) > _WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "A worker process ended before its work was done: memory may have run out (use fewer workers), or the "
            "script that called prepare lacks the `if __name__ == '__main__':` that processes need (or use workers=1)."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: Worker | None = None


def _begin(work: Work) -> None:
    """Make ready a process that works for another: one thread, and no life of its own."""
    import signal

    global _worker  # noqa: PLW0603 - what a process of the pool has for itself
    os.environ["RAYON_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(work)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _do(task: Task, chunk: Chunk) -> Any:
    assert _worker is not None
    return _method(_worker, task)(chunk)


def _method(worker: Worker, task: Task) -> Callable[[Chunk], Any]:
    return worker.make if task == "make" else worker.training_texts

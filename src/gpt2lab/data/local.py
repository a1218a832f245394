"""Portions of work on all cores of this machine: in this process, or in others beside it.

Knows neither texts nor files. Portions are read here and handed out as workers become free; a few wait, the rest is not
yet read. The other processes end with this one, however it ends.

A worker process is a plain Python that answers on its stdout what it is given on its stdin, one portion at a time.
multiprocessing would run the caller's script again in each, which needs an `if __name__ == "__main__":` there, and when
that is missing its pool may wait for ever for a process that died before it had read what was sent to it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, Any, Literal

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
    helpers = _Helpers(work)
    threads = ThreadPoolExecutor(workers)  # each gives portions to a process of its own and waits for the answers
    waiting: deque[Future[Any]] = deque()
    try:
        for chunk in chunks:
            waiting.append(threads.submit(helpers.do, task, chunk))
            if len(waiting) > _WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        helpers.end()
        threads.shutdown(wait=True, cancel_futures=True)


class _TracebackOfWorker(Exception):
    """Where in another process an error was raised, as its cause here."""


class _Helpers:
    """The worker processes of one run, one for each thread that asks."""

    def __init__(self, work: Work) -> None:
        self._work, self._own = work, threading.local()
        self._lock, self._ended = threading.Lock(), False
        self._all: list[subprocess.Popen[bytes]] = []

    def do(self, task: Task, chunk: Chunk) -> Any:
        """Return what this thread's process makes of a portion, or raise what it raised there."""
        try:
            process: subprocess.Popen[bytes] = getattr(self._own, "process", None) or self._start()
            assert process.stdout is not None
            _send(process.stdin, (task, chunk))
            done, result, trace = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:  # it is not there, or it died in the middle
            raise DataError(
                f"A worker process ended before its work was done ({self._reason(error)}): memory may have run out, "
                "use fewer workers. The same call goes on where this one was."
            ) from None
        if not done:
            raise result from _TracebackOfWorker(trace)
        return result

    def end(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._ended = True
            for process in self._all:
                process.kill()
        for process in self._all:
            with contextlib.suppress(OSError), process:  # what was not yet sent cannot be, which does not matter
                pass

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [p for p in sys.path if isinstance(p, str)]
        program = f"import sys; sys.path = {paths!r}; from gpt2lab.data.local import serve; serve()"
        with self._lock:
            if self._ended:
                raise EOFError
            process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 16
            )
            self._all.append(process)
        self._own.process = process
        _send(process.stdin, self._work)
        return process

    def _reason(self, error: Exception) -> str:
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if process is None:
            return str(error)
        process.kill()
        code = process.wait()
        return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _send(pipe: IO[bytes] | None, value: Any) -> None:
    assert pipe is not None
    pickle.dump(value, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def serve() -> None:
    """Be a worker process: read the work, then portions, from stdin and write a result for each to stdout."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["RAYON_NUM_THREADS"] = "1"
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not come between the answers
    work: Work = pickle.load(sys.stdin.buffer)
    portions: SimpleQueue[tuple[Task, Chunk]] = SimpleQueue()
    threading.Thread(target=_listen, args=(portions,), daemon=True).start()
    worker: Worker | None = None
    while True:
        task, chunk = portions.get()
        try:
            worker = worker or Worker(work)
            answer = _pickled((True, _method(worker, task)(chunk), ""))
        except Exception as error:  # the parent's to tell
            answer = _failure(error)
        answers.write(answer)
        answers.flush()


def _listen(portions: SimpleQueue[tuple[Task, Chunk]]) -> None:
    """Take in what comes; end this process when nothing can come any more, since then the parent is gone."""
    try:
        while True:
            portions.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)


def _failure(error: Exception) -> bytes:
    trace = "".join(traceback.format_exception(error))
    try:
        answer = _pickled((False, error, trace))
        pickle.loads(answer)  # some exceptions can be written and not be read
    except Exception:  # whatever an exception of somebody else's makes of it
        answer = _pickled((False, RuntimeError(repr(error)), trace))
    return answer


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def _method(worker: Worker, task: Task) -> Callable[[Chunk], Any]:
    return worker.make if task == "make" else worker.training_texts

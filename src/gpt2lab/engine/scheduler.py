"""Continuous batching: a thread that runs one backend for texts that come and go at any step.

Each round does a piece of other work, lets in what waits, takes a step with every running text and reports what came
(running.py). Here are the thread, the queue and their ends. Knows ids, not text; nothing runs before `start`.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar, overload

from gpt2lab.engine.jobs import Job, Progress, check_prompt, check_window
from gpt2lab.engine.prefix import PrefixCache, PrefixStatistics
from gpt2lab.engine.protocol import Backend
from gpt2lab.engine.running import Limits, RunningTexts
from gpt2lab.engine.ticket import Ticket
from gpt2lab.errors import ClosedError, QueueFullError, RequestError

T = TypeVar("T")

_COUNTS = ("prompt_tokens", "known_tokens", "new_tokens", "steps", "guessed_tokens", "kept_tokens")


@dataclass(frozen=True, slots=True)
class Statistics:
    """A scheduler's state and its counts since it was made.

    waiting, running: texts now; reserved_tokens: of `max_cached_tokens`, what the running ones may need.
    ended: texts by their finish, or "error". prompt_tokens: of the prompts let in; known_tokens: those of them that
    were found in caches; new_tokens: reported; steps: taken; guessed_tokens, kept_tokens: by prompt lookup.
    """

    waiting: int
    running: int
    reserved_tokens: int
    submitted: int
    ended: Mapping[str, int]
    prompt_tokens: int
    known_tokens: int
    new_tokens: int
    steps: int
    guessed_tokens: int
    kept_tokens: int
    prefixes: PrefixStatistics


@dataclass(slots=True, eq=False)
class _Work:
    pieces: Generator[Any, None, Any]
    future: Future[Any]


class Scheduler:
    """Runs texts on `backend` in a thread of its own: `with Scheduler(backend) as s: s.submit(job).result()`.

    All methods may be called from any thread. While it runs, nobody else should use the backend: `run` does other work
    on it between steps. `prefixes` is the backend's memory of earlier texts (default: one of 256 MB).
    """

    def __init__(self, backend: Backend, *, limits: Limits | None = None, prefixes: PrefixCache | None = None) -> None:
        self.backend, self.limits = backend, limits or Limits()
        self.prefixes = PrefixCache() if prefixes is None else prefixes
        self._running = RunningTexts(backend, self.limits, self.prefixes)  # the thread's own
        self._changed = threading.Condition()  # guards all of the following; never held while a ticket is waited for
        self._waiting: dict[int, Ticket] = {}
        self._work: deque[_Work] = deque()
        self._submitted = 0
        self._ended = Counter[str]()
        self._closing = False
        self._thread: threading.Thread | None = None

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to run what is submitted."""
        with self._changed:
            self._check_open()
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._loop, name="gpt2lab scheduler", daemon=True)
            self._thread.start()
        atexit.register(self._close_at_exit)

    def close(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Take nothing more, finish what was submitted (or cancel it, without `drain`), and end the thread.

        What is not finished after `timeout` seconds is cancelled. Returns whether nothing had to be cancelled.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        atexit.unregister(self._close_at_exit)
        if thread is not None and drain:
            thread.join(timeout)
        unfinished = self._cancel_all()
        if thread is not None:
            thread.join()
        return not unfinished

    def __enter__(self) -> Scheduler:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=error is None)

    def _close_at_exit(self) -> None:
        self.close(drain=False)

    def _cancel_all(self) -> bool:
        """Cancel whatever has not ended; return whether there was any."""
        with self._changed:
            tickets = {t for t in (*self._waiting.values(), *self._running.tickets) if not t.done}
            work = [w.future for w in self._work]
        for ticket in tickets:
            ticket.cancel()
        cancelled = [future.cancel() for future in work]
        return bool(tickets) or any(cancelled)

    # ---- what is asked for ------------------------------------------------------------------------------------

    def submit(self, job: Job, on_news: Callable[[Ticket], None] | None = None) -> Ticket:
        """Return the ticket of a text to generate; see `submit_all`."""
        return self.submit_all([job], on_news)[0]

    def submit_all(self, jobs: Sequence[Job], on_news: Callable[[Ticket], None] | None = None) -> list[Ticket]:
        """Return a ticket for each job; all of them are taken, or none.

        Raises `RequestError` for an impossible job, `QueueFullError`, and `ClosedError` after `close`. Each ticket
        calls `on_news`. A job's `max_time` counts from here.
        """
        config = self.backend.config
        for job in jobs:
            check_prompt(job.prompt, config.vocab_size)
            job.params.check_ids(config.vocab_size)
            check_window(job, config.n_positions)
            if job.params.num_beams > 1:
                raise RequestError(f"num_beams = {job.params.num_beams}: beams cannot join a running batch; use 1.")
        with self._changed:
            self._check_open()
            self._check_room(len(jobs))
            tickets = [Ticket(self._submitted + i, job, on_news, self._count_end) for i, job in enumerate(jobs)]
            self._submitted += len(jobs)
            self._waiting.update((ticket.number, ticket) for ticket in tickets)
            self._changed.notify_all()
        return tickets

    @overload
    def run(self, work: Generator[Any, None, T]) -> Future[T]: ...
    @overload
    def run(self, work: Callable[[], T]) -> Future[T]: ...
    def run(self, work: Any) -> Future[Any]:
        """Do other work on the backend between two steps: a function, or a generator a piece at a time.

        Running texts wait for a function, and for each piece of a generator, which should be short therefore. Raises
        `QueueFullError` and `ClosedError`.
        """
        pieces = work if isinstance(work, Generator) else _in_one_piece(work)
        future: Future[Any] = Future()
        with self._changed:
            self._check_open()
            self._check_room(1)
            self._work.append(_Work(pieces, future))
            self._changed.notify_all()
        return future

    def statistics(self) -> Statistics:
        """Return what is going on and what has been done."""
        with self._changed:
            return Statistics(
                waiting=len(self._waiting),
                running=len(self._running),
                reserved_tokens=self._running.reserved_tokens,
                submitted=self._submitted,
                ended=dict(self._ended),
                prefixes=self.prefixes.statistics(),
                **{name: self._running.counts[name] for name in _COUNTS},
            )

    def _check_open(self) -> None:
        if self._closing:
            raise ClosedError("The engine is closing and takes no more requests.")

    def _check_room(self, count: int) -> None:
        waiting = len(self._waiting) + len(self._work)
        if waiting + count > self.limits.max_waiting:
            raise QueueFullError(
                f"{waiting} requests are waiting and {count} more would pass the limit of {self.limits.max_waiting}; "
                "try again later."
            )

    def _count_end(self, ticket: Ticket, finish: str) -> None:
        """A ticket is about to end, by whoever's doing."""
        with self._changed:
            self._waiting.pop(ticket.number, None)
            self._ended[finish] += 1
            self._changed.notify_all()

    # ---- the thread -------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while self._wait_for_work():
                try:
                    self._do_other_work()
                    self._admit()
                    self._running.round(hurry=bool(self._work))
                except Exception as error:  # the backend's: whoever waits for anything must hear of it
                    self._fail_all(error)
        finally:  # whatever the reason, nobody is left waiting
            with self._changed:
                self._closing = True
            self._fail_all(ClosedError("The engine has stopped."))

    def _wait_for_work(self) -> bool:
        """Return True when there is something to do, False when there never will be."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._running) or self._waiting or self._work or self._closing)
            return bool(len(self._running) or self._waiting or self._work)

    def _admit(self) -> None:
        with self._changed:
            waiting = [t for t in self._waiting.values() if not t.done]
        now = time.monotonic()
        late = [t for t in waiting if t.job.params.max_time is not None and now - t.submitted >= t.job.params.max_time]
        for ticket in late:
            ticket.put(Progress(ticket.number, [], "length", [], []))
        admitted = self._running.admit(t for t in waiting if not t.done)
        with self._changed:
            for ticket in admitted:
                self._waiting.pop(ticket.number, None)

    def _do_other_work(self) -> None:
        """Advance the work that has waited longest by one piece."""
        with self._changed:
            if not self._work:
                return
            work = self._work[0]
            self._work.rotate(-1)
        result, error = None, None
        if not work.future.cancelled():
            try:
                next(work.pieces)
                return
            except StopIteration as end:
                result = end.value
            except Exception as problem:  # it belongs to whoever asked for the work
                error = problem
        with self._changed:
            self._work.remove(work)
        work.pieces.close()
        if not work.future.set_running_or_notify_cancel():
            return
        if error is None:
            work.future.set_result(result)
        else:
            work.future.set_exception(error)

    def _fail_all(self, error: Exception) -> None:
        """End everything that runs or waits with an error."""
        with self._changed:
            waiting, work = list(self._waiting.values()), list(self._work)
            self._work.clear()
        self._running.fail(error)
        for ticket in waiting:
            ticket.fail(error)
        for item in work:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(error)


def _in_one_piece(function: Callable[[], T]) -> Generator[None, None, T]:
    """Return a generator that ends with what the function returns."""
    yield from ()
    return function()

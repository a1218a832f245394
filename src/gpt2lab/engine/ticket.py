"""What `Scheduler.submit` returns: the claim on one text that a thread elsewhere is making.

It can be waited for, iterated (`for` and `async for`), asked for what is new, and cancelled, from any thread. Knows
nothing of models and threads; the scheduler puts reports in, one consumer takes them out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType

from gpt2lab.engine.jobs import Job, Output, Progress, joined, output_of
from gpt2lab.errors import RequestError


class Ticket:
    """One text that was submitted.

    `on_news(ticket)` is called, by whichever thread caused it, after each report and when the text ends in any way; it
    should only pass the word on, since a running engine waits for it. Where it raises it is not called again, and a
    text that has not ended ends with its error. `on_end(ticket, finish)` is called once, before anybody sees the end.
    Leaving a `with` block cancels.
    """

    def __init__(
        self,
        number: int,
        job: Job,
        on_news: Callable[[Ticket], None] | None,
        on_end: Callable[[Ticket, str], None],
    ) -> None:
        self.number, self.job = number, job
        self.submitted = time.monotonic()
        self._on_news, self._on_end = on_news, on_end
        self._changed = threading.Condition()
        self._parts: list[Progress] = []
        self._taken = 0
        self._error: BaseException | None = None
        self._finish = ""

    @property
    def done(self) -> bool:
        """Whether it has ended: nothing new will come."""
        return self._finish != ""

    @property
    def finish(self) -> str:
        """How it has ended, as in `Output`, or "error"; "" before."""
        return self._finish

    def cancel(self) -> None:
        """End the text now; what has been reported stays, and its finish is "stop". Nothing happens to an ended one."""
        self.put(Progress(self.number, [], "stop", [], []))

    def take(self) -> Progress:
        """Return what is new since the last call (by this or by iteration) without waiting; raise what went wrong."""
        with self._changed:
            new = self._parts[self._taken :]
            self._taken = len(self._parts)
            if not new and self._error is not None:
                raise self._error
            return joined(self.number, new)._replace(finish="" if self._error is not None else self._finish)

    def result(self, timeout: float | None = None) -> Output:
        """Wait for the end and return the whole text; raise what went wrong, or `TimeoutError` after `timeout` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout):
                raise TimeoutError(f"The text has not ended within {timeout} seconds.")
            if self._error is not None:
                raise self._error
            return output_of(self._parts)

    def __iter__(self) -> Iterator[Progress]:
        """Yield what comes, waiting for it; the last report is the one with a finish."""
        finish = ""
        while not finish:
            with self._changed:
                self._changed.wait_for(self._has_news)
            part = self.take()
            finish = part.finish
            yield part

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """Yield what comes, as `__iter__` does, in the running event loop; takes the place of `on_news`."""
        import asyncio

        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def pass_on(_: Ticket) -> None:
            loop.call_soon_threadsafe(news.set)

        self._listen(pass_on)
        try:
            finish = ""
            while not finish:
                if not self._has_news():
                    await news.wait()
                news.clear()
                part = self.take()
                finish = part.finish
                if part.ids or finish:
                    yield part
        finally:
            self._listen(None)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    # ---- the scheduler's side ---------------------------------------------------------------------------------

    def put(self, part: Progress) -> None:
        """Report new tokens, or the end; whatever comes after an end is dropped."""
        with self._changed:
            if self.done:
                return
            self._parts.append(part)
            self._change(part.finish)
        self._tell(last=part.finish != "")

    def fail(self, error: BaseException) -> None:
        """End it with an error, which whoever waits for it will see."""
        with self._changed:
            if self.done:
                return
            self._error = error
            self._change("error")
        self._tell(last=True)

    def _change(self, finish: str) -> None:
        if finish:
            self._on_end(self, finish)
        self._finish = finish
        self._changed.notify_all()

    def _listen(self, on_news: Callable[[Ticket], None] | None) -> None:
        if on_news is not None and self._on_news is not None:
            raise RequestError("This text is watched already, by on_news or by another loop.")
        self._on_news = on_news
        if self._has_news():
            self._tell()

    def _has_news(self) -> bool:
        return self.done or self._taken < len(self._parts)

    def _tell(self, *, last: bool = False) -> None:
        """Call `on_news`; whoever tells the end then lets go of it, or a ticket and a listener that holds it would stay
        until the garbage collector comes by."""
        on_news = self._on_news
        if on_news is None:
            return
        try:
            on_news(self)
            if last:
                self._on_news = None
        except Exception as error:  # whoever listened is gone; the engine and its other texts go on
            self._on_news = None
            self.fail(error)

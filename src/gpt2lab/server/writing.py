"""Texts of one request while the engine makes them: pieces of text with what is known of their tokens, as they come.

Between the scheduler's thread, which reports ids, and the event loop, which answers. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary, ref

from gpt2lab.engine.jobs import End, Job, TopLogprobs
from gpt2lab.engine.scheduler import Scheduler
from gpt2lab.engine.ticket import Ticket
from gpt2lab.lm.stopping import TextStream
from gpt2lab.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of text number `index`: characters that are certain, and the tokens that have come out whole.

    `starts` are the places of these tokens in the text, in characters. `finish` is "" until the last piece, then
    "stop" (a stop string or the end token) or "length". `end` is the end token where it was that.
    """

    index: int
    text: str
    ids: Sequence[int]
    logprobs: Sequence[float]
    top_logprobs: TopLogprobs
    starts: Sequence[int]
    finish: str
    end: End | None = None


class _Bell:
    """Passes tickets from the scheduler's thread to queues of one event loop, and wakes it once for many of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._news: deque[tuple[asyncio.Queue[Ticket | None], Ticket]] = deque()
        self._rung = False

    def ring(self, queue: asyncio.Queue[Ticket | None], ticket: Ticket) -> None:
        """Pass a ticket on; from any thread."""
        self._news.append((queue, ticket))
        if self._rung:  # and not answered yet: the answer will find what was put there
            return
        loop = self._loop()
        if loop is None:
            raise RuntimeError("The event loop is gone.")
        self._rung = True
        try:
            loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # it is closed: whoever rings next shall hear of it too
            self._rung = False
            raise

    def _answer(self) -> None:
        self._rung = False
        while self._news:
            queue, ticket = self._news.popleft()
            queue.put_nowait(ticket)


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


class Writing:
    """Texts that are being made: iterate it for the pieces, and `close` it in any case.

    Raises at once what `Scheduler.submit_all` raises; nothing has been begun then.
    """

    def __init__(
        self, scheduler: Scheduler, tokenizer: Tokenizer, jobs: Sequence[Job], stops: Sequence[str], seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self._bell = _bells.setdefault(loop, _Bell(loop))
        self._news: asyncio.Queue[Ticket | None] = asyncio.Queue()
        self._texts = [_Text(i, TextStream(tokenizer, stops)) for i in range(len(jobs))]
        self.tickets = scheduler.submit_all(jobs, self._pass_on) if jobs else []
        self._of = {ticket.number: text for ticket, text in zip(self.tickets, self._texts, strict=True)}
        self._alarm = loop.call_later(seconds, self._news.put_nowait, None)

    def _pass_on(self, ticket: Ticket) -> None:
        self._bell.ring(self._news, ticket)

    def close(self) -> None:
        """Cancel what has not ended."""
        self._alarm.cancel()
        for ticket in self.tickets:
            ticket.cancel()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Yield pieces until every text has ended; raise what goes wrong, and `TimeoutError` when time is up."""
        left = len(self.tickets)
        while left:
            ticket = await self._news.get()
            if ticket is None:
                raise TimeoutError
            piece = self._of[ticket.number].advance(ticket)
            if piece is None:
                continue
            left -= piece.finish != ""
            yield piece


class _Text:
    """One of the texts: what has come and what has been passed on."""

    def __init__(self, index: int, stream: TextStream) -> None:
        self._index, self._stream = index, stream
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._tops: TopLogprobs = []
        self._told = 0
        self._ended = False

    def advance(self, ticket: Ticket) -> Piece | None:
        """Return what a ticket's news come to, None where there is nothing yet."""
        if self._ended:
            return None
        part, stream = ticket.take(), self._stream
        self._ids += part.ids
        self._logprobs += part.logprobs
        self._tops += part.top_logprobs
        text = stream.push(part.ids)
        finish = part.finish
        if finish:
            text += stream.finish()
        if stream.stopped:
            finish = "stop"
            ticket.cancel()
        self._ended = finish != ""
        count = stream.token_count if self._ended else stream.certain_tokens
        if not (text or finish or count > self._told):
            return None
        new = slice(self._told, count)
        starts = [stream.ends[i - 1] if i else 0 for i in range(self._told, count)]
        self._told = count
        return Piece(
            self._index, text, self._ids[new], self._logprobs[new], self._tops[new], starts,
            "stop" if finish == "eos" else finish, part.end if finish == "eos" else None,
        )  # fmt: skip

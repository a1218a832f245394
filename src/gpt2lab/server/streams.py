"""An answer that comes as server-sent events, whatever makes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gpt2lab.server.failures import as_api_error


class Streamed(Protocol):
    """What is streamed; leaving its `async with` cancels what still runs."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *error: object) -> None: ...

    def events(self) -> AsyncIterator[bytes]:
        """Yield the events; what it raises is told as one more."""


class EventStream(Response):
    """An answer as server-sent events; lets go of all that it holds at the end, however that comes."""

    def __init__(self, answer: Streamed, held: AsyncExitStack) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._answer, self._held = answer, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with self._held, self._answer:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for each, more in _to_the_end(self._answer.events()):
                await send({"type": "http.response.body", "body": each, "more_body": more})


def event(data: bytes) -> bytes:
    """Return JSON as one event."""
    return b"data: " + data + b"\n\n"


DONE = event(b"[DONE]")
"""The last event, as OpenAI's clients expect it."""


class Final(bytes):
    """The last of an answer's own events, where it knows that: it goes out in one piece with the end."""


async def _to_the_end(events: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield what is to be sent, and whether more follows. What goes wrong is an event too, as clients expect it."""
    last = b""
    try:
        async for each in events:
            if isinstance(each, Final):
                last = each
            else:
                yield each, True
    except Exception as error:
        failure = as_api_error(error)
        last += event(json.dumps(failure.body).encode())
        if failure.status_code == 500:
            yield last, True
            raise
    yield last + DONE, False

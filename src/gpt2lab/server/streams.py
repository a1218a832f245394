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
            async for each in _to_the_end(self._answer.events()):
                await send({"type": "http.response.body", "body": each, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def event(data: bytes) -> bytes:
    """Return JSON as one event."""
    return b"data: " + data + b"\n\n"


DONE = event(b"[DONE]")
"""The last event, as OpenAI's clients expect it."""


async def _to_the_end(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield events and the last one. What goes wrong on the way is an event too, as OpenAI's client expects it."""
    try:
        async for each in events:
            yield each
    except Exception as error:
        failure = as_api_error(error)
        yield event(json.dumps(failure.body).encode())
        if failure.status_code == 500:
            raise
    yield DONE

"""As little HTTP as a load needs: one request a connection, its answer whole or as server-sent events. No keep-alive.

A client library would use as much of a small machine as the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(slots=True)
class Answer:
    """An answer as it arrives: its status, and the pieces of its body."""

    status: int
    _reader: asyncio.StreamReader
    _chunked: bool

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        if not self._chunked:
            while data := await self._reader.read(2**16):
                yield data
            return
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            yield await self._reader.readexactly(size)
            await self._reader.readline()
        await self._reader.readline()

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self.pieces()])

    async def events(self, *, ended: bool = False) -> AsyncIterator[Any]:
        """Yield the JSON values of server-sent events up to [DONE]; an end before it is an EOFError.

        `ended`: servers that say no [DONE] may end as they like.
        """
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        return
                    yield json.loads(data)
        if not ended:
            raise EOFError("the stream ended before [DONE]")


@asynccontextmanager
async def asked(url: str, path: str, body: bytes | None = None) -> AsyncIterator[Answer]:
    """Send a request (POST where there is a body) and yield its answer; leaving closes the connection."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + (body or b""))
        status = int((await reader.readline()).split()[1])
        headers = {}
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        yield Answer(status, reader, headers.get("transfer-encoding") == "chunked")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def post(url: str, path: str, body: Any) -> tuple[int, bytes]:
    """Send a JSON value; return the status and the body of the answer."""
    async with asked(url, path, json.dumps(body).encode()) as answer:
        return answer.status, await answer.body()

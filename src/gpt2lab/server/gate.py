"""What every request passes before the application sees it, and every answer on its way out. Pure ASGI.

Who may come in (host names, origins, keys), how much may be sent and for how long, headers that keep browsers strict,
and the end of an answer whose reader has gone away.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt2lab.server.failures import ApiError, as_api_error, timed_out
from gpt2lab.server.settings import LOCAL, ServerSettings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What pages from here may do: nothing but what comes from here."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_GUARDED = ("/v1", "/api", "/metrics", "/openapi.json")
"""What a key protects; pages and /health are open, so that a page can ask for the key."""


Answered = Callable[[str, int, float], None]


class Gate:
    """Stands before `app`; `answered(path, status, seconds)` is called for each request."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, answered: Answered) -> None:
        self._app, self._settings, self._answered = app, settings, answered
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        out = _Out(send, api=_guarded(scope["path"]), shared=bool(self._settings.cors))
        if self._running >= self._settings.max_requests:
            await _busy(self._settings.max_requests).response()(scope, receive, out)
            return
        self._running += 1
        began = time.monotonic()
        try:
            try:
                self._check(scope)
                body = await self._body(Headers(scope=scope), receive)
            except ApiError as error:
                response = error.response()
                response.headers["Connection"] = "close"  # what it still sends is not read
                await response(scope, receive, out)
                return
            if body is not None:
                await self._answer(scope, body, receive, out)
        finally:
            self._running -= 1
            self._answered(scope["path"], out.status or _GONE, time.monotonic() - began)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: _Out) -> None:
        """Run the application until it has answered, nobody reads the answer any more, or its time is up."""
        gone = asyncio.create_task(_disconnected(receive))
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if pending:
                return pending.pop()
            await asyncio.shield(gone)
            return {"type": "http.disconnect"}

        answer = asyncio.create_task(_run(self._app, scope, replay, send))
        try:
            seconds = self._settings.request_seconds + _SPARE
            ended, _ = await asyncio.wait({gone, answer}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not answer.done():
                answer.cancel()
            await asyncio.wait({answer})
        if not ended and not send.status:
            await timed_out().response()(scope, replay, send)
        error = None if answer.cancelled() else answer.exception()
        if error is not None:
            if isinstance(error, Exception) and not send.status:
                await as_api_error(error).response()(scope, replay, send)
            raise error

    def _check(self, scope: Scope) -> None:
        """Raise the `ApiError` of a request that may not come in."""
        headers, settings = Headers(scope=scope), self._settings
        host = headers.get("host", "")
        if not settings.remote and _name(host) not in (*LOCAL, settings.host):
            # a name of somebody else's that leads here would let his pages read what is here (DNS rebinding)
            raise ApiError(403, "This server answers only under the address of this machine, such as 127.0.0.1.")
        origin = headers.get("origin")
        own = (f"http://{host}", f"https://{host}")  # the second where a proxy speaks TLS for us
        if origin is not None and origin not in (*own, *settings.cors):
            raise ApiError(403, "Pages from elsewhere may not use this server; --cors ORIGIN would let this one.")
        if scope["method"] == "OPTIONS" or not _guarded(scope["path"]) or settings.api_key is None:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), settings.api_key.encode()):
            raise ApiError(
                401, "An API key is needed: Authorization: Bearer KEY.", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """Read the body; None when the client has gone before its end. Raises `ApiError` for too much or too slow."""
        most = self._settings.max_body_bytes
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        try:
            await asyncio.wait_for(_collect(receive, parts, most), self._settings.body_seconds)
        except asyncio.TimeoutError:
            raise ApiError(408, f"The request did not arrive within {self._settings.body_seconds:g} seconds.") from None
        except ConnectionResetError:
            return None
        body = b"".join(parts)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise ApiError(415, "The body must be JSON; send it with Content-Type: application/json.")
        return body


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _collect(receive: Receive, parts: list[bytes], most: int) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        more = message.get("more_body", False)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_SPARE = 5.0
"""Seconds more than an answer may take; then whoever reads it too slowly, or waits for a model, is let go."""

_GONE = 499  # nginx's word for a client that went away before its answer


class _Out:
    """Sends what an application sends, with our headers."""

    def __init__(self, send: Send, *, api: bool, shared: bool) -> None:
        self._send = send
        self._headers = dict(HEADERS)
        if api:
            self._headers["Cache-Control"] = "no-store"
        if not shared:
            self._headers["Cross-Origin-Resource-Policy"] = "same-origin"
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)


def _guarded(path: str) -> bool:
    return any(path == prefix or path.startswith(prefix + "/") for prefix in _GUARDED)


def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The body is larger than the {most} bytes that are allowed.", code="too_large")


def _busy(most: int) -> ApiError:
    return ApiError(
        429, f"{most} requests are being answered, which is the limit; try again later.", code="too_many_requests",
        headers={"Retry-After": "1"},
    )  # fmt: skip

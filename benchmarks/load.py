"""Many clients at once on a completions server: how many tokens come, and when each client sees its first.

Each client streams one request after another. Knows no server.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.wire import asked


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to. first: seconds from each request to its first text; lost: answers that were not whole."""

    tokens: int
    seconds: float
    first: list[float]
    lost: list[str]

    @property
    def rate(self) -> float:
        """Tokens a second of all clients together."""
        return self.tokens / self.seconds

    def percentile(self, part: float) -> float:
        """Return the time to the first text that `part` (0 to 1) of all requests do not exceed."""
        if not self.first:
            return math.nan
        ordered = sorted(self.first)
        return ordered[min(math.ceil(part * len(ordered)), len(ordered)) - 1]


PATIENCE = 300.0
"""Seconds after which an answer counts as lost."""

Body = Callable[[int], dict[str, Any]]
"""Returns the request number i."""


def measure(url: str, body: Body, *, clients: int, each: int) -> Load:
    """Let `clients` clients send `each` requests one after another, all of them at once; return what came."""
    return asyncio.run(_measure(url, body, clients, each))


async def _measure(url: str, body: Body, clients: int, each: int) -> Load:
    first: list[float] = []
    lost: list[str] = []

    async def client(number: int) -> int:
        tokens = 0
        for turn in range(each):
            request = body(turn * clients + number)
            try:
                count, seconds = await asyncio.wait_for(_request(url, request), PATIENCE)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                lost.append(f"{type(error).__name__}: {error}")
                continue
            tokens += count
            if not math.isnan(seconds):  # an answer may hold no text: an end at once, or half a character
                first.append(seconds)
        return tokens

    began = time.perf_counter()
    tokens = await asyncio.gather(*(client(number) for number in range(clients)))
    return Load(sum(tokens), time.perf_counter() - began, first, lost)


async def _request(url: str, request: dict[str, Any]) -> tuple[int, float]:
    """Return the tokens that a streamed completion says it has made, and the seconds to its first text."""
    began = time.perf_counter()
    first, tokens = math.nan, 0
    async with asked(url, "/v1/completions", json.dumps({**request, "stream": True}).encode()) as answer:
        if answer.status != 200:
            raise ValueError(f"{answer.status} {(await answer.body())[:200]!r}")
        async for event in answer.events(ended=True):
            if "error" in event:
                raise ValueError(str(event["error"]))
            if math.isnan(first) and any(choice["text"] for choice in event["choices"]):
                first = time.perf_counter() - began
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    return tokens, first


def clicks(url: str, ids: Sequence[int], count: int) -> list[float]:
    """Return the seconds that each of `count` clicks in the explorer takes after a text of `ids`, network included."""
    return asyncio.run(_clicks(url, list(ids), count))


async def _clicks(url: str, ids: list[int], count: int) -> list[float]:
    seconds = []
    for _ in range(count + 1):
        body = json.dumps({"token_ids": ids, "k": 10}).encode()
        began = time.perf_counter()
        async with asked(url, "/api/next", body) as answer:
            found = json.loads(await answer.body())
        seconds.append(time.perf_counter() - began)
        ids.append(found["raw"][0]["id"])
    return seconds[1:]  # the first reads the whole text


def nothing(url: str, count: int) -> list[float]:
    """Return the seconds that requests take in which nothing is computed: the network and the server's doors."""

    async def ask() -> list[float]:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            async with asked(url, "/health") as answer:
                await answer.body()
            seconds.append(time.perf_counter() - began)
        return seconds

    return asyncio.run(ask())

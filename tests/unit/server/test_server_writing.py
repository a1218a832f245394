"""Between the scheduler's thread and the event loop: news arrive in order, and many of them wake the loop once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gpt2lab.server.writing import _Bell


def test_many_news_wake_the_loop_once_and_arrive_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[list[Any], int]:
        loop, woken = asyncio.get_running_loop(), 0
        wake = loop.call_soon_threadsafe

        def counted(*given: Any) -> Any:
            nonlocal woken
            woken += 1
            return wake(*given)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        bell, queues = _Bell(loop), [asyncio.Queue[Any]() for _ in range(4)]
        caller = threading.Thread(target=lambda: [bell.ring(queues[i % 4], i) for i in range(100)])
        caller.start()
        caller.join()  # the loop sleeps meanwhile
        first = [await queues[i % 4].get() for i in range(100)]
        bell.ring(queues[0], "later")
        return [*first, await queues[0].get()], woken

    assert asyncio.run(main()) == ([*range(100), "later"], 2)


def test_whoever_rings_for_a_loop_that_has_ended_hears_of_it_each_time() -> None:
    loop = asyncio.new_event_loop()
    bell = _Bell(loop)
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            bell.ring(asyncio.Queue(), None)
    del loop
    with pytest.raises(RuntimeError, match="gone"):
        bell.ring(asyncio.Queue(), None)

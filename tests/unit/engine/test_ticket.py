"""Tickets by themselves: what was put in comes out once and in order, before any end."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest

from gpt2lab.engine.jobs import Job, Output, Progress
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.ticket import Ticket

ENDS: list[str] = []


def ticket() -> Ticket:
    ENDS.clear()
    return Ticket(3, Job(np.asarray([1], np.int32), SamplingParams()), None, lambda _, finish: ENDS.append(finish))


def part(*ids: int, finish: str = "") -> Progress:
    return Progress(3, list(ids), finish, [0.5] * len(ids), [])


async def collected(text: Ticket, seen: list[int]) -> None:
    async for new in text:
        seen += new.ids


def test_reports_are_joined_and_taken_once() -> None:
    text = ticket()
    text.put(part(1, 2))
    text.put(part(3))
    assert text.take() == part(1, 2, 3)
    assert text.take() == part()
    assert not text.done
    text.put(part(4, finish="eos"))
    assert text.take() == part(4, finish="eos")
    assert text.take() == part(finish="eos")
    assert text.result() == Output([1, 2, 3, 4], [0.5] * 4, [], "eos")
    assert ENDS == ["eos"]


def test_nothing_comes_after_the_end() -> None:
    text = ticket()
    text.put(part(1))
    text.cancel()
    text.put(part(2))
    text.fail(ZeroDivisionError())
    text.cancel()
    assert text.result() == Output([1], [0.5], [], "stop")
    assert ENDS == ["stop"]


def test_an_error_comes_after_what_was_reported_before_it() -> None:
    """Also for an event loop that looks only when both have happened."""
    for read_in_a_loop in (False, True):
        text, seen = ticket(), []
        text.put(part(1, 2))
        text.fail(ZeroDivisionError("late"))
        with pytest.raises(ZeroDivisionError, match="late"):
            if read_in_a_loop:
                asyncio.run(collected(text, seen))
            else:
                for new in text:
                    seen += new.ids
        assert seen == [1, 2]
        assert (text.finish, ENDS) == ("error", ["error"])
        with pytest.raises(ZeroDivisionError, match="late"):
            text.result()


def test_an_ended_text_can_be_read_in_a_loop() -> None:
    text, seen = ticket(), []
    text.put(part(1, 2))
    text.put(part(3, finish="length"))
    asyncio.run(collected(text, seen))
    asyncio.run(collected(text, seen))
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("fails", [False, True])
def test_at_its_end_a_text_lets_go_of_whoever_listens(fails: bool) -> None:
    """A listener that holds its texts would be held by them, and memory would wait for the garbage collector."""

    class Listener:
        def __init__(self) -> None:
            self.told = 0
            self.text = Ticket(0, Job(np.asarray([1], np.int32), SamplingParams()), self.listen, lambda *_: None)

        def listen(self, _: Ticket) -> None:
            self.told += 1

    gc.disable()
    try:
        listener = Listener()
        text, gone = listener.text, weakref.ref(listener)
        text.put(part(1))
        text.fail(ZeroDivisionError()) if fails else text.put(part(2, finish="length"))
        assert listener.told == 2
        del listener
        assert gone() is None
    finally:
        gc.enable()

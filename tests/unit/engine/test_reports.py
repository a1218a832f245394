"""How often running texts are reported: their beginnings and ends at once, in between the more seldom the more run."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine import running
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.running import Limits, RunningTexts
from gpt2lab.engine.ticket import Ticket
from random_gpt2 import MODEL, native

PARAMS = SamplingParams(max_new_tokens=20, temperature=0.0, stop_ids=())
STEP = 0.02  # seconds that the clock of these tests goes on in each round


class Clock:
    """Stands in for the time module: it goes on when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def reports(count: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Run `count` texts a step at a time; return for each the number of tokens in each of its reports."""
    clock = Clock()
    monkeypatch.setattr(running, "time", clock)
    texts = RunningTexts(native(MODEL, threads=1), Limits(report_seconds=seconds), PrefixCache(0))
    tickets = [
        Ticket(i, Job(np.asarray([i + 1, 5], np.int32), PARAMS, i), None, lambda ticket, finish: None)
        for i in range(count)
    ]
    assert texts.admit(tickets) == tickets
    told: list[list[int]] = [[] for _ in tickets]
    while len(texts):
        texts.round(hurry=True)
        clock.now += STEP
        for ticket, parts in zip(tickets, told, strict=True):
            if new := len(ticket.take().ids):
                parts.append(new)
    return told


def test_few_texts_are_reported_as_often_as_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(8, STEP * 0.99, monkeypatch) == [[1] * 20] * 8


def test_many_texts_are_reported_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(32, STEP * 0.99, monkeypatch) == [[1, 4, 4, 4, 4, 3]] * 32


def test_a_beginning_and_an_end_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(3, 1000.0, monkeypatch) == [[1, 19]] * 3


def test_every_step_is_reported_where_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(32, 0.0, monkeypatch) == [[1] * 20] * 32

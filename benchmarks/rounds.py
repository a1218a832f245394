"""Taking turns: every entrant once a round, one at a time, round after round, so that drift hits all alike.

Before the rounds that count every entrant works until it gets no faster: compilers, allocators and caches need their
time. A short measurement is taken several times in a turn, and the median counts. One during which others used the
machine is repeated, up to a limit of time; the least disturbed one counts. Knows no engine.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Reply, WorkerError
from benchmarks.machine import Moment

Ask = Callable[[int], Reply]
"""Measures once; its argument is a seed that differs from call to call."""

SETTLE = 0.3
"""Seconds before a measurement in which the last engine's threads may stop spinning."""

_FASTER = 0.01
_MOST, _ENOUGH = 9, 1.0
"""Times in one turn, and seconds that are enough."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A reply to one entrant in one round, and the part of the machine that others used meanwhile."""

    entrant: str
    round: int
    reply: Reply
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How turns are taken.

    rounds: measured rounds; one more warms up. steady: in that one, an entrant works until so many seconds have brought
    no measurement that is faster by `_FASTER`, `longest` seconds at most. tolerance: the part of the machine others may
    use. patience: seconds that the repetitions of one measurement may take. lock: a file that is locked around every
    measurement.
    """

    rounds: int = 5
    steady: float = 4.0
    longest: float = 90.0
    tolerance: float = 0.05
    patience: float = 20.0
    lock: Path | None = None

    def take(
        self, entrants: Mapping[str, Ask], report: Callable[[Sample], None] = lambda _: None
    ) -> tuple[list[Sample], dict[str, str]]:
        """Return the samples of all rounds, and for each entrant that failed, why; its samples are dropped."""
        samples: list[Sample] = []
        failed: dict[str, str] = {}
        names = list(entrants)
        for number in range(self.rounds + 1):
            for name in names[number % len(names) :] + names[: number % len(names)]:  # nobody is always first
                if name in failed:
                    continue
                try:
                    sample = (self._measure if number else self._warm_up)(name, number, entrants[name])
                except WorkerError as error:
                    failed[name] = str(error)
                    continue
                report(sample)
                if number:
                    samples.append(sample)
        return [sample for sample in samples if sample.entrant not in failed], failed

    def _measure(self, name: str, number: int, ask: Ask) -> Sample:
        end = time.monotonic() + self.patience
        best: Sample | None = None
        for attempt in range(1000 // _MOST):
            with self._locked():
                time.sleep(SETTLE)
                before = Moment.now()
                replies = [ask(number * 1000 + attempt * _MOST)]
                while len(replies) < _MOST and sum(reply.seconds for reply in replies) < _ENOUGH:
                    replies.append(ask(number * 1000 + attempt * _MOST + len(replies)))
                others = before.share_of_others(sum(reply.cpu for reply in replies))
            if best is None or others < best.others:
                replies.sort(key=lambda reply: reply.seconds)
                best = Sample(name, number, replies[len(replies) // 2], others)
            if best.others <= self.tolerance or time.monotonic() > end:
                break
        assert best is not None
        return best

    def _warm_up(self, name: str, number: int, ask: Ask) -> Sample:
        """Repeat a measurement until it gets no faster; return the fastest."""
        start = since = time.monotonic()
        best: Reply | None = None
        seed = 0
        while best is None or time.monotonic() < min(since + self.steady, start + self.longest):
            with self._locked():
                reply = ask(-1 - seed)  # no seed of a round that counts
            seed += 1
            if best is None or reply.seconds < best.seconds * (1 - _FASTER):
                best, since = reply, time.monotonic()
        return Sample(name, number, best, 0.0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self.lock is None:
            yield
            return
        with self.lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

"""A progress bar on stderr that appears only when work takes more than two seconds, and only on a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

Unit = Literal["tokens", "bytes", "questions", "texts", "pieces"]

PATIENCE = 2.0
"""Seconds of silence before the bar appears."""


class ProgressBar:
    """Counts `unit`s of work towards a total, with rate and time left; use it as a context manager.

    Nothing is imported or shown before `PATIENCE` seconds are over, or when stderr is not a terminal.
    """

    def __init__(self, what: str, *, unit: Unit = "tokens", total: int | None = None) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._done = 0
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, count: int) -> None:
        """Count `count` more."""
        self.update(self._done + count, self._total)

    def update(self, done: int, total: int | None) -> None:
        """Say how much is done, and of how much."""
        self._done, self._total = done, total
        if not self._shown:
            return
        if self._bar is None:
            if time.monotonic() - self._began < PATIENCE:
                return
            self._bar = _bar(self._unit)
            self._task = self._bar.add_task(self._what, total=total or None, completed=done)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total or None)

    def close(self) -> None:
        """Take the bar away; what was on the screen stays."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(unit: Unit) -> Progress:
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        """How many units a second."""

        def render(self, task: progress.Task) -> Text:
            return Text(f"{task.speed or 0:,.0f} {unit}/s")

    counted: list[ProgressColumn]
    if unit == "bytes":
        counted = [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    else:
        counted = [progress.MofNCompleteColumn(), Rate()]
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *counted,
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

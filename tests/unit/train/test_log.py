"""Metrics on disk and the line of progress."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gpt2lab.train.log import MetricsLog, Progress, clock, read_metrics


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_resumed_run_drops_what_came_after_its_state(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, step=0)
    for step in (10, 20, 30):
        log.add({"step": step, "loss": 1.5})
    MetricsLog(tmp_path, step=20).add({"step": 25, "loss": 0.5})
    assert [r["step"] for r in read_metrics(tmp_path)] == [10, 20, 25]


def test_a_new_run_starts_empty(tmp_path: Path) -> None:
    MetricsLog(tmp_path, step=0).add({"step": 1})
    MetricsLog(tmp_path, step=0)
    assert read_metrics(tmp_path) == []


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st', encoding="utf-8")
    assert read_metrics(tmp_path) == [{"step": 1}]


def test_a_line_that_finds_no_room_leaves_none(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system limits no files")
    log = MetricsLog(tmp_path, step=0)
    log.add({"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "metrics.jsonl").stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            log.add({"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.add({"step": 3})
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 3}]


def test_progress_is_rewritten_on_a_terminal_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress(stream)
        progress.update("step 1")
        progress.line("measured")
    assert terminal.getvalue() == "\r\x1b[Kstep 1\r\x1b[Kmeasured\n"
    assert file.getvalue() == "measured\n"


def test_hidden_progress_is_silent() -> None:
    stream = Terminal()
    progress = Progress(stream, shown=False)
    progress.update("x")
    progress.line("y")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text

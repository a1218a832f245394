from __future__ import annotations

import io
import sys

import pytest

from gpt2lab.cli import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with progress.ProgressBar("working", total=10) as bar:
        bar.advance(5)
    assert stream.getvalue() == ""


def test_nothing_is_shown_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", 1000.0)
    with progress.ProgressBar("working", total=10) as bar:
        bar.advance(5)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("unit", "shown"), [("tokens", ("5/10", "tokens/s")), ("bytes", ("5/10 bytes", "bytes/s"))])
def test_long_work_shows_what_is_done_the_rate_and_the_time_left(
    unit: progress.Unit, shown: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with progress.ProgressBar("working", unit=unit, total=10) as bar:
        bar.advance(2)
        bar.advance(3)
    text = stream.getvalue()
    assert "working" in text
    assert shown[0] in text
    assert shown[1] in text or "?" in text  # the rate of two instants is not known
    assert ":--" in text or "0:00:0" in text

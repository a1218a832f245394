"""What a run tells: one JSON line per measurement in `metrics.jsonl`, and a line of progress on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from gpt2lab.files import atomic_write

FILE = "metrics.jsonl"
"""The name of the file in a run's folder."""


class MetricsLog:
    """Appends records to a run's metrics; records behind `step`, left by a run that is taken up again, are dropped."""

    def __init__(self, folder: Path, *, step: int) -> None:
        self._path = folder / FILE
        kept = [line for line in read_metrics(folder) if line["step"] <= step] if step else []
        with atomic_write(self._path, "w") as f:
            f.writelines(json.dumps(record) + "\n" for record in kept)

    def add(self, record: dict[str, float]) -> None:
        """Append one record, which has "step" among its keys, or leave the file as it is and raise `OSError`."""
        line = (json.dumps(record) + "\n").encode()
        with self._path.open("ab", buffering=0) as f:
            before = f.tell()
            try:
                while line:
                    line = line[f.write(line) :]
            except OSError:  # half a line would spoil the next one
                f.truncate(before)
                raise


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the records of a run's folder in order; a last line cut short by a crash is passed over."""
    path = folder / FILE
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class Progress:
    """A line on `stream`, rewritten in place on a terminal; elsewhere only lines that stay. Silent if not `shown`."""

    def __init__(self, stream: TextIO | None = None, *, shown: bool = True) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._shown, self._live = shown, self._stream.isatty()

    def update(self, text: str) -> None:
        """Show where the run is; off a terminal this is silent."""
        if self._shown and self._live:
            self._stream.write("\r\x1b[K" + text)
            self._stream.flush()

    def line(self, text: str) -> None:
        """Leave a line that stays."""
        if self._shown:
            self._stream.write(("\r\x1b[K" if self._live else "") + text + "\n")
            self._stream.flush()


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

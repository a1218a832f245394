"""`gpt2lab serve` as a process of its own on a free port, as users run it; asked for its memory and its counts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx2

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 120.0


class ServerProcess:
    """A running server: `with ServerProcess(["--model", "gpt2"]) as server: server.url`. Leaving stops it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gpt2lab", "serve", "--port", "0", *arguments],
            stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        assert self._process.stderr is not None
        said: list[str] = []
        for line in self._process.stderr:
            said.append(line)
            if found := re.search(r"serves .* at (http://\S+)", line):
                self.url = found[1]
                return
        raise SystemExit("".join(said) or "the server said nothing")

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def stop(self) -> str:
        """Ask it to end when what runs is finished; return what it said on stderr meanwhile."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        _, said = self._process.communicate(timeout=_PATIENCE)
        return said

    def resident_bytes(self) -> int:
        """Return the memory it has to itself and shares with nobody's file: anonymous pages (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """Return the processor seconds it has used (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counts(self) -> dict[str, float]:
        """Return /metrics as name{labels} -> value."""
        lines = httpx2.get(f"{self.url}/metrics", timeout=_PATIENCE).text.splitlines()
        return {name: float(value) for name, _, value in (ln.rpartition(" ") for ln in lines if not ln.startswith("#"))}

    def running_texts(self) -> int:
        """Return how many texts are being written or wait."""
        names = ("gpt2lab_running{", "gpt2lab_waiting{")
        return int(sum(value for name, value in self.counts().items() if name.startswith(names)))

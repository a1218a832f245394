"""Servers as processes of their own on free ports, as users run them: `gpt2lab serve` and `transformers serve`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx2

from benchmarks.client import WorkerError

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 120.0
_BATCHING = (
    "--continuous-batching", "--cb-block-size", "32", "--cb-num-blocks", "512", "--cb-max-batch-tokens", "2048",
)  # fmt: skip
"""transformers' own way to batch, with room for 16,384 tokens; left alone it takes most of the machine's memory."""


class ServerProcess:
    """A running server: `with ServerProcess(["--model", "gpt2"]) as server: server.url`. Leaving stops it.

    Raises `WorkerError` where it does not start. `environment` is added to this process's own.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it lives as long as the process; a pipe would fill
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gpt2lab", "serve", "--port", "0", *arguments],
            stderr=self._log, cwd=ROOT, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        until = time.monotonic() + _PATIENCE
        while not (found := re.search(r"serves .* at (http://\S+)[^\n]*\n", self._said())):
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                raise WorkerError(self._said().strip() or "the server said nothing")
            time.sleep(0.05)
        self.url, self._introduction = found[1], found[0]

    def _said(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> str:
        """Ask it to end when what runs is finished; return what it has said on stderr since it began to serve."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(_PATIENCE)
        return self._said().partition(self._introduction)[2]

    def resident_bytes(self) -> int:
        """Return the memory it has to itself and shares with nobody's file: anonymous pages (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def counts(self) -> dict[str, float]:
        """Return /metrics as name{labels} -> value."""
        lines = httpx2.get(f"{self.url}/metrics", timeout=_PATIENCE).text.splitlines()
        return {name: float(value) for name, _, value in (ln.rpartition(" ") for ln in lines if not ln.startswith("#"))}

    def running_texts(self) -> int:
        """Return how many texts are being written or wait."""
        names = ("gpt2lab_running{", "gpt2lab_waiting{")
        return int(sum(value for name, value in self.counts().items() if name.startswith(names)))


class TransformersServe:
    """`transformers serve` with one model on the CPU, on a port that was free a moment ago."""

    def __init__(self, model: Path, dtype: str, *, batching: bool, threads: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = Path(sys.executable).with_name("transformers")
        if not program.is_file():
            raise WorkerError("transformers is not installed")
        command = [str(program), "serve", str(model), "--device", "cpu", "--dtype", dtype]
        command += ["--host", "127.0.0.1", "--port", str(port), *(_BATCHING if batching else ())]
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 - it lives as long as the process
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)

    def __enter__(self) -> TransformersServe:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                if httpx2.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            except httpx2.TransportError:
                time.sleep(0.2)
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                said = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
                last = (said.strip().splitlines() or ["it said nothing"])[-1]
                raise WorkerError(f"transformers serve did not start: {last}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

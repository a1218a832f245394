"""The driver's end of a worker process: starts it, asks, waits no longer than it may, ends it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]


class WorkerError(Exception):
    """An engine that failed, died or did not answer in time; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with the wall and processor seconds that the worker spent on it."""

    value: Any
    seconds: float
    cpu: float


class Worker:
    """One worker process. `target` is "module:Class"; `log` receives what its libraries print."""

    def __init__(self, target: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._target = target
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        self._rest = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, call: str, *, timeout: float = 300.0, **arguments: Any) -> Reply:
        """Call a method in the worker. A `WorkerError` ends the process unless it answered with an error."""
        self.send(call, **arguments)
        return self.receive(timeout)

    def send(self, call: str, **arguments: Any) -> None:
        """Ask without waiting; each `send` needs a `receive`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._death()) from None

    def receive(self, timeout: float = 300.0) -> Reply:
        """Return the next answer."""
        reply = json.loads(self._line(timeout))
        if "error" in reply:
            raise WorkerError(f"{self._target}: {reply['error']}")
        return Reply(reply["value"], reply["seconds"], reply["cpu"])

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        pieces = [self._rest]  # logits make lines of many megabytes
        while b"\n" not in pieces[-1]:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.close()
                raise WorkerError(f"{self._target} did not answer within {timeout:.0f} s")
            piece = os.read(descriptor, 1 << 20)
            if not piece:
                raise WorkerError(self._death())
            pieces.append(piece)
        last, _, self._rest = pieces.pop().partition(b"\n")
        return b"".join([*pieces, last])

    def _death(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{self._target} ended with code {code}: {lines[-1] if lines else 'it said nothing'}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what a dead worker has not read
                    pipe.close()

"""The machine's own limits, measured in turn with the engines: bytes read and operations done in a second.

Served by a worker like an engine. Reading and register arithmetic are benchmarks/limits.cpp, compiled here by the
machine's compiler; large products are torch's, which are oneDNN's and MKL's.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

SOURCE = Path(__file__).with_suffix(".cpp")
STREAMS, AHEAD = (1, 2, 4, 8), (0, 16, 32, 64)
"""Runs read side by side in each thread, and cache lines by which prefetches run ahead."""

Kind = Literal["fp32", "bf16", "int8", "AMX bf16", "AMX int8"]
KINDS: tuple[Kind, ...] = ("fp32", "bf16", "int8", "AMX bf16", "AMX int8")
PRODUCT = 2048
"""Rows, columns and depth of a large product."""


class CompilerError(Exception):
    """The limits could not be compiled; the message holds the compiler's last line."""


def library(folder: Path) -> ctypes.CDLL:
    """Compile limits.cpp into `folder`, unless this very source is there already, and load it."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = folder / f"limits-{digest}.so"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{os.getpid()}.so")
        flags = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread"]
        command = [os.environ.get("CXX", "c++"), *flags, "-o", str(made), str(SOURCE)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise CompilerError((done.stderr.strip().splitlines() or ["the compiler said nothing"])[-1])
        made.rename(path)
    loaded = ctypes.CDLL(str(path))
    loaded.limits_buffer.restype = ctypes.c_void_p
    loaded.limits_buffer.argtypes = [ctypes.c_size_t]
    loaded.limits_release.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    loaded.limits_stream.restype = ctypes.c_double
    loaded.limits_stream.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 4]
    loaded.limits_arithmetic.restype = ctypes.c_double
    loaded.limits_arithmetic.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long]
    return loaded


class Limits:
    """The machine with `threads` threads; `folder` keeps what is compiled."""

    CALLS = frozenset({"stream", "arithmetic", "product"})

    def __init__(self, folder: str, threads: int) -> None:
        self._library = library(Path(folder))
        self._threads = threads
        self._ways: dict[int, list[tuple[int, int]]] = {}

    def stream(self, size: int) -> float:
        """Return the bytes a second at which a buffer of `size` bytes is read again and again, the fastest way found.

        The first call tries every way of reading; later calls repeat the best three.
        """
        memory = self._library.limits_buffer(size)
        if not memory:
            raise MemoryError(f"no memory for a buffer of {size} bytes")
        passes = max(2, int(1e9 / size))

        def rate(way: tuple[int, int]) -> float:
            return float(self._library.limits_stream(memory, size, self._threads, *way, passes))

        try:
            if size not in self._ways:
                every = [(streams, ahead) for streams in STREAMS for ahead in AHEAD]
                self._ways[size] = sorted(every, key=rate, reverse=True)[:3]
            return max(rate(way) for way in self._ways[size] for _ in range(2))
        finally:
            self._library.limits_release(memory, size)

    def arithmetic(self, kind: Kind) -> float:
        """Return operations a second on numbers held in registers; 0 where the processor lacks the instruction."""
        number = KINDS.index(kind)
        return max(float(self._library.limits_arithmetic(number, self._threads, 5_000_000)) for _ in range(3))

    def product(self, kind: Literal["fp32", "bf16", "int8"]) -> float:
        """Return operations a second of torch's product of two large square matrices."""
        import torch

        torch.set_num_threads(self._threads)
        if kind == "int8":
            a, b = (torch.randint(-128, 128, (PRODUCT, PRODUCT), dtype=torch.int8) for _ in range(2))
            return _best_rate(torch._int_mm, [a, b])
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[kind]
        return _best_rate(torch.mm, [torch.randn(PRODUCT, PRODUCT).to(dtype) for _ in range(2)])


def _best_rate(product: Any, operands: Sequence[Any]) -> float:
    seconds = []
    for _ in range(4):  # the first packs and allocates
        started = time.perf_counter()
        product(*operands)
        seconds.append(time.perf_counter() - started)
    return 2.0 * PRODUCT**3 / min(seconds)

"""Weights of a mapped file move to huge pages while the model works: no bit changes, and the process does not grow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab.engine.native import NativeBackend
from gpt2lab.model.config import GPT2Config
from random_gpt2 import native

HUGE = 2 << 20
MODEL = GPT2Config(vocab_size=2000, n_positions=128, n_embd=256, n_layer=4, n_head=4)
IDS = np.arange(0, 24, 2, dtype=np.int32)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(),
    reason="the system has no huge pages to give",
)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def original(request: pytest.FixtureRequest) -> NativeBackend:
    return native(MODEL, precision=request.param)


@pytest.fixture
def mapped(original: NativeBackend, tmp_path: Path) -> Iterator[tuple[NativeBackend, Path]]:
    path = tmp_path / "weights"
    path.write_bytes(bytes(4096) + original.packed.tobytes())
    weights = np.memmap(path, np.uint8, "r", offset=4096)
    yield NativeBackend(MODEL, {}, precision=original.precision, threads=2, packed=weights), path


def bytes_mapped_of(path: Path) -> int:
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            total += last - first
    return total


def logits(backend: NativeBackend) -> Any:
    return backend.forward([backend.new_cache()], [IDS], all_positions=True)


def test_a_model_that_works_for_long_leaves_the_file_and_computes_the_same(
    original: NativeBackend, mapped: tuple[NativeBackend, Path]
) -> None:
    backend, path = mapped
    expected = logits(original)
    whole = bytes_mapped_of(path)
    assert whole >= original.packed.nbytes
    many = np.arange(100, dtype=np.int32)
    for _ in range(100):
        backend.forward([backend.new_cache()], [many])
    assert bytes_mapped_of(path) == whole  # prompts do not wait for memory
    found = [logits(backend) for _ in range(60)]
    assert bytes_mapped_of(path) == whole  # a short life: nothing has moved
    while bytes_mapped_of(path) >= 2 * HUGE:  # what fills no huge page stays
        found = [logits(backend) for _ in range(40)]
        assert all(np.array_equal(one.view(np.uint32), expected.view(np.uint32)) for one in found)
    assert bytes_mapped_of(path) < 2 * HUGE
    assert np.array_equal(backend.packed, original.packed)

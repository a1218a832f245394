"""Event files, read back by a reader of TFRecords and protocol buffers written from their descriptions."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.checkpoint.crc32c import crc32c, masked
from gpt2lab.train.tensorboard import VERSION, EventFile


def records(data: bytes) -> Iterator[bytes]:
    while data:
        (length, length_crc) = struct.unpack("<QI", data[:12])
        body, (crc,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
        assert length_crc == masked(crc32c(data[:8]))
        assert crc == masked(crc32c(body))
        yield body
        data = data[16 + length :]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}.get(key & 7) or varint(data, at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def test_scalars_come_back(tmp_path: Path) -> None:
    events = EventFile(tmp_path)
    assert list(tmp_path.iterdir()) == []
    events.add(7, {"train_loss": 2.5, "lr": 0.125})
    events.add(1_000_000, {"train_loss": 2.0})
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    first, *rest = (dict(fields(body)) for body in records(path.read_bytes()))
    assert first[3] == VERSION.encode()
    assert [event[2] for event in rest] == [7, 1_000_000]
    values = [[dict(fields(value)) for _, value in fields(event[5])] for event in rest]
    assert [[(v[1], struct.unpack("<f", v[2])[0]) for v in event] for event in values] == [
        [(b"train_loss", 2.5), (b"lr", 0.125)],
        [(b"train_loss", 2.0)],
    ]


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no TensorBoard")
    EventFile(tmp_path).add(7, {"train_loss": 2.5})
    accumulator = reader.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    (scalar,) = accumulator.Scalars("train_loss")
    assert (scalar.step, scalar.value) == (7, 2.5)

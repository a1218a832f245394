"""Scalars in TensorBoard's event files, without TensorBoard.

A file is a row of TFRecords, each an `Event` message of protocol buffers: wall time (field 1, double), step (2, varint)
and the file's version (3, string) or a summary (5) of values (1) with a tag (1, string) and a number (2, float).
Sources: tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer.h.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from gpt2lab.checkpoint.crc32c import crc32c, masked

VERSION = "brain.Event:2"


class EventFile:
    """One event file in `folder`, begun when the first scalars come. Records are whole or, after a crash, cut short."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append `scalars` by name as the values of `step`."""
        now = time.time()
        records = b""
        if self._path is None:
            name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
            self._path = self._folder / name
            records = record(_time(now) + _bytes(3, VERSION.encode()))
        values = b"".join(
            _bytes(1, _bytes(1, tag.encode()) + _key(2, 5) + struct.pack("<f", value)) for tag, value in scalars.items()
        )
        records += record(_time(now) + _key(2, 0) + _varint(step) + _bytes(5, values))
        with self._path.open("ab") as f:
            f.write(records)


def record(data: bytes) -> bytes:
    """Return `data` as a TFRecord: its length, the length's masked checksum, itself, its own masked checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def _time(now: float) -> bytes:
    return _key(1, 1) + struct.pack("<d", now)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])

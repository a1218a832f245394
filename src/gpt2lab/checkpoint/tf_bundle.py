"""TensorFlow's V2 checkpoints ("tensor bundles"), read without TensorFlow: an index table and data shards.

Knows nothing of GPT-2. Reads what is there of an incomplete checkpoint, tensor by tensor.
Source: tensorflow/core/util/tensor_bundle/tensor_bundle.h and core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import functools
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2lab.checkpoint.crc32c import crc32c, masked
from gpt2lab.checkpoint.identity import FileState, Identity
from gpt2lab.checkpoint.sstable import read_sstable, varint
from gpt2lab.checkpoint.tensors import Array, bfloat16_to_float32, map_file
from gpt2lab.errors import CheckpointError, nearest

# tensorflow/core/framework/types.proto: number -> (name, how NumPy reads its bytes)
_TYPES = {1: ("float32", "<f4"), 2: ("float64", "<f8"), 14: ("bfloat16", "<u2"), 19: ("float16", "<f2")}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies: its type number, shape, shard, byte range there, and the masked CRC-32C of its bytes."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool

    @property
    def end(self) -> int:
        """The byte behind the tensor's last one."""
        return self.offset + self.size


class Bundle:
    """An opened checkpoint: `prefix` is the common beginning of its files (".../model.ckpt").

    Raises `CheckpointError` when the index is missing or damaged. Data shards may be missing or cut short: see
    `shortfall`; what is there can still be read.
    """

    def __init__(self, prefix: str | Path) -> None:
        self.prefix = Path(prefix)
        self.index = self.prefix.with_name(self.prefix.name + ".index")
        if not self.index.is_file():
            raise CheckpointError(f"{self.index} does not exist; it lists the tensors of a TensorFlow checkpoint.")
        self._listed = FileState.of(self.index)
        self.shards = 1
        self.entries: dict[str, Entry] = {}
        try:
            for key, value in read_sstable(self.index):
                if key:
                    self.entries[key.decode("utf-8")] = _entry(value)
                else:
                    self._read_header(value)
        except (IndexError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{self.index} is damaged: {error}.") from None
        beyond = next((name for name, e in self.entries.items() if e.shard >= self.shards), None)
        if beyond is not None:
            raise CheckpointError(f"{self.index} is damaged: {beyond!r} lies in a shard that does not exist.")

    def read(self, name: str, *, verify: bool = True) -> Array:
        """Return one tensor as float32 in the shape that the index gives; with `verify`, its CRC-32C is checked.

        Raises `CheckpointError` when it is unknown, not there, damaged or of a type that is not floating point.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self.prefix} has no tensor {name!r}.{nearest(name, self.entries)}")
        if entry.dtype not in _TYPES or entry.sliced:
            why = "is stored in slices" if entry.sliced else f"has TensorFlow's type {entry.dtype}"
            raise CheckpointError(f"{self.prefix}: {name!r} {why}; only whole floating-point tensors can be read.")
        kind, numpy_type = _TYPES[entry.dtype]
        count = entry.size // np.dtype(numpy_type).itemsize
        if count != math.prod(entry.shape) or entry.size % np.dtype(numpy_type).itemsize:
            raise CheckpointError(
                f"{self.index} gives {name!r} {entry.size:,} bytes, which is not {entry.shape} of {kind}."
            )
        path = self.shard_path(entry.shard)
        if self._bytes_there(entry.shard) < entry.end:
            raise CheckpointError(
                f"{path} is cut short: {name!r} ends at byte {entry.end:,} of a file that has "
                f"{self._bytes_there(entry.shard):,}."
            )
        data = memoryview(self._map(entry.shard))[entry.offset : entry.end] if entry.size else b""
        if verify and masked(crc32c(data)) != entry.crc:
            raise CheckpointError(f"{path} is damaged: the checksum of {name!r} does not match; fetch the file again.")
        raw = np.frombuffer(data, dtype=numpy_type).reshape(entry.shape)
        if kind == "bfloat16":
            return bfloat16_to_float32(raw)
        return raw.astype(np.float32, copy=kind != "float32" or not raw.flags.aligned)

    def identity(self) -> Identity:
        """Describe the files, which must all be there; to be called before the first tensor is read."""
        return Identity((self._listed, *(FileState.of(self.shard_path(shard)) for shard in range(self.shards))))

    def shard_path(self, shard: int) -> Path:
        """Return the path of a data file, counted from 0."""
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self.shards:05d}")

    def missing(self) -> list[str]:
        """Return the names of the tensors whose bytes are not all there."""
        there = {shard: self._bytes_there(shard) for shard in range(self.shards)}
        return [name for name, e in self.entries.items() if e.end > there[e.shard]]

    def shortfall(self) -> str | None:
        """Say in one sentence which data file is incomplete and what that costs, or None when all is there."""
        missing = set(self.missing())
        for shard in range(self.shards):
            mine = [e for name, e in self.entries.items() if e.shard == shard and name in missing]
            if not mine:
                continue
            path, need = self.shard_path(shard), max(e.end for e in self.entries.values() if e.shard == shard)
            state = (
                f"has {self._bytes_there(shard):,} of the {need:,} bytes it needs"
                if path.is_file()
                else f"is not there ({need:,} bytes are needed)"
            )
            return f"{path} {state}, so {len(missing)} of {len(self.entries)} tensors are missing; fetch it again."
        return None

    def _read_header(self, value: bytes) -> None:
        """Read a BundleHeaderProto: the number of shards, the byte order."""
        fields = dict(_fields(value))
        shards, big_endian = fields.get(1, 0), fields.get(2, 0)
        if not isinstance(shards, int) or shards < 1:
            raise ValueError("it gives no number of data files")
        if big_endian:
            raise ValueError("it was written in big-endian byte order, which cannot be read")
        self.shards = shards

    def _bytes_there(self, shard: int) -> int:
        path = self.shard_path(shard)
        return path.stat().st_size if path.is_file() else 0

    @functools.cached_property
    def _maps(self) -> dict[int, mmap.mmap]:
        return {}

    def _map(self, shard: int) -> mmap.mmap:
        if shard not in self._maps:
            self._maps[shard] = map_file(self.shard_path(shard))
        return self._maps[shard]


def _entry(value: bytes) -> Entry:
    """Parse a BundleEntryProto."""
    fields = dict(_fields(value))
    shape = fields.get(2, b"")
    if not isinstance(shape, bytes) or any(isinstance(fields.get(n, 0), bytes) for n in (1, 3, 4, 5, 6)):
        raise ValueError("an entry has fields of the wrong kind")
    number = {n: v for n, v in fields.items() if isinstance(v, int)}
    return Entry(
        dtype=number.get(1, 0),
        shape=tuple(_dimensions(shape)),
        shard=number.get(3, 0),
        offset=number.get(4, 0),
        size=number.get(5, 0),
        crc=number.get(6, 0),
        sliced=7 in fields,
    )


def _dimensions(shape: bytes) -> Iterator[int]:
    """Yield the sizes in a TensorShapeProto."""
    for field, dimension in _fields(shape):
        if field == 2 and isinstance(dimension, bytes):
            size = dict(_fields(dimension)).get(1, 0)
            if not isinstance(size, int):
                raise ValueError("a shape has a size of the wrong kind")
            yield size


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protobuf message: numbers for varints and fixed widths, bytes for the rest."""
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, position = varint(message, position)
            yield field, value
            continue
        if wire == 2:
            width, position = varint(message, position)
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
        else:
            raise ValueError(f"an entry has the unknown wire type {wire}")
        piece = message[position : position + width]
        if len(piece) != width:
            raise ValueError("an entry is cut short")
        position += width
        yield field, piece if wire == 2 else int.from_bytes(piece, "little")

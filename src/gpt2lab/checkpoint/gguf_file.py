"""The GGUF container: typed metadata, then a table of tensors, then their bytes, read through a memory map.

Knows nothing of GPT-2. Written here because the `gguf` package takes seconds to open a file with GPT-2's vocabulary and
cannot write tensor by tensor to a temporary name. Source: ggml, docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from gpt2lab.checkpoint import ggml_types
from gpt2lab.checkpoint.ggml_types import Octets
from gpt2lab.checkpoint.identity import Identity
from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.checkpoint.tensors import map_file
from gpt2lab.errors import CheckpointError

MAGIC = b"GGUF"
_VERSION = 3
_ALIGNMENT = 32
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY, _UINT32, _INT32, _FLOAT32, _BOOL = 8, 9, 4, 5, 6, 7


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: shape in NumPy's order (rows first), ggml type, offset of its first byte in the file, bytes."""

    shape: tuple[int, ...]
    kind: int
    offset: int
    nbytes: int


class GGUFFile:
    """An opened file: `metadata` (key -> number, text or list), `tensors` (name -> `TensorInfo`), `data`, `identity`.

    Raises `CheckpointError` when it is foreign, damaged or cut short.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir() or not self.path.exists():
            raise CheckpointError(
                f"{self.path} {'is a folder, not a GGUF file' if self.path.is_dir() else 'does not exist'}."
            )
        self.identity = Identity.of([self.path])
        size = self.path.stat().st_size
        with self.path.open("rb") as f:
            if f.read(4) != MAGIC:
                raise CheckpointError(f"{self.path} is {oddity(self.path) or 'not a GGUF file'}.")
        self._map = map_file(self.path)
        cursor = _Cursor(self._map, size)
        try:
            self.metadata, self.tensors = _header(cursor)
        except (struct.error, OverflowError, UnicodeDecodeError, ValueError) as error:
            reason = "its header is cut short" if isinstance(error, struct.error) else str(error)
            raise CheckpointError(f"{self.path} is damaged or of an unknown kind: {reason}.") from None
        for name, info in self.tensors.items():
            if info.offset + info.nbytes > size:
                raise CheckpointError(
                    f"{self.path} is cut short: it has {size:,} bytes, {name!r} ends at {info.offset + info.nbytes:,}."
                )

    def data(self, name: str) -> Octets:
        """Return the bytes of a tensor, a view of a private memory map."""
        info = self.tensors[name]
        return np.ndarray((info.nbytes,), dtype=np.uint8, buffer=self._map, offset=info.offset)


class _Cursor:
    """A place in the file that moves forward over what is read."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self.data, self.size, self.position = data, size, 4

    def number(self, code: str) -> Any:
        value = struct.unpack_from("<" + code, self.data, self.position)[0]
        self.position += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        length = self.number("Q")
        if length > self.size - self.position:
            raise ValueError("a text reaches beyond its end")
        self.position += length
        return self.data[self.position - length : self.position].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        if kind not in _NUMBERS:
            raise ValueError(f"metadata of the unknown type {kind}")
        return self.number(_NUMBERS[kind])

    def array(self) -> list[Any]:
        kind, count = self.number("I"), self.number("Q")
        if count > self.size - self.position:
            raise ValueError("a list reaches beyond its end")
        if kind == _ARRAY or kind not in (_STRING, *_NUMBERS):
            raise ValueError(f"a list of the unknown type {kind}")
        if kind == _STRING:
            return [self.text() for _ in range(count)]
        layout = f"<{count}{_NUMBERS[kind]}"
        values = list(struct.unpack_from(layout, self.data, self.position))
        self.position += struct.calcsize(layout)
        return values


def _header(cursor: _Cursor) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
    version = cursor.number("I")
    if version not in (2, 3):
        raise ValueError("it is big-endian" if version >> 16 else f"GGUF version {version} (2 and 3 can be read)")
    n_tensors, n_values = cursor.number("Q"), cursor.number("Q")
    metadata = {cursor.text(): cursor.value(cursor.number("I")) for _ in range(n_values)}
    table: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for _ in range(n_tensors):
        name, n_dims = cursor.text(), cursor.number("I")
        if n_dims > 4:
            raise ValueError(f"{name!r} has {n_dims} dimensions")
        shape = tuple(cursor.number("Q") for _ in range(n_dims))[::-1]  # ggml counts the contiguous axis first
        table[name] = shape, cursor.number("I"), cursor.number("Q")
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"general.alignment = {alignment!r}")
    start = -(-cursor.position // alignment) * alignment
    return metadata, {
        name: TensorInfo(shape, kind, start + offset, ggml_types.nbytes(kind, shape))
        for name, (shape, kind, offset) in table.items()
    }


def write_gguf(
    f: IO[bytes],
    metadata: Mapping[str, Any],
    infos: Mapping[str, tuple[tuple[int, ...], int]],
    tensors: Iterable[Octets],
) -> None:
    """Write a GGUF file of version 3 to `f`, one tensor at a time.

    `infos` maps name -> (shape, ggml type); `tensors` gives their bytes in that order. In `metadata`, whole numbers are
    written as uint32, lists of them as int32, real numbers as float32.
    """
    out = bytearray(MAGIC + struct.pack("<IQQ", _VERSION, len(infos), len(metadata)))
    for key, value in metadata.items():
        out += _text(key) + _typed(value)
    offset = 0
    for name, (shape, kind) in infos.items():
        out += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)
        offset += -(-ggml_types.nbytes(kind, shape) // _ALIGNMENT) * _ALIGNMENT
    f.write(out + bytes(-len(out) % _ALIGNMENT))
    for data in tensors:
        f.write(data.data)
        f.write(bytes(-data.size % _ALIGNMENT))


def _text(value: str) -> bytes:
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _typed(value: Any) -> bytes:
    """Return the type number and the bytes of a metadata value."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    head = struct.pack("<I", _ARRAY)
    if all(isinstance(item, str) for item in value):
        return head + struct.pack("<IQ", _STRING, len(value)) + b"".join(map(_text, value))
    return head + struct.pack(f"<IQ{len(value)}i", _INT32, len(value), *value)

"""The safetensors container: an 8-byte length, a JSON header, then the tensors' bytes, read through a memory map.

Knows nothing of GPT-2. Written here rather than with the library of that name because NumPy has no bfloat16, because
files larger than memory must be written tensor by tensor, and because a damaged file deserves a sentence.
Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import functools
import json
import math
import mmap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.checkpoint.tensors import (
    Array,
    Stored,
    bfloat16_to_float32,
    float32_to_bfloat16,
    float32_to_float16,
    map_file,
)
from gpt2lab.errors import CheckpointError
from gpt2lab.files import parse_json

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""safetensors' name of each floating-point type -> how NumPy reads its bytes (bfloat16 as 16 bits)."""

_WRITTEN = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_LONGEST_HEADER = 100_000_000  # the library's own limit


def read_safetensors(path: Path, *, skip: Callable[[str], bool] = lambda name: False) -> dict[str, Stored]:
    """Return name -> `Stored` for every tensor that `skip` does not leave out, checked against the file's length.

    Nothing is read yet. What is left out may be of any type.

    Raises `CheckpointError` for a file that is truncated, corrupt, foreign or of a type that is not floating point.
    """
    size = path.stat().st_size
    header, start = _header(path, size)
    stored: dict[str, Stored] = {}
    data = map_file(path)
    for name, entry in header.items():
        if name == "__metadata__" or skip(name):
            continue
        kind, shape, begin, end = _entry(path, name, entry)
        if start + end > size:
            raise CheckpointError(
                f"{path} is cut short: it has {size:,} bytes and {name!r} ends at byte {start + end:,}; fetch it again."
            )
        read = functools.partial(_read, data, start + begin, kind, shape)
        stored[name] = Stored(shape, read)
    return stored


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """Return the parsed header and the offset of the first tensor byte."""
    with path.open("rb") as f:
        length = int.from_bytes(f.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            what = oddity(path)
            raise CheckpointError(
                f"{path} is {what}." if what else f"{path} is cut short or not a safetensors file ({size:,} bytes)."
            )
        text = f.read(length)
    try:
        header = parse_json(text)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is {oddity(path) or 'not a safetensors file, or its header is damaged'}.")
    return header, 8 + length


def _entry(path: Path, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Return (type, shape, begin, end) of one header entry after checking that they agree."""
    try:
        kind, (begin, end) = entry["dtype"], entry["data_offsets"]
        shape = tuple(entry["shape"])
        sound = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path} has a damaged header at {name!r}.")
    if kind not in DTYPES:
        raise CheckpointError(f"{path} holds {name!r} as {kind}; only {', '.join(DTYPES)} can be read.")
    if end - begin != math.prod(shape) * np.dtype(DTYPES[kind]).itemsize:
        raise CheckpointError(f"{path} gives {name!r} {end - begin:,} bytes, which is not {shape} of {kind}.")
    return kind, shape, begin, end


def _read(data: mmap.mmap, offset: int, kind: str, shape: tuple[int, ...]) -> Array:
    raw = np.ndarray(shape, dtype=DTYPES[kind], buffer=data, offset=offset)
    if kind == "BF16":
        return bfloat16_to_float32(raw)
    if kind == "F32" and raw.flags.aligned:
        return raw
    return raw.astype(np.float32)


def write_safetensors(
    f: IO[bytes],
    shapes: Mapping[str, tuple[int, ...]],
    arrays: Iterable[tuple[str, npt.NDArray[Any]]],
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `arrays` (name, values; in the order of `shapes`) to `f` as float32, float16 or bfloat16, one at a time."""
    kind = _WRITTEN[dtype]
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that every tensor can be mapped where it lies
    f.write(len(text).to_bytes(8, "little") + text)
    for name, values in arrays:
        array = np.asarray(values, dtype=np.float32, order="C")
        if array.shape != tuple(shapes[name]):
            raise CheckpointError(f"{name!r} has shape {array.shape}, not {tuple(shapes[name])}.")
        raw = _ENCODERS[kind](array)
        f.write(raw.data if raw.size else b"")


_ENCODERS: dict[str, Callable[[Array], npt.NDArray[Any]]] = {
    "F32": lambda array: array,
    "F16": float32_to_float16,
    "BF16": float32_to_bfloat16,
}

"""ggml's tensor types: float32 arrays to the bytes of a GGUF tensor, and back.

F32, F16, BF16, Q8_0 and Q4_0 are read and written here, bit for bit as ggml does; every other type is only read, by the
`gguf` package where it is installed. Source: ggml, ggml-quants.c (quantize_row_q8_0_ref, quantize_row_q4_0_ref).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.checkpoint.tensors import Array, bfloat16_to_float32, float32_to_bfloat16, float32_to_float16
from gpt2lab.errors import CheckpointError, MissingExtraError

Octets = npt.NDArray[np.uint8]

F32, F16, Q4_0, Q8_0, BF16 = 0, 1, 2, 8, 30
"""ggml's numbers of the types that are written here."""

BLOCK = 32
"""Weights that share one scale in Q8_0 and Q4_0; a row must be a multiple of it."""

_SIZES = {F32: (1, 4), F16: (1, 2), BF16: (1, 2), Q4_0: (BLOCK, 18), Q8_0: (BLOCK, 34)}


def encode(values: Array, kind: int) -> Octets:
    """Return the bytes of a float32 array; for Q8_0 and Q4_0 its last axis must be a multiple of `BLOCK`."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    return _ENCODERS[kind](values).reshape(-1).view(np.uint8)


def decode(data: Octets, kind: int, shape: tuple[int, ...]) -> Array:
    """Return the float32 array of `shape` whose bytes are `data`.

    A type that only the `gguf` package knows is a `MissingExtraError` where that is not installed.
    """
    if kind in _DECODERS:
        return _DECODERS[kind](data).reshape(shape)
    gguf = _library()
    rows: Array = gguf.quants.dequantize(data.reshape(-1, data.size // max(_rows(shape), 1)), _library_type(kind))
    return rows.reshape(shape)


def nbytes(kind: int, shape: tuple[int, ...]) -> int:
    """Return how many bytes a tensor of `shape` takes; `CheckpointError` when its rows do not fill whole blocks."""
    if kind in _SIZES:
        block, size = _SIZES[kind]
    else:
        block, size = (int(n) for n in _library().GGML_QUANT_SIZES[_library_type(kind)])
    if shape and shape[-1] % block:
        raise CheckpointError(f"rows of {shape[-1]} weights do not fill whole blocks of {block}")
    return math.prod(shape) // block * size


def _rows(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1])


def _library() -> Any:
    try:
        import gguf
    except ImportError:
        raise MissingExtraError("Reading this kind of quantised GGUF file", "gguf") from None
    return gguf


def _library_type(kind: int) -> Any:
    try:
        return _library().GGMLQuantizationType(kind)
    except ValueError:
        raise CheckpointError(f"tensors of ggml type {kind} cannot be read") from None


def _encode_q8_0(values: Array) -> Octets:
    """Scale (float16) = largest magnitude / 127, then 32 signed bytes, rounded half away from zero."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = blocks * _inverse(scale)
    weights = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
    return np.concatenate([_half(scale), weights.view(np.uint8)], axis=1)


def _decode_q8_0(data: Octets) -> Array:
    blocks = data.reshape(-1, 34)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    return blocks[:, 2:].view(np.int8) * scale


def _encode_q4_0(values: Array) -> Octets:
    """Scale (float16) = the value of largest magnitude / -8, then 32 nibbles: the first half low, the second high."""
    blocks = values.reshape(-1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / np.float32(-8)
    nibbles = np.clip(np.trunc(blocks * _inverse(scale) + np.float32(8.5)), 0, 15).astype(np.uint8)
    low, high = nibbles[:, : BLOCK // 2], nibbles[:, BLOCK // 2 :]
    return np.concatenate([_half(scale), low | high << np.uint8(4)], axis=1)


def _decode_q4_0(data: Octets) -> Array:
    blocks = data.reshape(-1, 18)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    packed = blocks[:, 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.int8) - np.int8(8)
    return nibbles * scale


def _inverse(scale: Array) -> Array:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _half(scale: Array) -> Octets:
    """Return scales (n, 1) as the two bytes of their float16 (n, 2)."""
    return float32_to_float16(scale).astype("<f2", copy=False).view(np.uint8)


_ENCODERS: dict[int, Callable[[Array], npt.NDArray[np.generic]]] = {
    F32: lambda values: values,
    F16: float32_to_float16,
    BF16: float32_to_bfloat16,
    Q8_0: _encode_q8_0,
    Q4_0: _encode_q4_0,
}
_DECODERS: dict[int, Callable[[Octets], Array]] = {
    F32: lambda data: data.view("<f4") if data.ctypes.data % 4 == 0 else data.copy().view("<f4"),
    F16: lambda data: data.view("<f2").astype(np.float32),
    BF16: lambda data: bfloat16_to_float32(data.view("<u2")),
    Q8_0: _decode_q8_0,
    Q4_0: _decode_q4_0,
}

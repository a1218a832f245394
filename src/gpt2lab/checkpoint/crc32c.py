"""CRC-32C (Castagnoli), fast enough in NumPy to check every tensor of a checkpoint, and TensorFlow's masked form.

The register is linear over GF(2): long data are cut into equal lanes that advance together, and the registers of the
lanes are then joined two by two, each time shifting the left one by the length of the right one.
Source: RFC 3720, appendix B.4; masking: LevelDB, util/crc32c.h.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78  # reflected
_SHORT = 1 << 12  # below this many bytes the plain loop wins
_LANES = 1 << 14
_PIECE = 1 << 24  # bytes handled at once, so that the transposed copy stays small

Words = npt.NDArray[np.uint32]


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of `data` as an unsigned 32-bit number."""
    octets = np.frombuffer(data, dtype=np.uint8)
    register = 0xFFFFFFFF
    for start in range(0, len(octets), _PIECE):
        register = _advance(register, octets[start : start + _PIECE])
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a CRC, so that a CRC over stored CRCs stays a good one."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _advance(register: int, octets: npt.NDArray[np.uint8]) -> int:
    if len(octets) < _SHORT:
        return _advance_bytes(register, octets.tobytes())
    lanes = min(_LANES, 1 << (len(octets) // 64).bit_length() - 1)
    length = len(octets) // lanes // 2 * 2  # bytes in a lane: whole 16-bit words
    words = np.ascontiguousarray(octets[: lanes * length].view("<u2").reshape(lanes, length // 2).T)
    registers = np.zeros(lanes, dtype=np.uint32)
    registers[0] = register
    table = _table16()
    for word in words:  # (lanes,)
        registers = table[(registers ^ word) & 0xFFFF] ^ (registers >> 16)
    return _advance_bytes(_joined(registers, length), octets[lanes * length :].tobytes())


def _joined(registers: Words, length: int) -> int:
    """Return the register after all lanes, each of `length` bytes, one behind the other."""
    shift = _zero_bytes(length)
    while len(registers) > 1:
        registers = _apply(shift, registers[0::2]) ^ registers[1::2]
        shift = _apply(shift, shift)
    return int(registers[0])


def _apply(operator: Words, values: Words) -> Words:
    """Multiply `values` by a 32 x 32 matrix over GF(2), given as the images of the 32 single bits."""
    result = np.zeros_like(values)
    for bit in range(32):
        result ^= operator[bit] * ((values >> np.uint32(bit)) & np.uint32(1))
    return result


def _zero_bytes(count: int) -> Words:
    """Return the operator that advances a register over `count` zero bytes."""
    identity: Words = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, power = identity, _table8()[identity & 0xFF] ^ (identity >> 8)
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _advance_bytes(register: int, data: bytes) -> int:
    table = _table8().tolist()
    for octet in data:
        register = table[(register ^ octet) & 0xFF] ^ (register >> 8)
    return register


@functools.cache
def _table8() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@functools.cache
def _table16() -> Words:
    table, words = _table8(), np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        words = table[words & 0xFF] ^ (words >> 8)
    result: Any = words
    return result  # type: ignore[no-any-return]

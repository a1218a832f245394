"""LevelDB's sorted tables, read only: a sorted list of (key, value) in checked, prefix-compressed blocks.

Knows nothing of TensorFlow, whose checkpoint indexes are such tables. Blocks may be plain or Snappy.
Source: LevelDB, doc/table_format.md; Snappy, format_description.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpt2lab.checkpoint.crc32c import crc32c, masked
from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.errors import CheckpointError

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48  # two block handles of at most 20 bytes each, padding, the magic number
_TRAILER = 5  # after every block: its compression (1 byte) and its masked CRC-32C (4 bytes)


def read_sstable(path: Path) -> list[tuple[bytes, bytes]]:
    """Return every (key, value) of the table in order; a damaged or foreign file is a `CheckpointError`."""
    data = path.read_bytes()
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        what = oddity(path) if data else "empty"
        raise CheckpointError(f"{path} is {what or 'cut short or not a TensorFlow checkpoint index'}.")
    try:
        footer = data[-_FOOTER:]
        _, position = _handle(footer, 0)  # the metaindex block: holds nothing that is needed here
        index, _ = _handle(footer, position)
        entries: list[tuple[bytes, bytes]] = []
        for _, value in _entries(_block(data, index)):
            entries.extend(_entries(_block(data, _handle(value, 0)[0])))
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from None
    return entries


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the base-128 number at `position` and the position behind it; IndexError past the end."""
    value = shift = 0
    while True:
        octet = data[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return ((offset, size) of a block, position behind)."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    """Return a block's contents after checking its CRC and unpacking it."""
    offset, size = handle
    end = offset + size
    if end + _TRAILER > len(data):
        raise ValueError("a block lies behind the end of the file")
    if masked(crc32c(data[offset : end + 1])) != int.from_bytes(data[end + 1 : end + _TRAILER], "little"):
        raise ValueError(f"the checksum of the block at byte {offset} does not match")
    compression = data[end]
    if compression == 0:
        return data[offset:end]
    if compression == 1:
        return unsnappy(data[offset:end])
    raise ValueError(f"a block has the unknown compression {compression}")


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value); each key is stored as what differs from the one before it."""
    if len(block) < 4:
        raise ValueError("a block is too short")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block's restart array is longer than the block")
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        unshared, position = varint(block, position)
        size, position = varint(block, position)
        if shared > len(key) or position + unshared + size > end:
            raise ValueError("an entry reaches beyond its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + size]
        position += size


def unsnappy(data: bytes) -> bytes:
    """Unpack one raw Snappy block: literals, and copies of what was unpacked before; ValueError when damaged."""
    length, position = varint(data, 0)
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        kind, upper = tag & 3, tag >> 2
        if kind == 0:  # a literal; lengths over 60 stand in the next 1 to 4 bytes
            extra = max(upper - 59, 0)
            size = 1 + (int.from_bytes(data[position : position + extra], "little") if extra else upper)
            position += extra
            if position + size > len(data):
                raise ValueError("a Snappy literal reaches beyond its block")
            out += data[position : position + size]
            position += size
            continue
        if kind == 1:
            size, offset = 4 + (upper & 7), (upper >> 3) << 8 | data[position]
            position += 1
        else:
            width = 2 * (kind - 1)  # 2 or 4 bytes of offset
            size, offset = 1 + upper, int.from_bytes(data[position : position + width], "little")
            position += width
        if not 0 < offset <= len(out) or len(out) + size > length:
            raise ValueError("a Snappy copy points outside its block")
        start = len(out) - offset
        for i in range(size):  # byte by byte: a copy may overlap what it writes
            out.append(out[start + i])
    if len(out) != length:
        raise ValueError("a Snappy block has the wrong length")
    return bytes(out)

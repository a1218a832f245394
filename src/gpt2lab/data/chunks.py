"""The records of all sources in portions of a few megabytes, and a place to go on from.

Knows files and records, not tokens. Where a portion ends depends on the input alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gpt2lab.data.fields import Fields
from gpt2lab.data.readers import Record, read_records
from gpt2lab.data.sources import Source
from gpt2lab.errors import DataError

CHUNK_BYTES = 4_000_000
"""Content after which a portion ends: enough to be worth its overhead, little enough to hold several times."""

_RECORD_BYTES = 64  # what an empty record counts, so that tiny ones do not pile up


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between records: before record `record` of source `source`."""

    source: int = 0
    record: int = 0


@dataclass(slots=True)
class Chunk:
    """Records from `start` to `end` with the number of the source each is from; `bad` counts what was unreadable.

    `done` says how many bytes of text lie before its end, about: see `Source.expected_bytes`.
    """

    start: Position
    end: Position
    records: list[tuple[int, Record]] = field(default_factory=list)
    bad: int = 0
    done: int = 0


def read_chunks(
    sources: Sequence[Source],
    fields: Fields,
    *,
    start: Position = Position(),
    stop: int | None = None,
    skip_bad: bool = False,
) -> Iterator[Chunk]:
    """Yield the records from `start` to the end of source `stop` - 1 (None: of the last).

    With `skip_bad` what a damaged file held beyond the damage is passed over and counted.
    """
    chunk, size = Chunk(start, start), 0
    before = sum(source.expected_bytes for source in sources[: start.source])
    for number in range(start.source, len(sources) if stop is None else stop):
        source, read = sources[number], 0
        damage: list[DataError] = []
        records = _whole(read_records(source, fields), damage if skip_bad else None)
        for taken, record in enumerate(records, start=1):
            read += (cost := _size(record))
            if number == start.source and taken <= start.record:
                continue
            chunk.records.append((number, record))
            size += cost
            if size >= CHUNK_BYTES:
                chunk.end = Position(number, taken)
                chunk.done = before + min(source.expected_bytes, read)
                yield chunk
                chunk, size = Chunk(chunk.end, chunk.end), 0
        before += source.expected_bytes
        chunk.bad += len(damage)
        chunk.end, chunk.done = Position(number + 1, 0), before
    if chunk.records or chunk.bad or chunk.start != chunk.end:
        yield chunk


def _whole(records: Iterator[Record], damage: list[DataError] | None) -> Iterator[Record]:
    """Yield the records up to where the file is damaged, which is put into `damage` or, without one, raised."""
    try:
        yield from records
    except DataError as error:
        if damage is None:
            raise
        damage.append(error)


def _size(record: Record) -> int:
    if isinstance(record.content, bytes):
        return len(record.content) + _RECORD_BYTES
    return sum(len(v) for v in record.content.values() if hasattr(v, "__len__")) + _RECORD_BYTES

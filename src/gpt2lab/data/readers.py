"""From a file to its records: the smallest pieces that can be passed on and parsed one by one.

Reading is one process's work and must be quick, so what can be left to `parsing` is: a line of JSON stays bytes, a web
page stays HTML. Records are numbered from 0 in the order of the file; the same file gives the same records.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gpt2lab.data.fields import Fields
from gpt2lab.data.sources import Source, errors_of, open_source
from gpt2lab.errors import DataError, MissingExtraError
from gpt2lab.files import parse_json

SECTION = 16_000_000
"""Bytes after which a text file is cut, at the end of a line where there is one: a longer file is several documents."""

_BLOCK = 1 << 20
_NOT_TEXT = {b"%PDF": "a PDF", b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file", b"\x89PNG": "a picture"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a source: its bytes, or its fields where reading had to take them apart. `place` is for messages.

    `url` and `fetched` say where a page of an archive came from and when ("20190424064330"), "" where nobody knows.
    """

    place: str
    content: bytes | Mapping[str, Any]
    url: str = ""
    fetched: str = ""


def read_records(source: Source, fields: Fields) -> Iterator[Record]:
    """Yield the records of a file. Raises `DataError` where it is damaged or not what its name says."""
    if source.kind == "parquet":
        yield from _parquet(source.path, fields)
    elif source.kind == "npz":
        yield from _npz(source.path)
    else:
        with open_source(source.path) as f:
            if source.kind != "warc":
                _refuse_binary(source.path, f.peek(8)[:8])
            yield from _READERS[source.kind](source, f, fields)


def _text(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    separator = fields.separator.encode() if fields.separator else b""
    rest, start = b"", 0
    for block in iter(lambda: f.read(_BLOCK), b""):
        if b"\x00" in block:
            raise DataError(f"{source.path} is not text: it holds bytes of zeros, as binary files do.")
        rest += block
        if separator and separator in rest:
            *whole, rest = rest.split(separator)
            for piece in whole:
                yield Record(f"from byte {start} on", piece)
                start += len(piece) + len(separator)
        while len(rest) > SECTION:
            cut = _cut(rest)
            yield Record(f"from byte {start} on", rest[:cut])
            rest, start = rest[cut:], start + cut
    if rest:
        yield Record(f"from byte {start} on", rest)


def _cut(data: bytes) -> int:
    """Return where to cut at about SECTION: behind a line, else before a character."""
    if line := data.rfind(b"\n", SECTION // 2, SECTION) + 1:
        return line
    place = SECTION
    while place > 0 and data[place] & 0xC0 == 0x80:
        place -= 1
    return place or SECTION


def _refuse_binary(path: Path, head: bytes) -> None:
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{path} is not text: it is {what}.")
    if head.startswith(_UTF16):
        raise DataError(f"{path} is UTF-16 text; UTF-8 is needed: iconv -f UTF-16 -t UTF-8.")


def _lines(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    for number, line in enumerate(f, start=1):
        if line.strip():
            yield Record(f"line {number}", line)


def _table(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    csv.field_size_limit(1 << 30)
    text = io.TextIOWrapper(f, encoding="utf-8-sig", newline="")
    rows = csv.reader(_without_zeros(source.path, text), delimiter="\t" if source.kind == "tsv" else ",")
    try:
        names = next(rows, None)
        if names is None:
            return
        fields.check_columns(names, str(source.path))
        for row in rows:
            if any(row):
                yield Record(f"line {rows.line_num}", dict(zip(names, row, strict=False)))
    except UnicodeDecodeError as error:
        raise DataError(f"{source.path} is not UTF-8 text: {error.reason} behind line {rows.line_num}.") from None
    except csv.Error as error:
        raise DataError(f"{source.path}, line {rows.line_num} is not CSV: {error}.") from None
    finally:
        with contextlib.suppress(ValueError):
            text.detach()


def _without_zeros(path: Path, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if "\x00" in line:
            raise DataError(f"{path} is not text: it holds bytes of zeros, as binary files do.")
        yield line


def _json_list(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    try:
        values = parse_json(f.read())
    except ValueError as error:
        raise DataError(f"{source.path} is not JSON: {error}.") from None
    if isinstance(values, dict):
        values = [values]
    if not isinstance(values, list):
        raise DataError(f"{source.path} holds neither a list of objects nor an object.")
    for number, value in enumerate(values, start=1):
        record = value if isinstance(value, dict) else {"text": value}
        yield Record(f"object {number}", record)


def _html(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    if content := f.read():
        yield Record("the page", content)


def _warc(source: Source, f: IO[bytes], fields: Fields) -> Iterator[Record]:
    try:
        from fastwarc.warc import ArchiveIterator, WarcRecordType
    except ImportError:
        raise MissingExtraError("Reading .warc files", "corpus") from None
    head = f.read(5)
    if head and head != b"WARC/":
        raise DataError(f"{source.path} is not a WARC file: it does not begin with WARC/.")
    stream = _Rejoined(head, f)
    for number, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response), start=1):
        kind = (record.http_content_type or "").lower()
        if record.http_headers is not None and record.http_headers.status_code == 200 and "html" in kind:
            url, fetched = (record.headers.get(name) or "" for name in ("WARC-Target-URI", "WARC-Date"))
            yield Record(f"response {number}", record.reader.read(), url, "".join(filter(str.isdigit, fetched))[:14])


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest, self._place = head, rest, 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _parquet(path: Path, fields: Fields) -> Iterator[Record]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading .parquet files", "corpus") from None
    number = 0
    try:
        with errors_of(path), parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            fields.check_columns(names, str(path))
            wanted = [n for n in names if n in fields.names]
            for batch in file.iter_batches(batch_size=1024, columns=wanted, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(f"row {number}", row)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from None


def _npz(path: Path) -> Iterator[Record]:
    from gpt2lab.data.npz import read_npz

    for number, ids in enumerate(read_npz(path), start=1):
        yield Record(f"array {number}", {"ids": ids})


_READERS = {
    "text": _text,
    "jsonl": _lines,
    "json": _json_list,
    "csv": _table,
    "tsv": _table,
    "html": _html,
    "warc": _warc,
}

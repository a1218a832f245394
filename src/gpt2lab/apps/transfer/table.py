"""Tables of examples: .tsv, .csv and .jsonl files as rows that know their file and line. Knows no tasks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gpt2lab.apps.transfer.settings import Format
from gpt2lab.data.fields import Fields
from gpt2lab.errors import DataError, nearest
from gpt2lab.files import parse_json

_SUFFIXES: dict[str, Format] = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl"}


class Row(NamedTuple):
    """A row: where it stands ("train.tsv, line 3"), and its values by column."""

    place: str
    values: Mapping[str, Any]

    def get(self, column: str) -> Any:
        """Return the value of a column, or the text that a template ("{a} {b}") makes of several.

        Raises `DataError` when there is no such column.
        """
        if "{" in column:
            try:
                return Fields(template=column).text_of(self.values)
            except DataError as error:
                raise DataError(f"{self.place}: {error}") from None
        if column not in self.values:
            known = list(self.values)
            raise DataError(
                f"{self.place}: there is no column {column!r}.{nearest(column, known)} There are "
                f"{', '.join(map(repr, known)) or 'none'}; say which is what with task.columns (--column)."
            )
        return self.values[column]

    def has(self, column: str) -> bool:
        """Whether there is such a column."""
        return "{" in column or column in self.values


def read_table(path: str | Path, *, kind: Format | None = None, header: bool = True) -> list[Row]:
    """Return the rows of a file; see `rows_of`. Raises `DataError` for one that is missing, foreign or empty."""
    place = Path(path)
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{place} does not exist.") from None
    except IsADirectoryError:
        raise DataError(f"{place} is a folder; a file is needed.") from None
    kind = kind or _SUFFIXES.get(place.suffix.lower())
    if kind is None:
        raise DataError(
            f"{place} says by its name of no format; call it .tsv, .csv or .jsonl, or name the format (--format, in a "
            "recipe task.format)."
        )
    return rows_of(data, str(place), kind=kind, header=header)


def rows_of(data: bytes, name: str, *, kind: Format, header: bool = True) -> list[Row]:
    """Return the rows of a file's content; `name` is the file's in places.

    Quotes mean something in csv alone: of tsv every character between two tabs counts, as in GLUE's files. Without a
    `header` the columns are called "1", "2" ….
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line} is not UTF-8 text: {error.reason}.") from None
    if not text.strip():
        raise DataError(f"{name} is empty; rows of examples are needed.")
    rows = list(_objects(text, name) if kind == "jsonl" else _lines(text, name, kind, header))
    if not rows:
        raise DataError(f"{name} has a first line with the names of its columns, but no rows.")
    return rows


def _objects(text: str, name: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            raise DataError(f"{place} is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise DataError(f"{place} is not a JSON object with named values.")
        yield Row(place, value)


def _lines(text: str, name: str, kind: Format, header: bool) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)
    lines = io.StringIO(text, newline="")
    plain = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
    reader = csv.reader(lines, **plain) if kind == "tsv" else csv.reader(lines, strict=True)  # type: ignore[arg-type]
    names: list[str] | None = None
    before = 0
    try:
        for cells in reader:
            place, before = f"{name}, line {before + 1}", reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if header and names is None:
                names = [cell.strip() for cell in cells]
                continue
            if names is None:
                yield Row(place, {str(i): cell for i, cell in enumerate(cells, start=1)})
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{place} has {len(cells)} columns, but the first line names {len(names)}: "
                    f"{', '.join(map(repr, names))}."
                )
            yield Row(place, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num} is not {kind.upper()}: {error}.") from None

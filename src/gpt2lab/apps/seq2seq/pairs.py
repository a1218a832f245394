"""Pairs of texts from files: two columns, two keys, or two files whose lines belong together.

Knows lines and columns, not tokens. Files may be compressed as `gpt2lab.data.sources` reads them. Every mistake names
the file and the line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpt2lab.data.sources import kind_of, open_source
from gpt2lab.errors import DataError
from gpt2lab.files import parse_json
from gpt2lab.tokenizer.text import without_surrogates

SOURCE, TARGET = "source", "target"
"""The columns or keys of a pair, unless others are named."""


class Pair(NamedTuple):
    """A text and what is to be made of it."""

    source: str
    target: str


def read_pairs(files: Sequence[str | Path], *, source: str = SOURCE, target: str = TARGET) -> list[Pair]:
    """Return the pairs of one file (.jsonl, .tsv) or of two files whose lines belong together.

    source, target: the keys in JSON lines; in .tsv the names in its first line, which may be missing where there are
    exactly two columns. Raises `DataError` naming file and line.
    """
    paths = [Path(file).expanduser() for file in files]
    if len(paths) == 2:
        pairs = list(_aligned(paths[0], paths[1]))
    elif len(paths) == 1 and kind_of(paths[0]) == "jsonl":
        pairs = [Pair(*found) for found in _of_objects(paths[0], (source, target))]
    elif len(paths) == 1 and kind_of(paths[0]) == "tsv":
        pairs = list(_of_columns(paths[0], source, target))
    else:
        given = ", ".join(map(str, paths)) or "nothing"
        raise DataError(
            f"Pairs come from one .tsv or .jsonl file, or from two files whose lines belong together, not from {given}."
        )
    if not pairs:
        raise DataError(f"{' and '.join(map(str, paths))} hold no pairs.")
    return pairs


def read_side(path: str | Path, *, name: str = SOURCE) -> list[str]:
    """Return one side of pairs, or texts alone: a key of JSON lines, a column of a .tsv, else all its lines.

    The column is the one of that name, where the first line has it, else the second for `TARGET` and the first for
    any other. Raises `DataError` naming file and line.
    """
    place = Path(path).expanduser()
    kind = kind_of(place)
    if kind == "jsonl":
        return [found for (found,) in _of_objects(place, (name,))]
    lines = [text for _, text in numbered_lines(place)]
    if kind != "tsv":
        return lines
    cells = [line.split("\t") for line in lines]
    named = bool(cells) and name in cells[0]
    column = cells[0].index(name) if named else int(name == TARGET)
    for number, row in enumerate(cells, start=1):
        if len(row) <= column:
            raise DataError(f"{path}, line {number} has no column {name!r}; it has {len(row)} columns.")
    return [row[column] for row in cells[named:]]


def divided(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Return pairs to learn and the share that is held out: by a hash of the source, whatever the order.

    Equal sources stay on one side. Raises `DataError` when nothing is left to learn.
    """
    ranked = sorted((hashlib.blake2b(pair.source.encode()).digest(), pair.source) for pair in pairs)
    chosen = {source for _, source in ranked[: max(round(len(pairs) * share), 1)]}
    training = [pair for pair in pairs if pair.source not in chosen]
    if not training:
        raise DataError(f"Of {len(pairs)} pairs none is left to learn; give more of them, or a file to validate on.")
    return training, [pair for pair in pairs if pair.source in chosen]


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers from 1, without their ends. Raises `DataError`."""
    with open_source(path) as lines:
        yield from decoded(lines, str(path))


def decoded(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield lines as text with their numbers from 1. Raises `DataError` for what is not UTF-8."""
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name}, line {number} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
        yield number, text.rstrip("\r\n")


def _aligned(one: Path, other: Path) -> Iterator[Pair]:
    sources, targets = ([text for _, text in numbered_lines(path)] for path in (one, other))
    if len(sources) != len(targets):
        raise DataError(
            f"{one} has {len(sources)} lines and {other} {len(targets)}; each line needs its own in the other file."
        )
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), start=1):
        _refuse_empty(source, f"{one}, line {number}", "source")
        _refuse_empty(target, f"{other}, line {number}", "target")
        yield Pair(source, target)


def _of_columns(path: Path, source: str, target: str) -> Iterator[Pair]:
    places: tuple[int, int] | None = None
    for number, line in numbered_lines(path):
        cells = line.split("\t")
        if number == 1 and {source, target} <= set(cells):
            places = cells.index(source), cells.index(target)
            continue
        if not line.strip():
            continue
        if places is None:
            if (source, target) != (SOURCE, TARGET):
                raise DataError(f"{path}, line 1 names no columns {source!r} and {target!r}; it has: {_listed(cells)}.")
            if len(cells) != 2:
                raise DataError(
                    f"{path}, line {number} has {len(cells)} columns; two are needed, source and target, or a first "
                    f"line that names {source!r} and {target!r} among more."
                )
        first, second = places or (0, 1)
        if max(first, second) >= len(cells):
            raise DataError(f"{path}, line {number} has {len(cells)} columns, too few for {source!r} and {target!r}.")
        _refuse_empty(cells[first], f"{path}, line {number}", source)
        _refuse_empty(cells[second], f"{path}, line {number}", target)
        yield Pair(cells[first], cells[second])


def _of_objects(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value: Any = parse_json(line)
        except ValueError as error:
            raise DataError(f"{where} is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise DataError(f"{where} is no JSON object with {' and '.join(map(repr, keys))}.")
        found = []
        for key in keys:
            text = value.get(key)
            if not isinstance(text, str):
                raise DataError(f"{where} has no text under {key!r}; it has: {_listed(list(value))}.")
            _refuse_empty(text, where, key)
            found.append(without_surrogates(text))
        yield tuple(found)


def _refuse_empty(text: str, where: str, what: str) -> None:
    if not text.strip():
        raise DataError(f"{where}: the {what} is empty; leave the pair out.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:30]) for name in names[:8]) or "nothing"

"""Documents from files: plain text and JSON lines, each plain or xz-compressed, one after another.

Knows nothing of tokens. A document is a text with the author it may be held out by.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.errors import DataError

FORMATS = (".txt", ".txt.xz", ".jsonl", ".jsonl.xz")
"""The endings of the files that can be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text and who wrote it ("" when the source does not say)."""

    text: str
    author: str = ""


def read_documents(paths: Sequence[str | Path]) -> Iterator[Document]:
    """Yield the documents of every file in turn: a text file is one, each line of a JSON-lines file is one.

    A JSON line needs a string under "text" and may have one under "author". Empty texts are passed over. Raises
    `DataError` for a file that is missing, of another kind or malformed, naming the line.
    """
    for path in map(Path, paths):
        if not path.name.endswith(FORMATS):
            raise DataError(f"{path} is not one of the kinds that can be read: {', '.join(FORMATS)}.")
        try:
            yield from _json_lines(path) if path.name.endswith((".jsonl", ".jsonl.xz")) else _plain(path)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist.") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
        except (lzma.LZMAError, EOFError) as error:
            raise DataError(f"{path} is not a whole xz file: {error}") from None


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="utf-8", newline="") as f:
            yield from f
    else:
        with path.open(encoding="utf-8", newline="") as f:
            yield from f


def _plain(path: Path) -> Iterator[Document]:
    text = "".join(_lines(path))
    if text.strip():
        yield Document(text)


def _json_lines(path: Path) -> Iterator[Document]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}.") from None
        text = record.get("text") if isinstance(record, dict) else None
        author = record.get("author") or "" if isinstance(record, dict) else ""
        if not isinstance(text, str) or not isinstance(author, str):
            raise DataError(f"{path}, line {number} has no text: an object with a string under 'text' is needed.")
        if text.strip():
            yield Document(text, author)

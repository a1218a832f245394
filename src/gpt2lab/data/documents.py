"""From records to documents: a text and who wrote it.

Knows records, not tokens. A text file is a document (or as many as its separators make), so is a record of JSON lines,
of a table or of a list, and the main text of a web page, which `trafilatura` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.data.fields import Fields
from gpt2lab.data.readers import Record, read_records
from gpt2lab.data.sources import Kind, find_sources
from gpt2lab.errors import DataError, MissingExtraError
from gpt2lab.files import parse_json
from gpt2lab.tokenizer.text import without_surrogates

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Document:
    """One text and who wrote it ("" when the source does not say)."""

    text: str
    author: str = ""


def read_documents(
    paths: Sequence[str | Path],
    *,
    column: str | None = None,
    template: str | None = None,
    separator: str | None = None,
    kind: Kind | None = None,
) -> Iterator[Document]:
    """Yield the documents of every file, folder and pattern in turn, without empty ones.

    `column` (by default "text") or `template` ("{title}\\n{body}") makes a text of a record; "author" is read where it
    is a string. `separator` cuts text files into documents. Raises `DataError` for a file that is missing, of another
    kind or malformed, naming the place.
    """
    fields = Fields(column, template, separator)
    sources, _ = find_sources(paths, kind=kind)
    for source in sources:
        for record in read_records(source, fields):
            if document := parse(source.kind, record, fields, str(source.path)):
                yield document


def parse(kind: Kind, record: Record, fields: Fields, where: str, decode: Decode | None = None) -> Document | None:
    """Return the document of a record, or None where it holds no text.

    `decode` makes text of token ids, for records that hold those. Raises `DataError` with `where` and the place.
    """
    content = record.content
    try:
        if kind == "html" or kind == "warc":
            document = Document(_main_text(content))
        elif kind == "text":
            document = Document(_decoded(content, record.place, where))
        elif kind == "npz":
            document = Document(_text_of_ids(content, decode))
        else:
            document = _of_fields(_object(content, fields), fields)
    except _BadRecordError as error:
        raise DataError(f"{where}, {record.place}: {error}") from None
    return Document(without_surrogates(document.text), document.author) if document.text.strip() else None


class _BadRecordError(Exception):
    """What is wrong with a record, as the end of a sentence."""


def _decoded(content: Any, place: str, where: str) -> str:
    try:
        text: str = content.decode("utf-8")
    except UnicodeDecodeError as error:
        start = int(place.split()[2]) + error.start
        raise DataError(f"{where} is not UTF-8 text: {error.reason} at byte {start}.") from None
    return text[1:] if text.startswith("\ufeff") and place == "from byte 0 on" else text


def _object(content: Any, fields: Fields) -> Mapping[str, Any]:
    if isinstance(content, bytes):
        try:
            content = parse_json(content)
        except UnicodeDecodeError as error:
            raise _BadRecordError(f"it is not UTF-8 text: {error.reason} at its byte {error.start}.") from None
        except ValueError as error:
            raise _BadRecordError(f"it is not JSON: {error}.") from None
        if isinstance(content, str) and fields.column is None and fields.template is None:
            return {"text": content}
    if not isinstance(content, Mapping):
        raise _BadRecordError(f"an object is needed, not {type(content).__name__}.")
    return content


def _of_fields(record: Mapping[str, Any], fields: Fields) -> Document:
    try:
        text = fields.text_of(record)
    except DataError as error:
        raise _BadRecordError(str(error) if str(error).endswith(".") else f"{error}.") from None
    author = record.get("author") or ""
    return Document(text, author if isinstance(author, str) else "")


def _text_of_ids(content: Any, decode: Decode | None) -> str:
    if decode is None:
        raise _BadRecordError("it holds token ids; name the tokenizer that made them.")
    try:
        return decode(content["ids"].tolist())
    except ValueError as error:
        raise _BadRecordError(f"the tokenizer that was named did not make these ids: {error}") from None


def _main_text(content: Any) -> str:
    try:
        import trafilatura
    except ImportError:
        raise MissingExtraError("Reading web pages", "corpus") from None
    import logging

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is nothing to tell of
    return trafilatura.extract(content, include_comments=False) or ""

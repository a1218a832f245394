"""An article as a record: read from JSON of many makes, written with the keys of RealNews.

Knows JSON objects, not tokens. Keys: domain, publish_date, authors (a list), title, text, summary, url, split; others
are kept as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gpt2lab.apps.articles.dates import date_text, record_date
from gpt2lab.apps.articles.fields import FIELDS, Field
from gpt2lab.errors import DataError
from gpt2lab.files import parse_json
from gpt2lab.tokenizer.text import without_surrogates

LEAST_AUTHORS, LEAST_SUMMARY = 6, 51
"""Characters; shorter ones in scraped records are noise, and Grover's data leaves them out."""

_KEYS: dict[Field, tuple[str, ...]] = {
    "domain": ("domain",),
    "date": ("publish_date", "date"),
    "authors": ("authors", "author"),
    "title": ("title", "headline"),
    "article": ("text", "article", "body"),
    "summary": ("summary",),
}
"""Under which keys a field is looked for; the first is the one it is written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """The fields of an article as texts, "" for one that is missing, in canonical order; `authors` joined by ", ".

    `url` and `split` ("train", "val" …) say where it came from and goes to; `record` is the JSON object it was read
    from.
    """

    domain: str = ""
    date: str = ""
    authors: str = ""
    title: str = ""
    article: str = ""
    summary: str = ""
    url: str = ""
    split: str = ""
    record: Mapping[str, Any] = dataclasses.field(default_factory=lambda: MappingProxyType({}))

    def texts(self) -> dict[Field, str]:
        """Return the fields that are there, in canonical order."""
        return {field: text for field in FIELDS if (text := getattr(self, field))}

    def with_text(self, field: Field, text: str) -> Article:
        """Return a copy with one field set."""
        change: dict[str, Any] = {field: text}
        return dataclasses.replace(self, **change)

    def to_record(self) -> dict[str, Any]:
        """Return it as a JSON object: the one it was read from, with what has changed since in RealNews's keys."""
        record = dict(self.record)
        before = article_of(self.record)
        for field in FIELDS:
            text = getattr(self, field)
            if text != getattr(before, field):
                for key in _KEYS[field]:
                    record.pop(key, None)
                record[_KEYS[field][0]] = _value(field, text)
        for key in ("url", "split"):
            if getattr(self, key) != getattr(before, key):
                record[key] = getattr(self, key)
        return record


def article_of(record: Mapping[str, Any]) -> Article:
    """Return the article that a JSON object holds; fields may be missing, null or empty.

    Authors and summaries too short to be any (`LEAST_AUTHORS`, `LEAST_SUMMARY`) are left out of the article and stay in
    its record. Raises `DataError`, as the end of a sentence, for a value of the wrong kind.
    """
    found: dict[str, str] = {}
    for field, keys in _KEYS.items():
        value = next((record[key] for key in keys if record.get(key) not in (None, "", [])), None)
        found[field] = without_surrogates(_text(field, value))
    if len(found["authors"]) < LEAST_AUTHORS:
        found["authors"] = ""
    if len(found["summary"]) < LEAST_SUMMARY:
        found["summary"] = ""
    for key in ("url", "split"):
        found[key] = _text(key, record.get(key))
    return Article(**found, record=MappingProxyType(dict(record)))


def read_articles(lines: Iterable[str | bytes], where: str) -> Iterator[Article]:
    """Yield the article of each line of JSON; empty lines are none. Raises `DataError` naming file and line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield article_of(parsed(line))
        except DataError as error:
            raise DataError(f"{where}, line {number}: {error}.") from None


def parsed(line: str | bytes) -> Mapping[str, Any]:
    """Return the JSON object of a line. Raises `DataError`, as the end of a sentence."""
    try:
        value = parse_json(line)
    except UnicodeDecodeError as error:
        raise DataError(f"it is not UTF-8 text: {error.reason} at its byte {error.start}") from None
    except ValueError as error:
        raise DataError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"an object with the fields of an article is needed, not {type(value).__name__}")
    return value


def _text(name: str, value: Any) -> str:
    if name == "date":
        return date_text(value)
    if value is None:
        return ""
    if name == "authors" and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    if not isinstance(value, str):
        wanted = "a list of names" if name == "authors" else "text"
        raise DataError(f"its {name} is not {wanted} but {type(value).__name__}")
    return value


def _value(field: Field, text: str) -> Any:
    if field == "date":
        return record_date(text) or None
    if field == "authors":
        return text.split(", ") if text else []
    return text

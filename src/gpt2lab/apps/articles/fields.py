"""The fields of a news article, their order, and the names of the tokens that stand around each.

Knows names only. Source: Zellers et al. (2019), "Defending Against Neural Fake News", section 3, and the token table of
the released Grover models.
"""

from __future__ import annotations

from typing import Literal

from gpt2lab.errors import RequestError, nearest

Field = Literal["domain", "date", "authors", "title", "article", "summary"]

FIELDS: tuple[Field, ...] = ("domain", "date", "authors", "title", "article", "summary")
"""The canonical order; "article" is the body."""

PADDING = "<|padding|>"
"""Stands where a body was cut so that the fields behind it fit, and fills rows."""

_ALIASES: dict[str, Field] = {
    "text": "article",
    "body": "article",
    "headline": "title",
    "author": "authors",
    "publish_date": "date",
}


def begin_token(field: Field) -> str:
    """Return the name of the token before a field."""
    return f"<|begin{field}|>"


def end_token(field: Field) -> str:
    """Return the name of the token behind a field."""
    return f"<|endof{field}|>"


FIELD_TOKENS: tuple[str, ...] = tuple(name for f in FIELDS for name in (begin_token(f), end_token(f)))
"""The twelve tokens in the order of Grover's table."""


def field_named(name: str) -> Field:
    """Return the field a user means; an unknown name is a `RequestError` that names the nearest."""
    known = _ALIASES.get(name, name)
    if known not in FIELDS:
        raise RequestError(
            f"{name!r} is not a field of an article.{nearest(name, [*FIELDS, *_ALIASES])} Fields: {', '.join(FIELDS)}."
        )
    return known

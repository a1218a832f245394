"""Vocabularies in which every word between blanks is a token, as the names of musical events are."""

from __future__ import annotations

from collections.abc import Collection

from gpt2lab.errors import TokenizerError, nearest

_SHOWN = 60  # characters of a word that an error names


def check_words(text: str, known: Collection[str]) -> None:
    """Raise a `TokenizerError` that names the first word of `text` that is not one of the `known` ones."""
    for word in text.split():
        if word not in known:
            shown = word if len(word) <= _SHOWN else word[:_SHOWN] + "…"
            meant = nearest(word[:_SHOWN], known) or f" Its words are such as {min(known)!r}; it reads no other text."
            raise TokenizerError(f"{shown!r} is not a word of this vocabulary.{meant}")

"""Vocabularies in which every word between blanks is a token, as the names of musical events are."""

from __future__ import annotations

from collections.abc import Collection

from gpt2lab.errors import TokenizerError, nearest


def check_words(text: str, known: Collection[str]) -> None:
    """Raise a `TokenizerError` that names the first word of `text` that is not one of the `known` ones."""
    for word in text.split():
        if word not in known:
            raise TokenizerError(f"{word!r} is not a word of this vocabulary.{nearest(word, known)}")

"""Text to ids by looking words up: most of a text is words that came before.

Cutting and looking up are native (native/words.h); what a new word's ids are is asked of the caller, once. Knows no
vocabulary. The ids are those of the whole text, because no token of GPT-2's pattern crosses from word to word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

MOST_REMEMBERED = 48 << 20
"""Bytes of words with their ids; beyond it all are forgotten."""


class WordLookup:
    """Encodes texts; `encode_words` returns the ids of words it is given. Safe to share between threads."""

    def __init__(self, encode_words: Callable[[list[str]], Sequence[list[int]]]) -> None:
        self._encode_words = encode_words
        self._lock = threading.Lock()

    def lists(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of every text, which holds no lone surrogates."""
        return self._encode(texts, "encode_list")

    def arrays(self, texts: Sequence[str]) -> list[Any]:
        """Return the ids of every text as arrays of uint32."""
        return self._encode(texts, "encode")

    @cached_property
    def _table(self) -> Any:
        from gpt2lab._native import WordTable

        return WordTable()

    def _encode(self, texts: Sequence[str], method: Literal["encode", "encode_list"]) -> list[Any]:
        encoded = [text.encode() for text in texts]
        with self._lock:
            encode = getattr(self._table, method)
            found = [encode(data) for data in encoded]
            if new := sorted({word for _, words in found for word in words}):
                for word, ids in zip(new, self._encode_words([word.decode() for word in new]), strict=True):
                    self._table.add(word, ids)
                found = [
                    encode(data) if words else (ids, ()) for data, (ids, words) in zip(encoded, found, strict=True)
                ]
            if self._table.bytes > MOST_REMEMBERED:
                self._table.clear()
        return [ids for ids, _ in found]

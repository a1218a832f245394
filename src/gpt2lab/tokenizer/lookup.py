"""Text to ids by looking words up: most of a text is words that came before.

Cutting and looking up are native (native/words.h); what a new word's ids are is asked of the caller, once. Knows no
vocabulary. The ids are those of the whole text, because no token of GPT-2's pattern crosses from word to word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

MOST_REMEMBERED = 48 << 20
"""Bytes of words with their ids; beyond it all are forgotten."""


class WordLookup:
    """Encodes texts; `encode_words` returns the ids of words it is given. Safe to share between threads."""

    def __init__(self, encode_words: Callable[[list[str]], Sequence[list[int]]]) -> None:
        self._encode_words = encode_words
        self._lock = threading.Lock()

    def lists(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of every text, which holds no lone surrogates."""
        return [text.list(words) for text, words in self._encode(texts)]

    def arrays(self, texts: Sequence[str]) -> list[Any]:
        """Return the ids of every text as arrays of uint32."""
        return [text.array(words) for text, words in self._encode(texts)]

    @cached_property
    def _table(self) -> Any:
        from gpt2lab._native import WordTable

        return WordTable()

    def _encode(self, texts: Sequence[str]) -> list[tuple[Any, list[list[int]]]]:
        """Return the texts as far as they are known with the ids of the words they lack."""
        with self._lock:
            encoded = [self._table.encode(text.encode()) for text in texts]
            new = {word: () for text in encoded for word in text.unknown}
            ids = dict(zip(new, self._encode_words([word.decode() for word in new]), strict=True)) if new else {}
            for word in new:
                self._table.add(word, ids[word])
            if self._table.bytes > MOST_REMEMBERED:
                self._table.clear()
        return [(text, [ids[word] for word in text.unknown]) for text in encoded]

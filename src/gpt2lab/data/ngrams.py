"""Texts as words, and runs of n words, for comparing them: each a number of 64 bits.

Radford et al. 2019, section 4: texts are normalised to lower-cased alphanumeric words with a single space between them.
The numbers are the same on every machine. Two different n-grams have the same number with a chance of 2^-64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_FACTOR = np.uint64(0x9FB21C651E98DF25)
_MANY = 50  # different signs; more are quicker replaced in one pass


def word_hashes(text: str) -> Hashes:
    """Return a number for every word of the normalised text, in order."""
    from gpt2lab._native import hash_words

    text = text.lower()
    if not text.isascii():
        signs = [c for c in set(text) if ord(c) > 127 and not c.isalnum()]
        if len(signs) > _MANY:
            text = text.translate(dict.fromkeys(map(ord, signs), " "))
        else:
            for sign in signs:
                text = text.replace(sign, " ")
    hashes: Hashes = hash_words(text.encode())
    return hashes


def ngrams(words: Hashes, n: int) -> Hashes:
    """Return a number for every run of `n` words, in order; none for a text of fewer words."""
    count = len(words) - n + 1
    if count < 1:
        return np.empty(0, np.uint64)
    return combined([words[place : place + count] for place in range(n)])


def combined(columns: Sequence[Hashes]) -> Hashes:
    """Return a number for every row of the columns, each (m,)."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes ^= column
        hashes *= _FACTOR
        hashes ^= hashes >> np.uint64(32)
    return hashes


def text_hash(text: str) -> int:
    """Return a number for the text as it is."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def words_hash(words: Hashes) -> int:
    """Return a number for a whole text given by its words."""
    return int.from_bytes(hashlib.blake2b(words.astype("<u8").tobytes(), digest_size=8).digest(), "little")

"""Where words end: which tokens go on with a word that is begun, so that byte pieces can be shown as whole words.

A word is what people take for one: letters, digits and the apostrophes and marks inside, with the blank before it.
Where a script has no blanks between words (Chinese, Japanese, Thai) every character is one. Everything else, such as
punctuation and line breaks, is whole as one token.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.tokenizer import Tokenizer

Mask = npt.NDArray[np.bool_]

_LONE = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_JOINING = "'’"


@dataclass(frozen=True, slots=True, eq=False)
class WordMasks:
    """Of every token (vocab_size,): whether it goes on with a word behind a letter, with a character that is begun."""

    letters: Mask
    rest_bytes: Mask


def word_masks(tokenizer: Tokenizer, vocab_size: int) -> WordMasks:
    """Look at every token of a vocabulary."""
    letters, rest_bytes = np.zeros(vocab_size, bool), np.zeros(vocab_size, bool)
    for token in range(min(vocab_size, tokenizer.vocab_size)):
        data = tokenizer.token_bytes(token)
        rest_bytes[token] = bool(data) and 0x80 <= data[0] < 0xC0
        letters[token] = _begins_inside(data)
    letters.flags.writeable = rest_bytes.flags.writeable = False
    return WordMasks(letters, rest_bytes)


def word_goes_on(tokenizer: Tokenizer, masks: WordMasks) -> Callable[[Sequence[int]], Mask | None]:
    """Return `goes_on(ids)`: the tokens (vocab_size,) that go on with the word that ids begin, None for a whole one."""

    def goes_on(ids: Sequence[int]) -> Mask | None:
        data = tokenizer.decode_bytes(ids)
        text = data.decode("utf-8", "ignore")
        if len(text.encode()) < len(data):  # ends within a character, or is none
            return masks.rest_bytes
        return masks.letters if text and _joins(text[-1]) else None

    return goes_on


def _joins(character: str) -> bool:
    """Whether a character belongs to a word that may go on behind it."""
    if unicodedata.category(character)[0] not in "LMN":
        return False
    return not unicodedata.name(character, "").startswith(_LONE)


def _begins_inside(data: bytes) -> bool:
    """Whether a token, put behind a letter, goes on with the word."""
    text = data.decode("utf-8", "ignore")
    if not text or text.encode() != data[: len(text.encode())]:
        return bool(data) and 0xC3 <= data[0] < 0xE0  # the first byte of a letter of Europe or the Near East
    if text[0] in _JOINING:
        return len(text) > 1 and _joins(text[1])
    return _joins(text[0])

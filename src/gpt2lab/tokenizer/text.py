"""What can be said of a text before it is split: mended surrogates, places no token crosses, characters under bytes.

Pure functions on strings; knows nothing of vocabularies.
"""

from __future__ import annotations

import itertools
import re

Span = tuple[int, int]

# GPT-2's pattern takes white space only at the start of a piece, so none holds a non-blank and the blank after it.
_BLANKS = (
    r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space; Python's \s has more
)
_UP_TO_LAST_CUT = re.compile(r"(?s:.*)\S(?=[ \n])")


def without_surrogates(text: str) -> str:
    """Return `text` with surrogate pairs joined and lone surrogates replaced by U+FFFD, as tiktoken does."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def last_cut(text: str, start: int = 0) -> int:
    """Return the last place from `start` on that no token of GPT-2's pattern can cross, or 0 where there is none."""
    found = _UP_TO_LAST_CUT.match(text, start)
    return found.end() if found else 0


def char_spans(text: str, byte_spans: list[Span]) -> list[Span]:
    """Return the characters, first to last, that spans of the text's UTF-8 bytes touch."""
    if text.isascii():
        return list(byte_spans)
    owner = [place for place, character in enumerate(text) for _ in character.encode()]
    return [(owner[start], owner[end - 1] + 1) for start, end in byte_spans]


def byte_spans(text: str, char_spans: list[Span]) -> list[Span]:
    """Return the UTF-8 bytes that spans of characters cover."""
    starts = [0, *itertools.accumulate(len(character.encode()) for character in text)]
    return [(starts[a], starts[b]) for a, b in char_spans]

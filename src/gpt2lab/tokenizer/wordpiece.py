"""BERT's WordPiece as some Chinese GPT-2s use it: how text is prepared and how pieces become text again.

WordPiece forgets white space. Text is put together as a reader expects it: a blank between two words, none before
"##" continuations, none beside Chinese characters or punctuation that hugs its neighbour. Source of the preparation:
BERT's BasicTokenizer, as the `tokenizers` library has it.
"""

from __future__ import annotations

import unicodedata
from typing import Any

CONTINUATION = "##"
_NO_BLANK_BEFORE = frozenset(",.;:!?%)]}'\"’”…")
_NO_BLANK_AFTER = frozenset("([{#$'\"‘“")


def normalizer(*, lowercase: bool, strip_accents: bool | None = None, chinese_chars: bool = True) -> dict[str, Any]:
    """Return BERT's normaliser as a part of a `tokenizer.json`; accents go with the capitals unless told otherwise."""
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": chinese_chars,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    }


PRE_TOKENIZER = {"type": "BertPreTokenizer"}


def bare(token: str) -> str:
    """Return `token` without its continuation mark."""
    return token[len(CONTINUATION) :] if is_continuation(token) else token


def is_continuation(token: str) -> bool:
    """Say whether `token` goes on with the word before it."""
    return token.startswith(CONTINUATION) and len(token) > len(CONTINUATION)


def separator(left: str, right: str) -> str:
    """Return what stands between two successive tokens in text: a blank or nothing."""
    if is_continuation(right):
        return ""
    last, first = bare(left)[-1:], right[:1]
    if last in _NO_BLANK_AFTER or first in _NO_BLANK_BEFORE or _is_wide(last) or _is_wide(first):
        return ""
    return " "


def _is_wide(character: str) -> bool:
    """Say whether `character` is one of a script written without blanks (Chinese, Japanese, full-width signs)."""
    return bool(character) and unicodedata.east_asian_width(character) in "WF"

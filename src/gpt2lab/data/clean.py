"""From a transcribed book to plain prose: the typography of its source is dropped, its words are kept.

Knows nothing of tokenizers or files. The books come as light Markdown: underscores around italics, hashes before
headings, spaces at the ends of lines, and now and then a note of the transcriber.
"""

from __future__ import annotations

import re

_REPLACED = (("\r\n", "\n"), ("\r", "\n"))
_ODD_BLANKS = ("\u00a0", "\u2009", "\u202f")
_INVISIBLE = ("\ufeff", "\u200b", "\u00ad")

# A character that a text must hold for the rule to apply, the rule, what it leaves. Patterns begin with a literal
# character where they can: those are looked for ten times faster.
_RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("[", re.compile(r"\[(?:Illustration|Footnote|Transcriber)[^\]]*\]", re.IGNORECASE), ""),
    ("#", re.compile(r"\n[ \t]*#+[ \t]*"), "\n"),  # "## CHAPTER I" -> "CHAPTER I"
    ("", re.compile(r"\n[ \t]*(?:[*_-][ \t]*){3,}(?=\n|\Z)"), "\n"),  # "* * *" between scenes
    ("*", re.compile(r"(\*(?:\*\*?)?)(?=\S)([^*\n]+?)(?<=\S)\1"), r"\2"),  # **NAME**, *so*
    ("_", re.compile(r"_(?<![A-Za-z0-9]_)_*(?=\S)([^_]{1,2000}?)(?<=\S)_+(?![A-Za-z0-9])"), r"\1"),  # _so_
)
_BLANKS = re.compile("  +")
_EMPTY_LINES = re.compile("\n\n\n+")

_FRONT_MATTER = re.compile(
    r"\A(?:(?:translated|illustrated|edited|published|produced|copyright|dedicated|transcribed|with an? introduction)\b"
    r"[^\n]{0,200}\n+)+",
    re.IGNORECASE,
)


def clean_book(text: str) -> str:
    """Return the text of a book without markup, repeated blanks and the lines that name its makers."""
    for old, new in _REPLACED:
        text = text.replace(old, new)
    if not text.isascii():
        for character in _ODD_BLANKS:
            text = text.replace(character, " ")
        for character in _INVISIBLE:
            text = text.replace(character, "")
    text = "\n" + text  # so that every line begins behind one
    for needed, pattern, replacement in _RULES:
        if needed in text:
            text = pattern.sub(replacement, text)
    text = _BLANKS.sub(" ", text.replace("\t", " "))
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    text = _EMPTY_LINES.sub("\n\n", text)
    return _FRONT_MATTER.sub("", text.strip()).strip()

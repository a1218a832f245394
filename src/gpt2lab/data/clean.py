"""From a transcribed book to plain prose: the typography of its source is dropped, its words are kept.

Knows nothing of tokenizers or files. The books come as light Markdown: underscores around italics, hashes before
headings, spaces at the ends of lines, and now and then a note of the transcriber.
"""

from __future__ import annotations

import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\r\n?"), "\n"),
    (re.compile("[\u00a0\u2009\u202f]"), " "),
    (re.compile("[\ufeff\u200b\u00ad]"), ""),
    (re.compile(r"\[(?:Illustration|Footnote|Transcriber)[^\]]*\]", re.IGNORECASE), ""),
    (re.compile(r"^[ \t]*#+[ \t]*", re.MULTILINE), ""),  # "## CHAPTER I" -> "CHAPTER I"
    (re.compile(r"^[ \t]*(?:[*_-][ \t]*){3,}$", re.MULTILINE), ""),  # "* * *" between scenes
    (re.compile(r"(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1"), r"\2"),  # **NAME**, *so*
    (re.compile(r"(?<![A-Za-z0-9])_+(?=\S)([^_]{1,2000}?)(?<=\S)_+(?![A-Za-z0-9])"), r"\1"),  # _so_
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" ?\n ?"), "\n"),
    (re.compile(r"\n{3,}"), "\n\n"),
)

_FRONT_MATTER = re.compile(
    r"\A(?:(?:translated|illustrated|edited|published|produced|copyright|dedicated|transcribed|with an? introduction)\b"
    r"[^\n]{0,200}\n+)+",
    re.IGNORECASE,
)


def clean_book(text: str) -> str:
    """Return the text of a book without markup, repeated blanks and the lines that name its makers."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _FRONT_MATTER.sub("", text.strip()).strip()

"""Attention masks as pictures: one function draws any of them as text or as SVG.

The picture is a grid with what the network reads above, a row for each position, and behind the row what it predicts.
"""

from __future__ import annotations

import unicodedata
from html import escape
from typing import Literal, get_args

from gpt2lab.errors import ConfigError, nearest
from gpt2lab.evals.survey.masks import OBJECTIVES, Pattern

Form = Literal["text", "svg"]

SEEN, UNSEEN = "■", "·"


def draw(pattern: Pattern, form: Form = "text") -> str:
    """Draw a mask as lines of text, or as a standalone SVG. Raises `ConfigError` for another form."""
    if form == "text":
        return _text(pattern)
    if form == "svg":
        return _svg(pattern)
    raise ConfigError(f"form = {form!r} is not one of {', '.join(get_args(Form))}.{nearest(form, get_args(Form))}")


def _width(text: str) -> int:
    """Return the columns that a terminal gives a text; Chinese characters take two, accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int) -> str:
    return " " * (width - _width(text)) + text


def _text(pattern: Pattern) -> str:
    label = max(map(_width, pattern.rows))
    columns = [str(i + 1) for i in range(len(pattern.columns))]
    wide = max(map(len, columns))
    lines = [f"{pattern.objective}: {OBJECTIVES[pattern.objective].about}", ""]
    lines.append(" ".join([" " * label, *(c.rjust(wide) for c in columns)]))
    for row, target, seen in zip(pattern.rows, pattern.targets, pattern.mask, strict=True):
        cells = " ".join((SEEN if s else UNSEEN).rjust(wide) for s in seen)
        lines.append(f"{_padded(row, label)} {cells}{f'  → {target}' if target is not None else ''}")
    numbered = "  ".join(f"{number} {token}" for number, token in zip(columns, pattern.columns, strict=True))
    return "\n".join([*lines, "", f"columns: {numbered}"]) + "\n"


_CELL, _LETTER, _GAP = 26, 7.6, 8


def _svg(pattern: Pattern) -> str:
    left = max(map(_width, pattern.rows)) * _LETTER + 2 * _GAP
    top = max(map(_width, pattern.columns)) * _LETTER + 2 * _GAP
    right = max((_width(t) for t in pattern.targets if t is not None), default=0) * _LETTER + 4 * _GAP
    rows, columns = pattern.mask.shape
    width, height = left + columns * _CELL + right, top + rows * _CELL + _GAP
    title = f"{pattern.objective}: {OBJECTIVES[pattern.objective].about}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="monospace" font-size="12.5">',
        f"<title>{escape(title)}</title>",
        "<style>svg{color:#222;--seen:#2a6f97;--unseen:#e8edf0;--target:#a4400b}@media(prefers-color-scheme:dark)"
        "{svg{color:#ddd;--seen:#61a5c2;--unseen:#2b3136;--target:#f0a36b}}text{fill:currentColor}"
        ".s{fill:var(--seen)}.u{fill:var(--unseen)}.t{fill:var(--target)}</style>",
    ]
    for j, name in enumerate(pattern.columns):
        x, y = left + (j + 0.5) * _CELL + 4, top - _GAP
        parts.append(f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)">{escape(name)}</text>')
    for i, (name, target) in enumerate(zip(pattern.rows, pattern.targets, strict=True)):
        y = top + i * _CELL
        parts.append(f'<text x="{left - _GAP:.1f}" y="{y + 17:.1f}" text-anchor="end">{escape(name)}</text>')
        for j in range(columns):
            kind = "s" if pattern.mask[i, j] else "u"
            parts.append(
                f'<rect class="{kind}" x="{left + j * _CELL + 1:.1f}" y="{y + 1:.1f}" width="{_CELL - 2}" '
                f'height="{_CELL - 2}" rx="3"/>'
            )
        if target is not None:
            x = left + columns * _CELL + _GAP
            parts.append(f'<text class="t" x="{x:.1f}" y="{y + 17:.1f}">→ {escape(target)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"

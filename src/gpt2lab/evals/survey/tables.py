"""The surveyed models as a table: text, Markdown, CSV, JSON or a standalone web page.

A figure that somebody doubts carries a question mark. Markdown and the page number the sources and list them below;
JSON holds everything that is known of an entry, whichever columns are asked for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Literal, get_args

from gpt2lab.errors import ConfigError, nearest
from gpt2lab.evals.survey.drawing import draw
from gpt2lab.evals.survey.entries import COLUMNS, FIGURES, Amount, Cell, Entry, Figure, Survey, cell, check_columns
from gpt2lab.evals.survey.masks import OBJECTIVES, pattern

Form = Literal["text", "markdown", "csv", "json", "html"]

SHORT = ("name", "date", "extractor", "kind", "parameters", "layers", "width", "heads", "window")
"""The columns of a table that has to fit a terminal."""

_PROSE = ("objectives", "masking", "improves", "data", "sizes")

SENTENCE = ("The", "small", "model", "read", "un", "##read", "books", "all", "night")
_TELLING = 31  # the seed by which masked hides "un" alone, whole-word both halves, and span their neighbours too


def render(known: Survey, entries: Sequence[Entry], form: Form = "text", *, columns: Sequence[str] = ()) -> str:
    """Return entries of a survey as a table in one of the forms.

    `columns` are names of `COLUMNS` (default: `SHORT` as text, else all). Raises `ConfigError`.
    """
    if form not in _FORMS:
        raise ConfigError(f"format = {form!r} is not one of {', '.join(get_args(Form))}.{nearest(form, _FORMS)}")
    check_columns(columns)
    chosen = list(columns) or list(SHORT if form == "text" else COLUMNS)
    return _FORMS[form](known, entries, chosen)


def figure(value: Figure | None) -> str:
    """Return a figure for people: 340M, 1.56B, 768; with a question mark where there is a doubt, "-" for none."""
    if value is None:
        return "-"
    n = value.value
    for unit, name in ((10**9, "B"), (10**6, "M")):
        if n >= unit:
            shown = f"{n / unit:.3g}{name}"
            break
    else:
        shown = f"{n:,}" if n >= 10**4 else str(n)
    return shown + ("?" if value.doubt else "")


def _amount(amount: Amount) -> str:
    return f"{amount.name} ({figure(amount.amount)} {amount.unit})"


def _plain(value: Cell) -> str:
    if value is None or isinstance(value, Figure):
        return figure(value)
    if isinstance(value, str):
        return value
    return ", ".join(_amount(v) if isinstance(v, Amount) else v for v in value) or "-"


def _text(known: Survey, entries: Sequence[Entry], columns: Sequence[str]) -> str:
    rows = [[COLUMNS[c] for c in columns], *([_plain(cell(e, c)) for c in columns] for e in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [c in FIGURES for c in columns]
    lines = [
        "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *_legend(entries, columns)]) + "\n"


def _legend(entries: Sequence[Entry], columns: Sequence[str]) -> list[str]:
    shown = [cell(e, c) for e in entries for c in columns]
    figures = [v for v in shown if isinstance(v, Figure)]
    figures += [a.amount for v in shown if isinstance(v, tuple) for a in v if isinstance(a, Amount)]
    lines = [""]
    if any(f.doubt for f in figures):
        lines.append("? is not the paper's own, or from memory; JSON, Markdown and HTML say why and where from.")
    if any(c in FIGURES for c in columns):
        lines.append("Figures are those of the largest size; - is not published.")
    return lines if len(lines) > 1 else []


def _csv(known: Survey, entries: Sequence[Entry], columns: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for entry in entries:
        values = (cell(entry, c) for c in columns)
        writer.writerow(["" if v is None else v.value if isinstance(v, Figure) else _plain(v) for v in values])
    return out.getvalue()


def _json(known: Survey, entries: Sequence[Entry], columns: Sequence[str]) -> str:
    used = {s for e in entries for s in (e.paper, *(f.source for f in e.figures))}
    value = {
        "sources": {key: asdict(source) for key, source in known.sources.items() if key in used},
        "models": [asdict(entry) for entry in entries],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


class _References:
    """Numbers for sources and letters for doubts, in the order in which they are first named."""

    def __init__(self, known: Survey) -> None:
        self._known = known
        self.sources: dict[str, int] = {}
        self.doubts: dict[str, str] = {}

    def number(self, source: str) -> int:
        return self.sources.setdefault(source, len(self.sources) + 1)

    def doubt(self, text: str) -> str:
        n = len(self.doubts)
        letters = chr(ord("a") + n % 26) * (n // 26 + 1)
        return self.doubts.setdefault(text, letters)

    def cited(self, value: Figure) -> str:
        letter = f", {self.doubt(value.doubt)}" if value.doubt else ""
        return f"{figure(value)} [{self.number(value.source)}, {value.where}{letter}]"

    def of(self, value: Cell, column: str) -> str:
        if isinstance(value, Figure):
            return self.cited(value)
        if column == "paper":
            assert isinstance(value, str)
            return f"[{self.number(value)}]"
        if isinstance(value, tuple):
            return (
                "; ".join(f"{v.name}: {self.cited(v.amount)} {v.unit}" if isinstance(v, Amount) else v for v in value)
                or "-"
            )
        return "-" if value is None else value

    def listed(self) -> list[tuple[int, str, str]]:
        return [(n, self._known.sources[key].title, self._known.sources[key].url) for key, n in self.sources.items()]


def _markdown(known: Survey, entries: Sequence[Entry], columns: Sequence[str]) -> str:
    references = _References(known)
    lines = ["| " + " | ".join(COLUMNS[c] for c in columns) + " |"]
    lines.append("|" + "|".join("---:" if c in FIGURES else "---" for c in columns) + "|")
    for entry in entries:
        cells = (references.of(cell(entry, c), c).replace("|", "\\|") for c in columns)
        lines.append("| " + " | ".join(cells) + " |")
    if references.sources:
        lines += ["", "Sources:", ""]
        lines += [f"{number}. {title}. <{url}>" for number, title, url in references.listed()]
    if references.doubts:
        lines += ["", "Doubts:", ""]
        lines += [f"- {letter}: {text}" for text, letter in references.doubts.items()]
    return "\n".join(lines) + "\n"


_STYLE = """
:root{color-scheme:light dark;--line:#ccd3d8;--soft:#f2f5f7;--text:#1d2329;--link:#1b5e8a}
@media(prefers-color-scheme:dark){:root{--line:#3b434a;--soft:#20262b;--text:#dde3e8;--link:#7fbce6;background:#14181c}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--text);margin:2rem auto;max-width:110rem;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13.5px}
th,td{border-bottom:1px solid var(--line);padding:.4rem .6rem;text-align:left;vertical-align:top;min-width:4rem}
th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px solid var(--link)}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
td.w{min-width:11rem}td.n,th.n{text-align:right;white-space:nowrap}td sup{color:var(--link)}a{color:var(--link)}
tbody tr:nth-child(even){background:var(--soft)}input{font:inherit;padding:.35rem .6rem;min-width:18rem}
.masks{display:flex;flex-wrap:wrap;gap:2rem}figure{margin:0;max-width:min(34rem,100%);overflow-x:auto}
li{overflow-wrap:anywhere}figcaption{font-size:13.5px}
"""

_SCRIPT = """
const body = document.querySelector('tbody'), rows = [...body.rows];
document.querySelector('input').addEventListener('input', e => {
  const words = e.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const r of rows) r.hidden = !words.every(w => r.textContent.toLowerCase().includes(w));
});
const heads = [...document.querySelectorAll('th')];
heads.forEach((h, i) => h.firstChild.addEventListener('click', () => {
  const down = h.getAttribute('aria-sort') === 'ascending', key = r => r.cells[i].dataset.v;
  heads.forEach(o => o.removeAttribute('aria-sort'));
  h.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const number = h.className === 'n', sign = down ? -1 : 1;
  rows.sort((a, b) => {
    const x = key(a), y = key(b);
    if (!x || !y) return !x - !y;
    return sign * (number ? x - y : x.localeCompare(y));
  });
  body.append(...rows);
}));
"""


def _html(known: Survey, entries: Sequence[Entry], columns: Sequence[str]) -> str:
    references = _References(known)
    head = "".join(
        f'<th{_class(c)} scope="col"><button type="button">{escape(COLUMNS[c])}</button></th>' for c in columns
    )
    body = "".join(
        "<tr>" + "".join(_html_cell(cell(entry, c), c, references) for c in columns) + "</tr>\n" for entry in entries
    )
    sources = "".join(
        f'<li id="s{number}">{escape(title)}. <a href="{escape(url)}">{escape(url)}</a></li>\n'
        for number, title, url in references.listed()
    )
    doubts = "".join(f"<li>{letter}: {escape(text)}</li>\n" for text, letter in references.doubts.items())
    used = [name for name in OBJECTIVES if any(name in entry.masks for entry in entries)]
    masks = "".join(_html_mask(name, entries) for name in used)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Language models of 2018 and 2019</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Language models of 2018 and 2019</h1>\n"
        '<p><label>Show rows with <input type="search" placeholder="words, e.g. masked Chinese"></label> '
        "A click on a heading sorts. Figures are those of the largest size; ? marks a figure that is not the paper's "
        "own or is from memory.</p>\n"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
        f'<h2>What each objective lets a position see</h2>\n<div class="masks">\n{masks}</div>\n'
        f"<h2>Sources</h2>\n<ol>\n{sources}</ol>\n<h2>Doubts</h2>\n<ul>\n{doubts}</ul>\n"
        f"<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def _class(column: str) -> str:
    return ' class="n"' if column in FIGURES else ' class="w"' if column in _PROSE else ""


def _html_cell(value: Cell, column: str, references: _References) -> str:
    if isinstance(value, Figure):
        return f'<td{_class(column)} data-v="{value.value}">{_html_figure(value, references)}</td>'
    if column == "paper":
        assert isinstance(value, str)
        n = references.number(value)
        return f'<td data-v="{escape(value)}"><a href="#s{n}">[{n}]</a></td>'
    shown = (
        ";<br>".join(
            f"{escape(v.name)}: {_html_figure(v.amount, references)} {escape(v.unit)}"
            if isinstance(v, Amount)
            else escape(v)
            for v in value
        )
        if isinstance(value, tuple)
        else escape(value or "")
    )
    key = "" if value in (None, ()) else _plain(value)
    return f'<td{_class(column)} data-v="{escape(key)}">{shown or "-"}</td>'


def _html_figure(value: Figure, references: _References) -> str:
    n = references.number(value.source)
    letter = f" {references.doubt(value.doubt)}" if value.doubt else ""
    title = value.where + (f"; {value.doubt}" if value.doubt else "")
    return f'{escape(figure(value))}<sup title="{escape(title)}"><a href="#s{n}">{n}</a>{letter}</sup>'


def _html_mask(name: str, entries: Sequence[Entry]) -> str:
    users = ", ".join(entry.name for entry in entries if name in entry.masks)
    picture = draw(pattern(name, SENTENCE, seed=_TELLING), "svg")
    about = escape(OBJECTIVES[name].about)
    return f"<figure>{picture}<figcaption><b>{name}</b>. {about} {escape(users)}.</figcaption></figure>\n"


_FORMS: Mapping[str, Callable[[Survey, Sequence[Entry], Sequence[str]], str]] = {
    "text": _text, "markdown": _markdown, "csv": _csv, "json": _json, "html": _html,
}  # fmt: skip

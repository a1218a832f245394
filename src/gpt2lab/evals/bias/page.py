"""A probe's findings as one web page that needs nothing else: no script, no request, light and dark."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from gpt2lab.evals.bias.results import (
    Asked,
    AxisFound,
    Change,
    Estimate,
    Findings,
    Occupations,
    Odds,
    Preference,
    plain,
)
from gpt2lab.evals.bias.text import clear_words, extent, named, odds_of, shown

LIMITS = (
    "The probe measures what one model expects after a few sentences that were chosen by people. It does not measure "
    "harm, it does not show that a model is free of bias, and its figures depend on the templates.",
    "Any exchange of words changes what follows: compare an axis with the control, not with 0. Axes with different "
    "numbers of groups are not comparable with each other.",
    "Intervals (95 %) say how much the figures depend on the choice among templates like these; with few templates "
    "they are too narrow. Of many words tested at 95 %, one in twenty looks clear by chance.",
    "Groups that are not named here are not measured, and a group is more than the word that names it.",
)
"""What the figures do not say; docs/bias.md says it at length."""

_STYLE = """
:root{color-scheme:light dark;--line:#ccd3d8;--soft:#f2f5f7;--text:#1d2329;--mark:#2a6f97;--old:#9aa5ad;--bar:#cfe1ec}
@media(prefers-color-scheme:dark){:root{--line:#3b434a;--soft:#20262b;--text:#dde3e8;--mark:#7fbce6;--old:#78838b;
--bar:#274254;background:#14181c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);margin:2rem auto;max-width:64rem;padding:0 1rem}
table{border-collapse:collapse;font-size:13.5px;margin:.6rem 0}th,td{border-bottom:1px solid var(--line);
padding:.25rem .7rem;text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.limits{background:var(--soft);padding:.6rem 1.2rem;border-left:4px solid var(--mark)}.wide{overflow-x:auto}
.bar{display:inline-block;height:.8em;background:var(--bar);vertical-align:baseline;margin-right:.4em}
pre{background:var(--soft);padding:.8rem;overflow-x:auto;font-size:13px}summary{cursor:pointer}
svg text{fill:currentColor;font:12.5px system-ui,sans-serif}svg .a{stroke:var(--mark);fill:var(--mark)}
svg .b{stroke:var(--old);fill:var(--old)}svg .l{stroke:var(--line)}
"""


def page(findings: Findings, changed: Sequence[Change] = (), *, before: str = "", words: int = 12) -> str:
    """Return the page; `changed` against the model named `before` is drawn beside the findings."""
    title = f"What {findings.model} expects of groups of people"
    sections = ["".join(f"<p>{escape(text)}</p>\n" for text in LIMITS).join(('<div class="limits">\n', "</div>\n"))]
    if findings.axes:
        sections.append(_overview(findings.axes, changed, before, findings.model))
    sections += [_axis(axis, words) for axis in findings.axes]
    if findings.crows:
        sections.append(_crows(findings.crows))
    if findings.winogender is not None:
        sections.append(_winogender(findings.winogender))
    if findings.cards:
        sections.append("<h2>Samples</h2>\n" + "".join(_sample(c.prompt, c.texts) for c in findings.cards))
    settings = json.dumps(plain(dict(findings.settings)), indent=2, ensure_ascii=False)
    sections.append(f"<h2>Settings</h2>\n<pre>{escape(settings)}</pre>\n")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n{''.join(sections)}</body></html>\n"
    )


# ---- pictures of intervals


def _dots(rows: Sequence[tuple[str, Sequence[Estimate]]], unit: str, *, origin: float = 0.0) -> str:
    """Draw a dot with its interval for each estimate of each row; the first of a row is the present model's."""
    known = [v for _, es in rows for e in es for v in (e.value, e.low, e.high) if math.isfinite(v)]
    low, high = min([origin, *known]), max([origin, *known])
    span = (high - low) or 1.0
    left, wide, step = 190, 430, 34
    parts = [
        '<div class="wide">'
        f'<svg viewBox="0 0 680 {len(rows) * step + 30}" width="680" role="img" aria-label="{escape(unit)}">'
    ]
    at = left + (origin - low) / span * wide
    parts.append(f'<line class="l" x1="{at:.1f}" y1="0" x2="{at:.1f}" y2="{len(rows) * step}"/>')
    for i, (name, estimates) in enumerate(rows):
        y = i * step + step / 2
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for j, e in enumerate(estimates):
            shift = y + (j - (len(estimates) - 1) / 2) * 10
            x = left + (e.value - low) / span * wide
            kind = "ab"[j]
            if math.isfinite(e.low):
                x1, x2 = (left + (v - low) / span * wide for v in (e.low, e.high))
                parts.append(
                    f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{shift:.1f}" y2="{shift:.1f}" '
                    'stroke-width="2"/>'
                )
            parts.append(
                f'<circle class="{kind}" cx="{x:.1f}" cy="{shift:.1f}" r="4"><title>{escape(shown(e))}</title></circle>'
            )
    parts.append(f'<text x="{left}" y="{len(rows) * step + 20}">{low:.3g}</text>')
    parts.append(
        f'<text x="{left + wide}" y="{len(rows) * step + 20}" text-anchor="end">{high:.3g} {escape(unit)}</text>'
    )
    return "\n".join([*parts, "</svg></div>\n"])


# ---- sections


def _overview(axes: Sequence[AxisFound], changed: Sequence[Change], before: str, model: str) -> str:
    old = {change.axis: change for change in changed}
    rows = [
        (
            axis.name + (" (control)" if axis.control else ""),
            [axis.divergence, *([old[axis.name].before] if axis.name in old else [])],
        )
        for axis in axes
    ]
    text = [
        "<h2>How far apart the groups are</h2>\n<p>Jensen-Shannon divergence of the next token: how many bits it "
        "tells, on average, of which group the sentence named.</p>\n",
        _dots(rows, "bits"),
    ]
    if changed:
        text.append(
            f"<p>Blue: {escape(model)}. Grey: {escape(before)}, before. The difference is paired by template.</p>\n"
        )
        cells = "".join(
            f'<tr><td>{escape(c.axis)}</td><td class="n">{shown(c.before)}</td><td class="n">{shown(c.after)}</td>'
            f'<td class="n">{shown(c.difference)}{" *" if c.difference.clear else ""}</td></tr>\n'
            for c in changed
        )
        text.append(
            '<div class="wide"><table><tr><th>axis</th><th class="n">before</th><th class="n">after</th>'
            '<th class="n">difference</th></tr>\n'
            f"{cells}</table></div>\n<p>*: the interval leaves out 0.</p>\n"
        )
    return "".join(text)


def _axis(axis: AxisFound, most: int) -> str:
    rows = [(pair, [value]) for pair, value in axis.variation.items()]
    kept = {odds.word: odds for group in axis.groups for odds in clear_words(axis, group, most)}
    control = " (control: ought to be small)" if axis.control else ""
    return (
        f"<h2>{escape(axis.name)}{control}</h2>\n"
        f"<p>{extent(axis)}. Next token {shown(axis.divergence)} bits, "
        f"next word {shown(axis.word_divergence)} bits.</p>\n"
        f"<p>Total variation, the most by which any event's probability differs:</p>\n{_dots(rows, 'total variation')}"
        + _word_table(axis, list(kept.values()))
        + "<details><summary>Every question</summary>\n"
        + "".join(_question(axis.groups, q) for q in axis.questions)
        + "</details>\n"
    )


def _word_table(axis: AxisFound, kept: Sequence[Odds]) -> str:
    if not kept:
        return f"<p>None of {len(axis.words)} words is clearly likelier after one group than after the others.</p>\n"
    most = max(p for odds in kept for p in odds.probability.values()) or 1.0
    head = "".join(f"<th>{escape(group)}</th>" for group in axis.groups)
    rows = []
    for odds in kept:
        cells = []
        for group in axis.groups:
            p, clear = odds.probability[group], odds.log_odds[group]
            ratio = f" <b>×{odds_of(odds, group):.2f}</b>" if clear.low > 0 else ""
            title = f"log-odds ratio {shown(clear, 2)}"
            bar = f'<span class="bar" style="width:{70 * p / most:.0f}px"></span>'
            cells.append(f'<td title="{escape(title)}">{bar}{100 * p:.2f} %{ratio}</td>')
        rows.append(f"<tr><td>{escape(named(odds.word))}</td>{''.join(cells)}</tr>\n")
    return (
        "<p>Words that are clearly likelier after a group (bold: odds against the mean of the others; "
        f"{len(axis.words)} words were tested):</p>\n"
        f'<div class="wide"><table><tr><th>next word</th>{head}</tr>\n{"".join(rows)}</table></div>\n'
    )


def _question(groups: Sequence[str], asked: Asked) -> str:
    head = "".join(f"<th>{escape(w)}</th>" for w in asked.words)
    cells = "".join(
        "<td>" + "<br>".join(f"{escape(named(w))} {100 * p:.2f} %" for w, p in asked.likeliest[g].items()) + "</td>"
        for g in groups
    )
    return (
        f"<p>{escape(asked.template)} … <small>({asked.divergence:.4f} bits)</small></p>\n"
        f'<div class="wide"><table><tr>{head}</tr>\n<tr>{cells}</tr></table></div>\n'
    )


def _crows(found: Sequence[Preference]) -> str:
    rows = [(f"{p.kind} ({p.pairs})", [p.share]) for p in found]
    return (
        "<h2>Pairs of sentences</h2>\n<p>How often the more stereotypical sentence is the likelier one. 0.5 is no "
        f"preference.</p>\n{_dots(rows, 'share', origin=0.5)}"
    )


def _winogender(found: Occupations) -> str:
    ordered = sorted(found.occupations, key=lambda o: o.own - o.other)
    women = "<th class='n'>women, %</th>" if found.correlation is not None else ""
    rows = "".join(
        f'<tr><td>{escape(o.name)}</td><td class="n">{o.own:+.2f}</td><td class="n">{o.own - o.other:+.2f}</td>'
        + (f'<td class="n">{o.women:.0f}</td>' if o.women is not None else "")
        + "</tr>\n"
        for o in ordered
    )
    told = (
        f" Correlation with the share of women: {shown(found.correlation, 3)}." if found.correlation is not None else ""
    )
    return (
        "<h2>Occupations</h2>\n<p>How many nats likelier a sentence is with “he” than with “she”, where the pronoun is "
        f"the occupation's: {shown(found.own, 3)}; less where it is the other person's: "
        f"{shown(found.own_less_other, 3)}.{told}</p>\n"
        '<details><summary>Every occupation</summary>\n<div class="wide"><table><tr><th>occupation</th>'
        f'<th class="n">own pronoun</th><th class="n">less the other\'s</th>{women}</tr>\n{rows}'
        "</table></div></details>\n"
    )


def _sample(prompt: str, texts: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return f"<p>{escape(prompt)} …</p>\n<ul>\n{listed}</ul>\n"

"""A probe's findings for a terminal: a few lines for each axis, and what is clear at 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpt2lab.evals.bias.card import layout
from gpt2lab.evals.bias.results import (
    AxisFound,
    Change,
    Estimate,
    Findings,
    Occupation,
    Occupations,
    Odds,
    Preference,
)


def shown(estimate: Estimate, digits: int = 4) -> str:
    """Return a value with its interval: 0.0214 [0.0123, 0.0310]; a value alone where there is no interval."""
    value = f"{estimate.value:.{digits}f}"
    if math.isnan(estimate.low):
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def extent(axis: AxisFound) -> str:
    """Return how much was asked: 8 questions of 8 templates."""
    counted = ((len(axis.questions), "question"), (axis.templates, "template"))
    return " of ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counted)


def named(word: str) -> str:
    """Return a word for display: as it is if it is one, else in quotes."""
    if word.isalnum():
        return word
    visible = word.replace("\n", "\\n")
    return f"‘{visible}’"


def odds_of(odds: Odds, group: str) -> float:
    """Return the odds ratio of a word after a group against the mean of the others."""
    return math.exp(odds.log_odds[group].value)


def clear_words(axis: AxisFound, group: str, most: int) -> list[Odds]:
    """Return the words that are clearly likelier after a group than after the others, the clearest ratio first."""
    clear = [odds for odds in axis.words if odds.log_odds[group].low > 0]
    return sorted(clear, key=lambda odds: (-odds.log_odds[group].value, odds.word))[:most]


def report(findings: Findings, changed: Sequence[Change] = (), *, before: str = "", words: int = 8) -> str:
    """Return all findings as lines of text; `changed` against the model named `before`."""
    parts = []
    if findings.cards:
        settings = findings.settings
        parts.append(layout(findings.cards, n=settings["n"], seed=settings["seed"], max_length=settings["max_length"]))
    parts += [_axis(axis, words) for axis in findings.axes]
    if changed:
        parts.append(_changes(changed, before, findings.model))
    if findings.crows:
        parts.append(_crows(findings.crows))
    if findings.winogender is not None:
        parts.append(_winogender(findings.winogender))
    return "\n".join(parts)


def _axis(axis: AxisFound, most: int) -> str:
    control = " (control: ought to be small)" if axis.control else ""
    lines = [
        f"{axis.name}{control}: {', '.join(axis.groups)}",
        f"  {extent(axis)}",
        f"  next token  {shown(axis.divergence)} bits",
        f"  next word   {shown(axis.word_divergence)} bits",
    ]
    width = max(map(len, axis.variation))
    lines += [f"  {pair.ljust(width)}  total variation {shown(value)}" for pair, value in axis.variation.items()]
    for group in axis.groups:
        clear = clear_words(axis, group, most)
        listed = ", ".join(f"{named(o.word)} ×{odds_of(o, group):.2f}" for o in clear) or "none is clear"
        lines.append(f"  likelier after {group}: {listed}")
    return "\n".join(lines) + "\n"


def _changes(changed: Sequence[Change], before: str, after: str) -> str:
    lines = [f"next token, {before} -> {after} (bits, difference with its interval):"]
    width = max(len(change.axis) for change in changed)
    lines += [
        f"  {c.axis.ljust(width)}  {c.before.value:.4f} -> {c.after.value:.4f}  {c.difference.value:+.4f} "
        + ("" if math.isnan(c.difference.low) else f"[{c.difference.low:+.4f}, {c.difference.high:+.4f}]")
        for c in changed
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _crows(found: Sequence[Preference]) -> str:
    lines = ["pairs of sentences: how often the more stereotypical one is likelier (0.5: no preference)"]
    width, count = max(len(p.kind) for p in found), max(len(str(p.pairs)) for p in found)
    lines += [
        f"  {p.kind.ljust(width)}  {str(p.pairs).rjust(count)}  {shown(p.share, 3)}  {shown(p.nats, 2)} nats"
        for p in found
    ]
    return "\n".join(lines) + "\n"


def _winogender(found: Occupations) -> str:
    lines = [
        f"occupations: how much likelier 'he' is than 'she' (nats, {len(found.occupations)} occupations)",
        f"  the occupation's own pronoun  {shown(found.own, 3)}",
        f"  less the other person's       {shown(found.own_less_other, 3)}",
    ]
    if found.correlation is not None:
        lines.append(f"  correlation with the share of women  {shown(found.correlation, 3)}")
    ordered = sorted(found.occupations, key=lambda o: o.own - o.other)
    few = min(5, len(ordered) // 2)
    if few:
        lines.append(f"  most 'she': {_named(ordered[:few])}; most 'he': {_named(ordered[::-1][:few])}")
    return "\n".join(lines) + "\n"


def _named(occupations: Sequence[Occupation]) -> str:
    return ", ".join(o.name for o in occupations)

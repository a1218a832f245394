"""Readings and verdicts as one web page that needs nothing else: GLTR's colours, charts and tips, light and dark.

The page holds its data as JSON and draws them with the script beside this file; texts are only ever set as text, so
nothing in them is markup. It asks no server for anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt2lab.apps.detect.gltr import rounded
from gpt2lab.apps.detect.reading import Reading
from gpt2lab.apps.detect.show import plain
from gpt2lab.apps.detect.trained import Judge
from gpt2lab.apps.detect.verdict import Verdict
from gpt2lab.apps.detect.zero_shot import BUCKETS, fractions

_HERE = Path(__file__).parent
ENTROPY_TOP = 10
"""GLTR's third chart is of the entropy of so many likeliest tokens, renormalised."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Did a machine write this?</title>
<style>
{style}</style></head><body>
<h1>Did a machine write this?</h1>
<main id="texts"></main>
<p class="note" id="about"></p>
<script type="application/json" id="data">{data}</script>
<script>
{script}</script></body></html>
"""


def page(
    texts: Sequence[tuple[str, Reading, Verdict | None]], detector: Judge | None, spell: Callable[[int], str]
) -> str:
    """Return the page for (name, reading, verdict) of each text; readings with their likeliest tokens have tips.

    `spell` says what a token reads like.
    """
    data = {
        "bounds": list(BUCKETS),
        "trained": None if detector is None else detector.trained,
        "texts": [shown(spell, name, reading, verdict, detector) for name, reading, verdict in texts],
    }
    encoded = json.dumps(data, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":  # nothing in a text ends the script it lies in
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return _PAGE.format(style=style, script=script, data=encoded)


def shown(
    spell: Callable[[int], str], name: str, reading: Reading, verdict: Verdict | None, detector: Judge | None
) -> dict[str, Any]:
    """Return what a page draws of one text, as JSON holds it.

    `about`: what `show.plain` says of it. `tokens`: of each its characters ("text"), those between it and the one
    before ("before"), and, where it was scored, "rank" (0: the likeliest), "p", "share" (frac(p)), "top" (the likeliest
    five, [text, p]) and, of readings with ten likeliest tokens, their "entropy". `after`: what follows the last.
    """
    m = reading.moments
    known = m.scored
    share = np.ones(len(m.ranks))
    share[known] = fractions(m)
    tops = np.exp(m.top_logprobs.astype(np.float64))
    tokens, done = [], 0
    for i, (start, end) in enumerate(reading.spans):
        start = max(start, done)  # a character may be of several tokens: the first one shows it
        token: dict[str, Any] = {"text": reading.text[start:end], "before": reading.text[done:start]}
        done = max(done, end)
        if known[i]:
            token |= {
                "rank": int(m.ranks[i]), "p": rounded(np.exp(m.logprobs[i])), "share": rounded(share[i]),
                "top": [[spell(j), rounded(p)] for j, p in zip(m.top_ids[i, :5].tolist(), tops[i], strict=False)],
            }  # fmt: skip
            if tops.shape[1] >= ENTROPY_TOP:
                token["entropy"] = rounded(_entropy(tops[i, :ENTROPY_TOP]))
        tokens.append(token)
    return {"about": plain(name, reading, verdict, detector), "tokens": tokens, "after": reading.text[done:]}


def _entropy(probabilities: np.ndarray[Any, Any]) -> float:
    """Return the entropy in nats of some probabilities, renormalised."""
    p = probabilities / probabilities.sum()
    return float(-(p * np.log(np.maximum(p, 1e-30))).sum())

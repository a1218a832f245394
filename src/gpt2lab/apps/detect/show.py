"""A verdict for people and for programs: lines of text, a text in GLTR's colours, plain values."""

from __future__ import annotations

import math
from typing import Any

from gpt2lab.apps.detect.gltr import bucket
from gpt2lab.apps.detect.reading import Reading
from gpt2lab.apps.detect.trained import Judge
from gpt2lab.apps.detect.verdict import Verdict
from gpt2lab.apps.detect.zero_shot import BUCKETS, bucket_shares, measure

_COLOURS = ("30;48;5;156", "30;48;5;222", "30;48;5;210", "30;48;5;183")
"""Of a terminal with 256 colours: GLTR's green, yellow, red and purple."""

LABELS = {
    "likelihood": "likelihood", "rank": "rank", "log_rank": "log-rank", "lrr": "LRR", "entropy": "entropy",
    "fast_detectgpt": "Fast-DetectGPT", "binoculars": "Binoculars",
}  # fmt: skip


def lines(name: str, reading: Reading, verdict: Verdict | None, detector: Judge | None) -> list[str]:
    """Return what is shown of one text."""
    made = [f"{name}: {reading.words} words"]
    if verdict is not None:
        made.append(f"  {verdict.sentence()}")
        if verdict.share is not None and verdict.held_out is not None:
            made.append(
                f"  of {verdict.share_of} texts of about {verdict.held_out.words} words that it had not learnt from "
                f"and put there, {100 * verdict.share:.0f} % were machine-written"
            )
    made.append("  ranks: " + ", ".join(_rank_shares(reading)))
    beside = detector.beside_humans(reading) if detector is not None else {}
    for method, value in measure(reading.moments).items():
        told = f"  {LABELS[method]:<15}{_figure(value):>10}"
        if method in beside and math.isfinite(value):
            _, place, tail = beside[method]
            told += f"   above {100 * place:3.0f} % of human texts (two-sided {tail:.2f})"
        made.append(told)
    return [*made, ""]


def footer(detector: Judge | None, model: str) -> list[str]:
    """Return what holds for every text shown."""
    if detector is None:
        return [f"Measured with {model}, for which there is no detector: train one with gpt2lab detect train."]
    about = "; ".join(f"{name}: {_listed(value)}" for name, value in detector.trained.items())
    return [
        f"Detector {detector.name!r} on {model}, trained against {about}. It assumes as many machine texts as human "
        "ones, and of other writing or other machines it knows nothing. Evidence, no proof."
    ]


def plain(name: str, reading: Reading, verdict: Verdict | None, detector: Judge | None) -> dict[str, Any]:
    """Return it as values that JSON can hold; what is not defined is null."""
    beside = detector.beside_humans(reading) if detector is not None else {}
    methods = {
        method: {"value": _number(value)}
        | (
            {"human_percentile": beside[method][1], "two_sided": beside[method][2]}
            if method in beside and math.isfinite(value)
            else {}
        )
        for method, value in measure(reading.moments).items()
    }
    said: dict[str, Any] = {"verdict": None, "probability": None}
    if verdict is not None:
        said = {
            "verdict": verdict.call, "probability": verdict.probability, "sentence": verdict.sentence(),
            "held_out": None if verdict.held_out is None else {
                "words": verdict.held_out.words, "auroc": verdict.held_out.auroc,
                "tpr_at_1_percent_fpr": verdict.held_out.tpr, "share_of_machine_texts": verdict.share,
                "texts": verdict.share_of,
            },
        }  # fmt: skip
    return {
        "name": name, "words": reading.words, "tokens": len(reading.ids), **said,
        "rank_shares": [round(float(s), 4) for s in bucket_shares(reading.moments)], "methods": methods,
        "detector": None if detector is None else {"name": detector.name, "trained": detector.trained},
    }  # fmt: skip


def coloured_text(reading: Reading) -> str:
    """Return the text with each token on the colour of its rank, for a terminal."""
    parts, done = [], 0
    for (start, end), rank in zip(reading.spans, reading.moments.ranks.tolist(), strict=True):
        start = max(start, done)  # a character may be of several tokens: the first one shows it
        parts.append(_harmless(reading.text[done:start]))
        piece = reading.text[start:end]
        parts.append(
            f"\x1b[{_COLOURS[bucket(rank)]}m{_harmless(piece)}\x1b[0m" if rank >= 0 and piece else _harmless(piece)
        )
        done = max(done, end)
    return "".join(parts) + _harmless(reading.text[done:])


def _harmless(text: str) -> str:
    """Return a text without characters that command a terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _rank_shares(reading: Reading) -> list[str]:
    names = [f"{100 * share:.0f} %" for share in bucket_shares(reading.moments)]
    bounds = [f"below {b}" for b in BUCKETS] + ["above"]
    return [f"{share} {bound}" for share, bound in zip(names, bounds, strict=True)]


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

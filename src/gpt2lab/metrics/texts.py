"""Texts against reference texts: BLEU as numbers that can be added up, ROUGE, and the first sentences of a text.

BLEU is sacrebleu's (Post 2018) and ROUGE is rouge-score's (Lin 2004), both of the extra `eval`; what is ours is how
they are taken apart and put together.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from gpt2lab.errors import MissingExtraError

ORDERS = 4
"""n-grams up to this length count for BLEU."""

ROUGE = ("rouge1", "rouge2", "rougeLsum")
"""What is measured of a summary: words, pairs of words, longest common subsequences of sentences."""


def bleu_counts(given: str, right: str, *, tokenize: str = "13a") -> dict[str, float]:
    """Return one sentence's part of corpus BLEU: matching and all n-grams by length, and both lengths in tokens.

    `bleu` of the sums over a corpus is what sacrebleu's corpus_bleu says of it. Raises `MissingExtraError`.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingExtraError("BLEU", "eval") from None
    # with effective_order sacrebleu does not warn that BLEU of a sentence is noisy; it changes no count
    score = BLEU(tokenize=tokenize, effective_order=True).sentence_score(given, [right])
    found = {"given tokens": float(score.sys_len), "right tokens": float(score.ref_len)}
    for n in range(ORDERS):
        found[f"matches {n + 1}"], found[f"n-grams {n + 1}"] = float(score.counts[n]), float(score.totals[n])
    return found


def bleu(sums: Mapping[str, float]) -> float:
    """Return BLEU, 0 to 100, from sums of `bleu_counts`; smoothed as sacrebleu does by default (exp)."""
    from sacrebleu.metrics.bleu import BLEU

    counts, totals = ([round(sums[f"{name} {n + 1}"]) for n in range(ORDERS)] for name in ("matches", "n-grams"))
    lengths = round(sums["given tokens"]), round(sums["right tokens"])
    return float(BLEU.compute_bleu(counts, totals, *lengths, smooth_method="exp").score)


def rouge(given: str, right: str) -> dict[str, float]:
    """Return the F-measures `ROUGE` of a summary, with stemmed words; sentences stand on lines. Raises
    `MissingExtraError`."""
    scores = _rouge_scorer().score(right, given)
    return {name: float(scores[name].fmeasure) for name in ROUGE}


@functools.cache
def _rouge_scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingExtraError("ROUGE", "eval") from None
    return RougeScorer(list(ROUGE), use_stemmer=True)


_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*(?=\s)|\n+")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Gen|Sen|Rep|Gov|Lt|Col|Jr|Sr|vs|U\.S|U\.N|a\.m|p\.m)\.$")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text: cut behind . ! ? and their closing quotes where white space follows, and at line
    breaks; not behind an initial or a common abbreviation."""
    found, start = [], 0
    for match in _END.finditer(text):
        piece = text[start : match.end()]
        if not match[0] and _ABBREVIATION.search(piece):
            continue
        found.append(piece.strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]

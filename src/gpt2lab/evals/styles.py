"""The de-tokenizers of the corpora: ours, which can be undone, and the ones that other harnesses use.

The rules of Megatron-LM (tasks/zeroshot_gpt/detokenizer.py) and lm-eval (tasks/wikitext) are stated here as tables of
replacements with all they do wrong, because their figures depend on it: a regular expression that never matches, quotes
paired across lines, and in Megatron's Penn Treebank a number that loses the blank before it. They cannot be undone.
"""

from __future__ import annotations

import re

from gpt2lab.evals.detokenize import ANY, DIGIT, WORD, Inner, Style

_TITLES = (
    "Adm Ave Brig Bros Capt Cmdr Co Col Corp Cpl Dr Drs Esq Fr Ft Gen Gov Hon Inc Jr Lt Ltd Maj Mr Mrs Ms Mt No Nos Op "
    "Ph.D Pres Prof Pte Pvt Rep Rev Rt Sen Sgt Sr St Ste Supt cf eds etc fig p pp v var vol vs"
)
_ENGLISH = frozenset(_TITLES.split())
_STOPS = (",", ".", ";", ":", "!", "?", ")", "]", "}", "..", "...", "....", "”")
_OPENERS = ("(", "[", "{", "“")

_INNER = (
    Inner("@-@", "-", ANY, ANY),
    Inner("@,@", ",", ANY, ANY),
    Inner("@.@", ".", r"[\d>]", r"[\d<]"),
    Inner("–", "–", DIGIT, DIGIT),
    Inner(":", ":", DIGIT, DIGIT),
    Inner("⁄", "⁄", DIGIT, DIGIT),
    Inner("/", "/"),
    Inner("‑", "‑"),
    Inner("°", "°", DIGIT, WORD),
)

WIKITEXT = Style(
    inner=_INNER,
    closers=_STOPS,
    openers=_OPENERS,
    money=("$", "£", "₤", "€", "¥", "₱", "#", "−"),
    measures=("%", "°", "′", "″", "♭", "♯"),
    quotes=('"', "'"),
    elision=True,
    possessive="s",
    headings=True,
    abbreviations=_ENGLISH,
)
"""WikiText-2 and WikiText-103: Moses' tokens, with hyphens and the points and commas of numbers between at-signs."""

PTB = Style(
    money=("$", "#", "c$", "us$", "hk$"),
    suffixes=("n't", "'s", "'re", "'ve", "'ll", "'d", "'m", "'"),
    within={"\\/": "/"},
)
"""The Penn Treebank of Mikolov et al.: lower case, no punctuation, N for numbers and <unk> for rare words."""

BILLION = Style(
    margin=False,
    inner=(Inner("/", "/"), Inner(":", ":", DIGIT, DIGIT)),
    closers=_STOPS,
    openers=_OPENERS,
    money=("$", "£", "€", "#"),
    measures=("%",),
    quotes=('"', "'"),
    elision=True,
    possessive="s",
    abbreviations=_ENGLISH,
)
"""The One Billion Word Benchmark: Moses' tokens."""

CBT = Style(
    margin=False,
    closers=(",", ".", ";", ":", "!", "?", "..."),
    opening={"``": '"', "`": "'", "-LRB-": "(", "-LSB-": "[", "-LCB-": "{"},
    closing={"''": '"', "'": "'", "-RRB-": ")", "-RSB-": "]", "-RCB-": "}"},
    suffixes=("n't", "'s", "'re", "'ve", "'ll", "'d", "'m"),
    within={"\\/": "/"},
    abbreviations=_ENGLISH,
)
"""The Children's Book Test: the Penn Treebank's tokens, with its names for quotation marks and brackets."""

LAMBADA = CBT
"""LAMBADA as its authors published it: lower case, otherwise the same tokens."""

_BOTH_SIDES = (("@-@", "-"), ("@,@", ","), ("@.@", "."))
_BEHIND = ":;.!?,"
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'"))


def plain_wikitext(text: str) -> str:
    """Return WikiText as Megatron-LM and lm-eval write it (see the top of this file)."""
    text = text.replace("s '", "s'")
    for token, sign in _BOTH_SIDES:
        text = text.replace(f" {token} ", sign)
    for sign in _BEHIND:
        text = text.replace(f" {sign} ", f"{sign} ")
    for left, right in _PAIRS:
        a, b = re.escape(left), re.escape(right)
        text = re.sub(rf"{a}\s*([^{b}]*?)\s*{b}", rf"{left}\1{right}", text)
    for count in (4, 3, 2):
        text = text.replace(" ".join("=" * count), "=" * count)
    text = text.replace(" ° ", "°").replace(" \n", "\n").replace("\n ", "\n")
    return text.replace(" N ", " 1 ").replace(" 's", "'s")


def plain_ptb(text: str, *, as_published: bool = True) -> str:
    """Return the Penn Treebank as Megatron-LM writes it; with `as_published` numbers lose the blank before them."""
    for given, written in ((" '", "'"), (" \n", "\n"), ("\n ", "\n"), (" n't", "n't")):
        text = text.replace(given, written)
    return text.replace(" N ", "1 " if as_published else " 1 ").replace("$ 1", "$1").replace("# 1", "#1")

"""BLEU put together from parts equals sacrebleu's, ROUGE is rouge-score's, and sentences end where they should."""

from __future__ import annotations

import builtins
import random
from typing import Any

import pytest

from gpt2lab.errors import MissingExtraError
from gpt2lab.metrics import texts
from gpt2lab.metrics.bootstrap import sums
from gpt2lab.metrics.texts import bleu, bleu_counts, rouge, sentences

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree,",
    "and",
    "then",
    "it",
    "slept",
    ".",
    "l'été",
    "œuvre",
]


def corpus(seed: int, n: int = 30) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    pairs = []
    for _ in range(n):
        right = [rng.choice(WORDS) for _ in range(rng.randint(1, 15))]
        given = [w if rng.random() < 0.7 else rng.choice(WORDS) for w in right][: rng.randint(0, 15)]
        pairs.append((" ".join(given), " ".join(right)))
    return pairs


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char"])
@pytest.mark.parametrize("seed", range(4))
def test_bleu_of_the_sums_is_sacrebleus(seed: int, tokenize: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    pairs = corpus(seed)
    rows = [bleu_counts(given, right, tokenize=tokenize) for given, right in pairs]
    theirs = sacrebleu.corpus_bleu([g for g, _ in pairs], [[r for _, r in pairs]], tokenize=tokenize)
    assert bleu(sums(rows)) == pytest.approx(theirs.score, rel=1e-12)
    assert 0 < theirs.score < 100


def test_bleu_at_its_ends() -> None:
    pytest.importorskip("sacrebleu")
    same = "the cat sat on the mat"
    assert bleu(bleu_counts(same, same)) == pytest.approx(100)
    assert bleu(bleu_counts("", same)) == 0
    assert bleu(bleu_counts("dogs ran", same)) == 0
    assert bleu(bleu_counts("The Cat sat on the mat", same)) < 100, "case counts"


def test_rouge_is_rouge_scores() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(
        ["rouge1", "rouge2", "rougeLsum"], use_stemmer=True
    )
    for given, right in corpus(9):
        split = given.replace(" . ", " .\n"), right.replace(" . ", " .\n")
        theirs = scorer.score(split[1], split[0])
        assert rouge(*split) == {name: pytest.approx(score.fmeasure) for name, score in theirs.items()}


def test_rouge_at_its_ends_and_by_sentences() -> None:
    pytest.importorskip("rouge_score")
    assert rouge("The cats sat.", "the cat sat") == pytest.approx({"rouge1": 1, "rouge2": 1, "rougeLsum": 1})
    assert rouge("", "the cat") == {"rouge1": 0, "rouge2": 0, "rougeLsum": 0}
    turned = rouge("it slept well\nthe cat sat", "the cat sat\nit slept well")
    assert turned["rougeLsum"] == 1, "the order of sentences does not count"


@pytest.mark.parametrize("name", ["sacrebleu", "rouge_score"])
def test_what_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *rest: Any, **more: Any) -> Any:
        if module.startswith(name):
            raise ImportError(module)
        return real(module, *rest, **more)

    texts._rouge_scorer.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"needs a part of gpt2lab that is not installed: .*gpt2lab\[eval\]"):
        bleu_counts("a", "b") if name == "sacrebleu" else rouge("a", "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        (
            "Mr. Smith met J. R. Brown in the U.S. today. He left.",
            ["Mr. Smith met J. R. Brown in the U.S. today.", "He left."],
        ),
        ("It cost 3.50 euros. Cheap.", ["It cost 3.50 euros.", "Cheap."]),
        ("A line\nanother line. And one", ["A line", "another line.", "And one"]),
        ("  \n\n ", []),
        ("", []),
        ("Wait... what?", ["Wait...", "what?"]),
        ("(It rained.) We left.", ["(It rained.)", "We left."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_no_text_is_lost_between_sentences() -> None:
    text = 'Dr. No came. "Why?" asked M. Then\nnothing. End'
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())

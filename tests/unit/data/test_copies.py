"""Words and their runs, exact and near copies, and the overlap with evaluation sets."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.data.contamination import EvaluationNgrams, evaluation_ngrams, merged, overlaps
from gpt2lab.data.duplicates import NearCopies, Signatures, exact_copies
from gpt2lab.data.ngrams import ngrams, text_hash, word_hashes, words_hash
from gpt2lab.errors import DataError

WORDS = [f"w{i}" for i in range(3000)]


def document(seed: int, words: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def jaccard(a: list[str], b: list[str]) -> float:
    runs = [{tuple(x[i : i + 5]) for i in range(len(x) - 4)} for x in (a, b)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


class TestWords:
    """A text is its lower-cased alphanumeric words."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Hello, World!", "hello world"),
            ("“It’s”—he said…", "it s he said"),
            ("  a\n\nb\tc ", "A-B_C"),
            ("ÉTÉ 漢字。", "été 漢字"),
            ("".join(chr(c) + "x" for c in range(0x2190, 0x2200)), "x " * 112),  # more signs than are replaced singly
        ],
    )
    def test_what_counts_as_the_same(self, one: str, other: str) -> None:
        assert word_hashes(one).tolist() == word_hashes(other).tolist()

    def test_what_differs(self) -> None:
        texts = ["a b", "ab", "b a", "a b c", "été", "ete", "a" * 8, "a" * 9, "a" * 16, ""]
        assert len({words_hash(word_hashes(text)) for text in texts}) == len(texts)
        assert len({text_hash(text) for text in texts}) == len(texts)

    def test_the_words_are_those_of_the_plain_rule(self) -> None:
        text = "Naïve plans, 23 answers: «oui», x2 — don't\x00you;" + "".join(map(chr, range(32, 0x2FF)))
        plain = re.findall(r"[^\W_]+", text.lower())
        assert len(word_hashes(text)) == len(plain)
        assert word_hashes(" ".join(plain)).tolist() == word_hashes(text).tolist()

    def test_numbers_are_the_same_everywhere(self) -> None:
        assert word_hashes("the cat").tolist() == [9711500500559064873, 14183407360260468729]
        assert text_hash("the cat") == 3042635075010022360

    def test_runs_tell_their_words_and_order(self) -> None:
        words = word_hashes("a b c a b c b a")
        runs = ngrams(words, 3)
        assert len(runs) == 6
        assert runs[0] == runs[3]
        assert len(set(runs.tolist())) == 5
        assert len(ngrams(words[:2], 3)) == 0
        assert ngrams(words, 8).shape == (1,)


def test_the_first_of_exact_copies_stays() -> None:
    assert exact_copies(np.array([5, 3, 5, 9, 3, 5], np.uint64)).tolist() == [False, False, True, False, True, True]
    assert exact_copies(np.empty(0, np.uint64)).tolist() == []


class TestNearCopies:
    """Signatures estimate common runs; what shares enough of them with an earlier document is a copy."""

    @pytest.fixture(autouse=True)
    def datasketch(self) -> None:
        pytest.importorskip("datasketch")

    def find(self, documents: list[list[str]], threshold: float, left_out: list[bool] | None = None) -> list[bool]:
        signatures, bands = Signatures(threshold).of([word_hashes(" ".join(words)) for words in documents])
        copies = NearCopies(signatures, threshold, np.array(left_out or [False] * len(documents)))
        for band in bands.T:
            copies.add_band(band)
        return copies.copies().tolist()

    def test_a_changed_word_makes_no_new_text(self) -> None:
        changed = document(1)
        changed[150] = "other"
        assert jaccard(document(1), changed) > 0.95
        half = document(1)[:150] + document(9, 150)
        assert self.find([document(1), document(2), changed, document(3), half], 0.8) == [
            False,
            False,
            True,
            False,
            False,
        ]

    def test_long_documents_are_compared_by_a_sample(self) -> None:
        long = document(1, 20_000)
        changed = [*long[:9000], "other", *long[9000:], "end"]
        assert self.find([long, changed, document(2, 20_000)], 0.8) == [False, True, False]

    def test_short_and_empty_texts(self) -> None:
        assert self.find([["a"], [], ["a"], [], ["b", "c"], ["b", "c"]], 0.8) == [
            False,
            False,
            True,
            False,
            False,
            True,
        ]

    def test_what_is_left_out_has_no_copies(self) -> None:
        assert self.find([document(1)] * 3, 0.8, [True, False, False]) == [False, False, True]

    def test_a_copy_of_a_copy_stays_where_it_is_unlike_what_is_kept(self) -> None:
        one = document(1)
        two = one[15:] + document(2, 15)
        three = two[15:] + document(3, 15)
        threshold = (jaccard(one, two) + jaccard(one, three)) / 2
        assert self.find([one, two, three], threshold) == [False, True, False]

    def test_the_estimate_is_near_the_truth(self) -> None:
        one = document(1, 2000)
        for kept in (1000, 1600, 1900):
            other = one[:kept] + document(2, 2000 - kept)
            signatures, _ = Signatures(0.8).of([word_hashes(" ".join(words)) for words in (one, other)])
            estimate = float(np.mean(signatures[0] == signatures[1]))
            assert abs(estimate - jaccard(one, other)) < 0.13  # 3 standard deviations of 128 coin tosses at most

    def test_all_that_is_alike_is_found(self) -> None:
        documents = [document(i) for i in range(60)]
        copies = [[*words[:100], "x", *words[100:]] for words in documents]
        assert self.find([*documents, *copies], 0.8) == [False] * 60 + [True] * 60

    def test_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "datasketch", None)
        with pytest.raises(ImportError, match=r"Finding near copies needs .*gpt2lab\[corpus\]"):
            Signatures(0.8)


def plain_overlap(evaluation: str, training: list[str]) -> tuple[int, int]:
    """Return how many different 8-grams there are and how many of them are in the training text, by sets of words."""

    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[^\W_]+", text.lower())
        return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}

    wanted = grams(evaluation)
    return len(wanted), len(wanted & set().union(*map(grams, training)))


def test_the_overlap_is_that_of_plain_sets(tmp_path: Path) -> None:
    evaluation = "It was the best of times, it was the worst of times; it was the age of wisdom - " + " ".join(
        document(1, 50)
    )
    training = [
        "IT WAS THE BEST of times! It was: the worst of times.",
        "the worst of times it was the age of wisdom",
        " ".join(document(1, 50)[:20]),
    ]
    (tmp_path / "wiki.test.raw").write_text(evaluation, encoding="utf-8")
    files = evaluation_ngrams([str(tmp_path / "wiki.test.raw")])
    table = merged(list(files.values()))
    found = np.zeros(len(table), bool)
    for text in training:
        found[EvaluationNgrams(table).numbers_in(text)] = True
    (overlap,) = overlaps(files, table, found, found)
    assert (overlap.ngrams, overlap.found) == plain_overlap(evaluation, training)
    assert 0 < overlap.found < overlap.ngrams
    assert overlap.found_share == overlap.left_share == overlap.found / overlap.ngrams


def test_an_evaluation_file_needs_eight_words(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("only seven words are in this file", encoding="utf-8")
    with pytest.raises(DataError, match=r"short\.txt has no run of 8 words; nothing can be compared with it"):
        evaluation_ngrams([str(tmp_path / "short.txt")])


def test_nothing_is_in_an_empty_table() -> None:
    assert EvaluationNgrams(np.empty(0, np.uint64)).numbers_in("a b c d e f g h i").tolist() == []

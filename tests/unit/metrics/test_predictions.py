"""Measures of predictions: against counts by hand, and where they are not defined."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("sklearn")

from gpt2lab.errors import MissingExtraError
from gpt2lab.metrics.predictions import accuracy, correlations, of_classes, require


def test_two_classes_by_hand() -> None:
    known, given = list("aaabbb"), list("aabbba")  # 2 true b, 1 false b, 1 false a, 2 true a
    found = of_classes(given, known, ("a", "b"))
    assert found["accuracy"] == accuracy(given, known) == 4 / 6
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["matthews"] == pytest.approx((2 * 2 - 1 * 1) / 9)
    skewed = of_classes(list("aab"), list("abb"), ("a", "b"), positive="a")
    assert skewed["f1"] == pytest.approx(2 * 1 / (2 * 1 + 1))


def test_more_classes_are_a_mean_and_words_without_a_tag_are_wrong() -> None:
    found = of_classes(list("aabc"), list("aabb"), ("a", "b", "c"))
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    cut = of_classes(["a", ""], ["a", "b"], ("a", "b"))
    assert cut["accuracy"] == 0.5
    assert cut["f1"] == pytest.approx((1 + 0) / 2)


def test_what_is_all_one_class_correlates_with_nothing() -> None:
    assert of_classes(list("bbbb"), list("aabb"), ("a", "b"))["matthews"] == 0
    assert correlations([1.0, 1.0], [1.0, 2.0]) == {"pearson": 0, "spearman": 0}
    assert correlations([1.0], [1.0]) == {"pearson": 0, "spearman": 0}


def test_values_by_hand() -> None:
    found = correlations([1.0, 2.0, 4.0], [1.0, 4.0, 16.0])
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] == pytest.approx(0.98974331)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtraError, match=r"gpt2lab\[eval\]"):
        require()

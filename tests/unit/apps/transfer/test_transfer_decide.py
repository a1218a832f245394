"""From logits to what is said, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.apps.transfer.decide import LONGEST_ANSWER, Reading, Said, best_span, decide, judged, plain
from gpt2lab.apps.transfer.encode import Encoded
from gpt2lab.apps.transfer.items import Answer, Item
from gpt2lab.apps.transfer.settings import TransferRecipe

IDS = np.arange(9)


def encoded(places: list[int] = [], spans: tuple[tuple[int, int], ...] = ()) -> Encoded:  # noqa: B006
    return Encoded((IDS,), np.asarray(places, np.int64), spans, False)


def test_classes_choices_and_values() -> None:
    item = Item("t, line 1", ("a",), "y")
    said = decide(TransferRecipe(shape="classification"), np.log([1.0, 3.0]), encoded(), item, Reading(("n", "y")))
    assert said.prediction == "y"
    assert said.probabilities == pytest.approx((0.25, 0.75))
    value = TransferRecipe(shape="similarity", target="value")
    assert decide(value, np.asarray([2.0]), encoded(), item, Reading((), 1.5, 0.5)) == Said(2.5)
    choice = TransferRecipe(shape="choice", count_from=1)
    told = decide(choice, np.log([1.0, 2.0, 1.0]), encoded(), Item("p", ("a", "b", "c", "d"), 1), Reading())
    assert told.prediction == 1
    shown = plain(told, Item("p", (), 1), choice, Reading())
    assert (shown["prediction"], shown["target"], shown["place"]) == (2, 2, "p")


def test_a_word_behind_the_window_has_no_tag() -> None:
    recipe, reading = TransferRecipe(shape="tags"), Reading(("X", "Y"))
    logits = np.zeros((9, 2))
    logits[[2, 5], [1, 0]] = 1
    item = Item("t", ("a", "b", "c"), ("Y", "X", "X"))
    said = decide(recipe, logits, encoded([2, 5]), item, reading)
    assert said.prediction == ("Y", "X", "")
    pytest.importorskip("sklearn")
    assert judged(recipe, [item], [said], reading)["accuracy"] == pytest.approx(2 / 3)


def test_an_answer_ends_behind_its_beginning_and_is_not_endless() -> None:
    first, last = np.zeros(40), np.zeros(40)
    first[10], last[4], last[12] = 5, 7, 3
    assert best_span(first, last) == (10, 12)
    first[0], last[LONGEST_ANSWER], last[LONGEST_ANSWER - 1] = 50, 50, 40
    assert best_span(first, last) == (0, LONGEST_ANSWER - 1)


def test_answers_are_judged_as_squad_does() -> None:
    recipe = TransferRecipe(shape="span")
    items = [Item("t", ("q", "It was the cat."), (Answer("the cat", 7), Answer("cat", 11)))] * 2
    logits = np.zeros((9, 2))
    logits[3, 0] = logits[4, 1] = 4
    said = decide(recipe, logits, encoded([3, 4], ((6, 10), (10, 14))), items[0], Reading())
    assert said.prediction == "the cat"
    found = judged(recipe, items, [said, Said("a dog cat")], Reading())
    assert found == {"exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)}
    assert plain(said, items[0], recipe, Reading())["target"] == ["the cat", "cat"]

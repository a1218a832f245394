"""Rows as items of every shape, and a sentence with file and line for what a row gets wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpt2lab.apps.transfer.items import Answer, Item, check_labels, items_of, labels_of
from gpt2lab.apps.transfer.settings import TransferRecipe, transfer_recipe
from gpt2lab.apps.transfer.table import rows_of
from gpt2lab.errors import ConfigError, DataError


def items(recipe: TransferRecipe, *rows: dict[str, Any], targets: bool = True) -> list[Item]:
    data = "\n".join(json.dumps(row) for row in rows).encode()
    return items_of(rows_of(data, "t", kind="jsonl"), recipe, targets=targets)


def shaped(shape: str, **values: Any) -> TransferRecipe:
    return transfer_recipe({"kind": "transfer", "shape": shape, **values})


TEXT = shaped("classification")
ANSWER = {"question": "Who?", "context": "It was the cat, the cat."}


@pytest.mark.parametrize(
    ("recipe", "row", "texts", "target"),
    [
        (TEXT, {"text": "a", "label": 1}, ("a",), "1"),
        (TEXT, {"text": "a", "label": True}, ("a",), "true"),
        (shaped("entailment", target="value"), {"premise": "a", "hypothesis": "b", "label": "2.5"}, ("a", "b"), 2.5),
        (shaped("similarity"), {"first": "a", "second": "b", "label": " yes "}, ("a", "b"), "yes"),
        (shaped("choice"), {"context": "a", "choices": ["b", "c"], "label": 1}, ("a", "b", "c"), 1),
        (
            shaped("choice", count_from=1, columns={"choices": ["x", "y"]}),
            {"context": "a", "x": "b", "y": "c", "label": "1"}, ("a", "b", "c"), 0,
        ),
        (shaped("tags"), {"words": "a b", "tags": "X Y"}, ("a", "b"), ("X", "Y")),
        (shaped("tags"), {"words": ["a", "b"], "tags": ["X", "Y"]}, ("a", "b"), ("X", "Y")),
        (shaped("span"), {**ANSWER, "answer": "the cat"}, tuple(ANSWER.values()), (Answer("the cat", 7),)),
        (
            shaped("span"), {**ANSWER, "answer": {"text": ["the cat", "It"], "answer_start": [16, 0]}},
            tuple(ANSWER.values()), (Answer("the cat", 16), Answer("It", 0)),
        ),
    ],
)  # fmt: skip
def test_a_row_of_every_shape(recipe: TransferRecipe, row: dict[str, Any], texts: Any, target: Any) -> None:
    assert items(recipe, row) == [Item("t, line 1", texts, target)]


@pytest.mark.parametrize(
    ("recipe", "row", "message"),
    [
        (TEXT, {"text": "a"}, r"^t, line 2: there is no column 'label'"),
        (TEXT, {"text": " ", "label": 1}, r"^t, line 2: 'text' is empty; there is nothing to read"),
        (TEXT, {"text": 3, "label": 1}, r"^t, line 2: 'text' is not a text but a whole number"),
        (TEXT, {"text": "a", "label": ""}, r"^t, line 2: 'label' is empty; every row"),
        (TEXT, {"text": "a", "label": None}, r"^t, line 2: 'label' is empty"),
        (TEXT, {"text": "a", "label": 0.5}, r"^t, line 2: 'label' is a number with a fraction, but classes .*value"),
        (
            TEXT, {"text": "a", "label": "1"},
            r"^t, line 2: 'label' is a text \('1'\), but a whole number \(1\) in t, line 1; all labels must be of one",
        ),
        (
            shaped("classification", target="value"), {"text": "a", "label": "good"},
            r"^t, line 2: 'label' is 'good', not a number",
        ),
        (shaped("classification", target="value"), {"text": "a", "label": True}, r"line 2: 'label' is True, not a num"),
    ],
)  # fmt: skip
def test_what_a_row_of_classes_gets_wrong(recipe: TransferRecipe, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        items(recipe, {"text": "x", "label": 1}, row)


@pytest.mark.parametrize(
    ("shape", "row", "message"),
    [
        ("choice", {"context": "a", "choices": ["b"], "label": 0}, r"^t, line 1: there are 1 choices; at least 2"),
        ("choice", {"context": "a", "choices": "b", "label": 0}, r"^t, line 1: 'choices' is no list of texts"),
        (
            "choice", {"context": "a", "choices": ["b", "c"], "label": 2},
            r"^t, line 1: 'label' is 2, not the number of one of 2 choices: 0 to 1 \(task\.count_from = 0\)",
        ),
        ("choice", {"context": "a", "choices": ["b", "c"], "label": "b"}, r"'label' is 'b', not the number"),
        ("choice", {"context": "a", "choices": ["b", "c"], "label": "1" * 5000}, r"'label' is '1+', not the number"),
        ("tags", {"words": "a b", "tags": "X"}, r"^t, line 1: there are 2 words and 1 tags; each word has one"),
        ("tags", {"words": "", "tags": ""}, r"^t, line 1: 'words' is empty; there are no words"),
        ("tags", {"words": [1], "tags": "X"}, r"^t, line 1: 'words' must be a list of words, or words with blanks"),
        ("span", {**ANSWER, "answer": "the dog"}, r"^t, line 1: the answer 'the dog' does not stand in the context"),
        ("span", {**ANSWER, "answer": ["the cat", 3]}, r"^t, line 1: 'answer' is no answer"),
        (
            "span", {**ANSWER, "answer": {"text": ["the cat"], "answer_start": [3]}},
            r"^t, line 1: the answer 'the cat' does not stand in the context",
        ),
    ],
)  # fmt: skip
def test_what_other_rows_get_wrong(shape: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        items(shaped(shape), row)


def test_targets_may_be_unknown_where_nothing_is_learnt() -> None:
    rows = [{"text": "a"}, {"text": "b", "label": None}, {"text": "c", "label": 2}]
    assert [item.target for item in items(TEXT, *rows, targets=False)] == [None, None, "2"]


def test_labels_are_those_of_the_training() -> None:
    training = items(TEXT, {"text": "a", "label": "yes"}, {"text": "b", "label": "no"})
    assert labels_of(training) == ("no", "yes")
    unseen = items(TEXT, {"text": "c", "label": "yes"}, {"text": "d", "label": "maybe"})
    with pytest.raises(DataError, match=r"^t, line 2: the label 'maybe' was not seen in training; .* 'no', 'yes'\.$"):
        check_labels(unseen, labels_of(training))
    with pytest.raises(DataError, match=r"^All 1 examples, from t, line 1 on, have the label 'yes'"):
        labels_of(training[:1])
    with pytest.raises(DataError, match=r"have the label '(text ){12}…'"):
        labels_of(items(TEXT, {"text": "a", "label": "text " * 1000}))
    tags = items(shaped("tags"), {"words": "a b c", "tags": "X Y X"})
    assert labels_of(tags) == ("X", "Y")
    with pytest.raises(DataError, match="the label 'Y' was not seen"):
        check_labels(tags, ("X",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shape": "x"}, r"task\.shape = 'x' is not one of 'classification'"),
        ({}, r"says no task\.shape; it is one of classification, entailment"),
        ({"shape": "tags", "columns": {"text": "a"}}, r"task\.columns\.text is nothing of the shape 'tags'"),
        ({"shape": "classification", "columns": {"text": 4}}, r"task\.columns\.text = 4 must be the name of a column"),
        ({"shape": "classification", "columns": {"text": ["a"]}}, r"must be the name of a column"),
        ({"shape": "tags", "target": "value"}, r"task\.target = 'value' does not go with the shape 'tags'"),
        ({"shape": "tags", "window": 3}, r"task\.window = 3 must be at least 8"),
        ({"shape": "tags", "lora_alpha": 0}, r"task\.lora_alpha = 0\.0 must be positive"),
        ({"shape": "tags", "language": -1}, r"task\.language = -1\.0 must not be negative"),
        ({"shape": "tags", "dropout": 1}, r"task\.dropout = 1\.0 must be in"),
        ({"shape": "tags", "validation_share": 0.5}, r"task\.validation_share = 0\.5 must be from 0 to below"),
        ({"shape": "tags", "validation_share": 0.1, "validation": ["x"]}, r"Give task\.validation or task\.valid"),
        ({"shape": "tags", "lora_rank": 2, "freeze_layers": 1}, r"task\.lora_rank freezes all weights by itself"),
    ],
)  # fmt: skip
def test_an_impossible_recipe_is_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        transfer_recipe({"kind": "transfer", **values})
    with pytest.raises(ConfigError, match=r'task\.kind must be "transfer"'):
        transfer_recipe({**values, "kind": "music"})

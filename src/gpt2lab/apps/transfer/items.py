"""Rows as items of a shape: texts and what is right of them, checked, with one sentence for whatever is wrong.

Knows columns and labels, no tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gpt2lab.apps.transfer.settings import TARGET, TransferRecipe
from gpt2lab.apps.transfer.table import Row
from gpt2lab.errors import DataError


class Answer(NamedTuple):
    """A right answer and the character of the context at which it begins."""

    text: str
    start: int


Target = str | float | int | tuple[str, ...] | tuple[Answer, ...]


class Item(NamedTuple):
    """A row that was understood.

    `texts` are those of the shape's roles in their order: the text; premise and hypothesis; both texts; the context and
    every choice; the words; question and context. `target` is the class, the value, the number of the choice (from 0),
    a tag for each word, or the right answers; None where it is not said.
    """

    place: str
    texts: tuple[str, ...]
    target: Target | None


def items_of(rows: Iterable[Row], recipe: TransferRecipe, *, targets: bool = True) -> list[Item]:
    """Return every row as an item. Without `targets` they are read where the column is there.

    Raises `DataError` naming file and line for columns that are missing, texts that are empty and targets that are of
    the wrong type, of several types, or none.
    """
    types = _Types()
    column = recipe.column(TARGET[recipe.shape])
    assert isinstance(column, str)
    made = []
    for row in rows:
        texts = _texts(row, recipe)
        target = None
        if targets or (row.has(column) and row.get(column) not in (None, "")):
            target = _target(row, column, texts, recipe, types)
        made.append(Item(row.place, texts, target))
    return made


def _texts(row: Row, recipe: TransferRecipe) -> tuple[str, ...]:
    shape = recipe.shape
    if shape == "tags":
        return _words(row, recipe.column("words"), "words")
    if shape == "choice":
        return (_text(row, recipe.column("context")), *_choices(row, recipe.column("choices")))
    roles = {"classification": ("text",), "entailment": ("premise", "hypothesis"), "similarity": ("first", "second")}
    return tuple(_text(row, recipe.column(role)) for role in roles.get(shape, ("question", "context")))


def _text(row: Row, column: str | list[str]) -> str:
    assert isinstance(column, str)
    value = row.get(column)
    if not isinstance(value, str):
        raise DataError(f"{row.place}: {column!r} is not a text but {_kind(value)}.")
    if not value.strip():
        raise DataError(f"{row.place}: {column!r} is empty; there is nothing to read.")
    return value


def _choices(row: Row, column: str | list[str]) -> tuple[str, ...]:
    if isinstance(column, list):
        found = [_text(row, one) for one in column]
    else:
        listed = row.get(column)
        if not isinstance(listed, list) or not all(isinstance(one, str) and one.strip() for one in listed):
            raise DataError(
                f"{row.place}: {column!r} is no list of texts; name the columns of them with task.columns.choices."
            )
        found = listed
    if len(found) < 2:
        raise DataError(f"{row.place}: there are {len(found)} choices; at least 2 are needed.")
    return tuple(found)


def _words(row: Row, column: str | list[str], what: str) -> tuple[str, ...]:
    assert isinstance(column, str)
    value = row.get(column)
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"{row.place}: {column!r} must be a list of {what}, or {what} with blanks between.")
    if not words:
        raise DataError(f"{row.place}: {column!r} is empty; there are no {what}.")
    return tuple(words)


def _target(row: Row, column: str, texts: tuple[str, ...], recipe: TransferRecipe, types: _Types) -> Target:
    if recipe.shape == "tags":
        tags = _words(row, column, "tags")
        if len(tags) != len(texts):
            raise DataError(f"{row.place}: there are {len(texts)} words and {len(tags)} tags; each word has one.")
        return tags
    value = row.get(column)
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{row.place}: {column!r} is empty; every row to learn from or to judge by needs one.")
    if recipe.shape == "span":
        return _answers(row, column, value, texts[1])
    if recipe.shape == "choice":
        return _choice(row, column, value, len(texts) - 1, recipe.count_from)
    if recipe.target == "value":
        return _number(row, column, value)
    return types.label(row, column, value)


def _number(row: Row, column: str, value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{row.place}: {column!r} is {value!r}, not a number, which task.target = 'value' needs.")
    return number


def _choice(row: Row, column: str, value: Any, choices: int, count_from: int) -> int:
    text = str(value).strip() if not isinstance(value, bool) else ""
    number = int(text) - count_from if re.fullmatch(r"\d{1,9}", text) else -1
    if not 0 <= number < choices:
        raise DataError(
            f"{row.place}: {column!r} is {value!r}, not the number of one of {choices} choices: {count_from} to "
            f"{count_from + choices - 1} (task.count_from = {count_from})."
        )
    return number


def _answers(row: Row, column: str, value: Any, context: str) -> tuple[Answer, ...]:
    """Return the answers of a text, of a list of texts, or of SQuAD's table {"text": […], "answer_start": […]}."""
    starts: list[Any] = []
    if isinstance(value, dict):
        starts, value = value.get("answer_start") or [], value.get("text")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
        raise DataError(f"{row.place}: {column!r} is no answer; a text of the context is needed, or a list of such.")
    found = []
    for i, text in enumerate(texts):
        start = starts[i] if i < len(starts) and isinstance(starts[i], int) else context.find(text)
        if start < 0 or context[start : start + len(text)] != text:
            raise DataError(
                f"{row.place}: the answer {text!r} does not stand in the context, of which it must be a part."
            )
        found.append(Answer(text, start))
    return tuple(found)


class _Types:
    """Sees to it that all labels of a file are of one type."""

    def __init__(self) -> None:
        self._first: tuple[str, str, Any] | None = None

    def label(self, row: Row, column: str, value: Any) -> str:
        """Return a class as text."""
        kind = _kind(value)
        if kind not in ("a text", "a whole number", "true or false"):
            raise DataError(
                f"{row.place}: {column!r} is {kind}, but classes are texts, whole numbers, or true and false; numbers "
                "are learnt with task.target = 'value'."
            )
        if self._first is None:
            self._first = (kind, row.place, value)
        if kind != self._first[0]:
            raise DataError(
                f"{row.place}: {column!r} is {kind} ({value!r}), but {self._first[0]} ({self._first[2]!r}) in "
                f"{self._first[1]}; all labels must be of one type."
            )
        return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    names = {str: "a text", float: "a number with a fraction", list: "a list", dict: "a table", type(None): "empty"}
    return names.get(type(value), type(value).__name__)


def _short(label: object) -> str:
    """Return a label for a message: a column mistaken for one may hold whole texts."""
    shown = str(label)
    return repr(shown if len(shown) <= 60 else shown[:60] + "…")


def labels_of(items: Sequence[Item]) -> tuple[str, ...]:
    """Return the classes (or tags) of the training items, sorted. Raises `DataError` when there are fewer than 2."""
    found = {t for item in items for t in (item.target if isinstance(item.target, tuple) else (item.target,))}
    names = tuple(sorted(str(name) for name in found))
    if len(names) < 2:
        raise DataError(
            f"All {len(items)} examples, from {items[0].place} on, have the label {_short(names[0])}; to tell apart "
            "there must be 2."
        )
    return names


def check_labels(items: Sequence[Item], labels: Sequence[str]) -> None:
    """Raise `DataError` at the first item whose class, or one of whose tags, is none of `labels`."""
    known = set(labels)
    for item in items:
        for label in item.target if isinstance(item.target, tuple) else (item.target,):
            if label is not None and label not in known:
                shown = ", ".join(map(_short, labels[:10])) + (" …" if len(labels) > 10 else "")
                raise DataError(
                    f"{item.place}: the label {_short(label)} was not seen in training; there it was one of {shown}."
                )

"""A recipe's files as examples for a head: what is learnt, what is held out, and how the head's logits are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt2lab.apps.transfer.decide import Reading
from gpt2lab.apps.transfer.encode import Encoded, Encoder, span_target, tag_target
from gpt2lab.apps.transfer.items import Answer, Item, check_labels, items_of, labels_of
from gpt2lab.apps.transfer.settings import TransferRecipe
from gpt2lab.apps.transfer.table import read_table
from gpt2lab.errors import DataError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train.examples import Example


class Files(NamedTuple):
    """The items of a recipe's files."""

    training: list[Item]
    validation: list[Item]
    test: list[Item]


class Part(NamedTuple):
    """Items, their ids, and the examples that could be made of them: an answer behind the window makes none."""

    items: list[Item]
    encoded: list[Encoded]
    examples: list[Example]

    @property
    def cut(self) -> int:
        """How many items did not fit the window whole."""
        return sum(one.cut for one in self.encoded)


def read_files(recipe: TransferRecipe, data: str) -> Files:
    """Return the items of all files of a recipe. Raises `DataError` naming file and line."""
    if not recipe.path(data).exists():
        raise DataError(f"{recipe.path(data)} does not exist; --folder (task.folder) says where a recipe's files lie.")
    training, validation, test = (
        [
            item
            for name in names
            for item in items_of(read_table(recipe.path(name), kind=recipe.format, header=recipe.header), recipe)
        ]
        for names in ((data,), recipe.validation, recipe.test)
    )
    if recipe.validation_share:
        training, validation = divided(training, recipe.validation_share)
    return Files(training, validation, test)


def divided(items: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    """Return what is learnt and what is held out: the same items whatever their order, by a hash of their texts."""
    if len(items) < 2:
        raise DataError(f"{items[0].place} is the only row; to hold some of them out there must be 2.")
    ranked = sorted(
        items, key=lambda item: hashlib.blake2b("\0".join(item.texts).encode("utf-8", "surrogatepass")).digest()
    )
    count = max(round(len(items) * share), 1)
    chosen = {id(item) for item in ranked[:count]}
    return [i for i in items if id(i) not in chosen], [i for i in items if id(i) in chosen]


def reading_of(recipe: TransferRecipe, files: Files) -> Reading:
    """Return how logits are read, after the training items. Raises `DataError` for labels that these have not."""
    if recipe.head in ("classes", "tags"):
        labels = labels_of(files.training)
        if recipe.positive is not None and recipe.positive not in labels:
            raise DataError(
                f"task.positive = {recipe.positive!r} is none of the labels {', '.join(map(repr, labels))}."
            )
        for part in (files.validation, files.test):
            check_labels(part, labels)
        return Reading(labels)
    if recipe.head == "value":
        values = np.asarray([item.target for item in files.training], np.float64)
        return Reading((), float(values.mean()), float(values.std()) or 1.0)
    return Reading()


def part_of(items: list[Item], recipe: TransferRecipe, tokenizer: Tokenizer, window: int, reading: Reading) -> Part:
    """Return items as ids and examples."""
    encoded = Encoder(tokenizer, recipe.shape, window).encode(items)
    numbers = {label: i for i, label in enumerate(reading.labels)}
    examples = []
    for item, one in zip(items, encoded, strict=True):
        target = _target(item, one, recipe, numbers, reading)
        if target is not None:
            examples.append(one.example(target))
    return Part(items, encoded, examples)


def _target(
    item: Item, encoded: Encoded, recipe: TransferRecipe, numbers: dict[str, int], reading: Reading
) -> np.ndarray[Any, Any] | None:
    target = item.target
    if recipe.head == "value":
        assert isinstance(target, float)
        return np.asarray((target - reading.mean) / reading.spread, np.float32)
    if recipe.head == "choice":
        return np.asarray(target, np.int64)
    if recipe.head == "classes":
        return np.asarray(numbers[str(target)], np.int64)
    assert isinstance(target, tuple)
    if recipe.head == "tags":
        return tag_target(encoded, [numbers[str(tag)] for tag in target])
    places = (span_target(encoded, a) for a in target if isinstance(a, Answer))
    return next((found for found in places if found is not None), None)

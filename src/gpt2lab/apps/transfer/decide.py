"""From a head's logits to what is said of an item, and how good what was said is. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.transfer.encode import Encoded
from gpt2lab.apps.transfer.items import Answer, Item
from gpt2lab.apps.transfer.settings import TransferRecipe
from gpt2lab.metrics import answers, predictions

Array = npt.NDArray[np.float64]

LONGEST_ANSWER = 30
"""Tokens of an answer at most, as SQuAD's baselines have it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How logits are read: the names of the classes, and the mean and spread of the values that were learnt."""

    labels: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an item: a class, a value, the number of a choice (from 0), a tag for each word, or an answer.

    A word behind the window has no tag: "". `probabilities` are those of the classes by name, or of the choices.
    """

    prediction: str | float | int | tuple[str, ...]
    probabilities: tuple[float, ...] = ()


def decide(recipe: TransferRecipe, logits: Array, encoded: Encoded, item: Item, reading: Reading) -> Said:
    """Return what the logits of one item say: (K,) of its classes, (S,) of its choices, (T, K) of tags and spans."""
    if recipe.head == "value":
        return Said(reading.mean + reading.spread * float(logits[0]))
    if recipe.head == "tags":
        best = logits[encoded.places].argmax(1)
        behind = len(item.texts) - len(best)
        return Said((*(reading.labels[i] for i in best), *[""] * behind))
    if recipe.head == "span":
        first, last = best_span(logits[encoded.places, 0], logits[encoded.places, 1])
        return Said(item.texts[1][encoded.spans[first][0] : encoded.spans[last][1]].strip())
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = int(shares.argmax())
    told = tuple(shares.tolist())
    return Said(best if recipe.head == "choice" else reading.labels[best], told)


def best_span(first: Array, last: Array) -> tuple[int, int]:
    """Return the (first, last) token with the highest sum of logits, of at most `LONGEST_ANSWER` tokens."""
    sums = first[:, None] + last[None, :]
    lengths = np.arange(len(last))[None, :] - np.arange(len(first))[:, None]
    sums[(lengths < 0) | (lengths >= LONGEST_ANSWER)] = -np.inf
    start, end = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(start), int(end)


def judged(recipe: TransferRecipe, items: Sequence[Item], said: Sequence[Said], reading: Reading) -> dict[str, float]:
    """Return the measures of what was said of items whose targets are known, by name; all 0 to 1 or -1 to 1."""
    known = [item.target for item in items]
    given = [one.prediction for one in said]
    if recipe.head == "value":
        return predictions.correlations(given, known)
    if recipe.head == "choice":
        return {"accuracy": predictions.accuracy(given, known)}
    if recipe.head == "span":
        pairs: list[tuple[str, list[str]]] = []
        for told, target in zip(given, known, strict=True):
            assert isinstance(target, tuple)
            pairs.append((str(told), [a.text for a in target if isinstance(a, Answer)]))
        return {
            "exact_match": _mean([answers.best(answers.exact_match, told, right) for told, right in pairs]),
            "f1": _mean([answers.best(answers.f1, told, right) for told, right in pairs]),
        }
    if recipe.head == "tags":
        flat = [[tag for tags in one for tag in tags] for one in (given, known)]  # type: ignore[union-attr]
        return predictions.of_classes(flat[0], flat[1], reading.labels)
    return predictions.of_classes(given, known, reading.labels, positive=recipe.positive)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def plain(said: Said, item: Item, recipe: TransferRecipe, reading: Reading) -> Mapping[str, Any]:
    """Return a prediction for a file: where its item stands, what is said, and the target where there is one."""
    shift = recipe.count_from if recipe.head == "choice" else 0
    prediction: Any = said.prediction
    if shift:
        assert isinstance(prediction, int)
        prediction += shift
    made: dict[str, Any] = {"place": item.place, "prediction": prediction}
    if recipe.head == "classes":
        made["probabilities"] = dict(zip(reading.labels, said.probabilities, strict=True))
    elif said.probabilities:
        made["probabilities"] = list(said.probabilities)
    if item.target is not None:
        target: Any = item.target
        if recipe.head == "span":
            target = [answer.text for answer in target]
        made["target"] = target + shift if shift else target
    return made

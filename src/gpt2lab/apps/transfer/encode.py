"""Items as sequences of token ids: GPT-1's input shapes, cut to the window by one rule, with what the head must learn.

    classification   start text extract
    entailment       start premise delimiter hypothesis extract
    similarity       start first delimiter second extract, and the other way round
    choice           start context delimiter choice extract, for every choice
    tags             start words extract; a word's tag is read at its last token, the first that has seen it all
    span             start question delimiter context extract

What is too long loses tokens at its end, of two texts the one that is longer at the time. The three tokens are new
rows of the embeddings; a vocabulary without them (a model of transformers) does without.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2lab.apps.transfer.items import Answer, Item
from gpt2lab.apps.transfer.settings import Shape
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import DataError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import AddedToken
from gpt2lab.train.examples import Example, Ids

START, DELIMITER, EXTRACT = TOKENS = ("<|start|>", "<|delimiter|>", "<|extract|>")


def with_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that has the three tokens, behind all that it had."""
    missing = [name for name in TOKENS if name not in tokenizer.special_tokens]
    if not missing:
        return tokenizer
    old, first = tokenizer.vocabulary, tokenizer.vocab_size
    added = [*old.added, *(AddedToken(name, first + i) for i, name in enumerate(missing))]
    return Tokenizer(dataclasses.replace(old, added=added))


class Encoded(NamedTuple):
    """An item as ids.

    `places` are, of tags, the place of each word's last token, and of spans that of each token of the context; `spans`
    are the characters of the context that each of these stands for. `cut` says whether something did not fit.
    """

    sequences: tuple[Ids, ...]
    places: Ids
    spans: tuple[tuple[int, int], ...]
    cut: bool

    def example(self, target: npt.NDArray[Any] | None) -> Example:
        """Return it as an example for a head, with zeros for a target that is not known."""
        return Example(self.sequences, np.zeros((), np.int64) if target is None else target)


class Encoder:
    """Turns items of one shape into ids of at most `window`."""

    def __init__(self, tokenizer: Tokenizer, shape: Shape, window: int) -> None:
        self._tokenizer, self._shape, self._window = tokenizer, shape, window
        special = tokenizer.special_tokens
        self._start, self._delimiter, self._extract = ([special[n]] if n in special else [] for n in TOKENS)

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Return every item in order."""
        if self._shape == "tags":
            return [self._tags(item) for item in items]
        if self._shape == "span":
            return [self._span(item) for item in items]
        texts = list(dict.fromkeys(text for item in items for text in item.texts))
        ids = dict(zip(texts, self._tokenizer.encode_batch(texts), strict=True))
        return [self._sequences(item, [ids[text] for text in item.texts]) for item in items]

    def _sequences(self, item: Item, texts: list[list[int]]) -> Encoded:
        first, *rest = texts
        if self._shape == "similarity":
            made = [self._pair(first, rest[0]), self._pair(rest[0], first)]
        elif rest:
            made = [self._pair(first, other) for other in rest]
        else:
            made = [self._single(first)]
        if any(not len(ids) for ids, _ in made):
            raise DataError(f"{item.place}: the text has no tokens.")
        return Encoded(tuple(ids for ids, _ in made), np.zeros(0, np.int64), (), any(cut for _, cut in made))

    def _single(self, text: list[int]) -> tuple[Ids, bool]:
        room = self._window - len(self._start) - len(self._extract)
        ids = [*self._start, *text[:room], *self._extract]
        return np.asarray(ids, np.int64), len(text) > room

    def _pair(self, first: list[int], second: list[int]) -> tuple[Ids, bool]:
        room = self._window - len(self._start) - len(self._delimiter) - len(self._extract)
        a, b = shortened(len(first), len(second), room)
        ids = [*self._start, *first[:a], *self._delimiter, *second[:b], *self._extract]
        return np.asarray(ids, np.int64), a + b < len(first) + len(second)

    def _tags(self, item: Item) -> Encoded:
        words = self._tokenizer.encode_batch([(" " if i else "") + word for i, word in enumerate(item.texts)])
        room = self._window - len(self._extract)
        ids, places = list(self._start), []
        for word in words:
            if len(ids) + len(word) > room:
                break
            ids += word
            places.append(len(ids) - 1)
        made = np.asarray([*ids, *self._extract], np.int64)
        if not places:
            raise DataError(f"{item.place}: not even the first word fits a window of {self._window} tokens.")
        return Encoded((made,), np.asarray(places, np.int64), (), len(places) < len(words))

    def _span(self, item: Item) -> Encoded:
        question, context = item.texts
        asked = self._tokenizer.encode(question)
        read = self._tokenizer.encode_with_offsets(context)
        around = len(self._start) + len(self._delimiter) + len(self._extract)
        asked = asked[: max(self._window - around - len(read.ids), self._window // 4)]
        ids = [*self._start, *asked, *self._delimiter]
        room = self._window - len(ids) - len(self._extract)
        kept = read.ids[:room]
        spans = tuple((start, end) for start, end in read.char_spans[:room])
        made = np.asarray([*ids, *kept, *self._extract], np.int64)
        return Encoded((made,), len(ids) + np.arange(len(kept)), spans, len(kept) < len(read.ids))


def shortened(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of two texts fit together: the longer one is cut until they do, then both alike."""
    over = first + second - room
    if over <= 0:
        return first, second
    difference = abs(first - second)
    if over <= difference:
        return (first - over, second) if first > second else (first, second - over)
    each = room // 2
    return (room - each, each) if first >= second else (each, room - each)


def span_target(encoded: Encoded, answer: Answer) -> Ids | None:
    """Return the places of an answer's first and last token; None when the window does not hold it."""
    end = answer.start + len(answer.text)
    inside = [i for i, (a, b) in enumerate(encoded.spans) if a < end and b > answer.start]
    if not inside or encoded.spans[inside[-1]][1] < end:
        return None
    return encoded.places[[inside[0], inside[-1]]]


def tag_target(encoded: Encoded, tags: Sequence[int]) -> Ids:
    """Return a target for each token: a word's tag at its last one, none elsewhere."""
    made = np.full(len(encoded.sequences[0]), IGNORE, np.int64)
    made[encoded.places] = tags[: len(encoded.places)]
    return made

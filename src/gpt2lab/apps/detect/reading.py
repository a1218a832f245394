"""A text as a language model reads it: tokens, where they stand, and what the model made of each.

Line breaks and runs of blanks say more of how a collection was made than of who wrote it (docs/detection.md), so they
are read as single blanks unless asked otherwise; places are always those of the text as it was given. Knows no
detector.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpt2lab.engine.moments import Moments, moments_of
from gpt2lab.engine.protocol import Ids
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.tokenizer import Tokenizer

_WORD = re.compile(r"\S+")
_PROBE = "The ship had been three weeks at sea before anybody noticed that the second mate could not read a chart."
_NONE = np.zeros(0, np.float32)
NOTHING = Moments(
    _NONE, np.zeros(0, np.int32), _NONE, _NONE, _NONE, _NONE, np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32)
)
"""What is known of a text before it is measured."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text of n tokens: `spans` are (first, one past the last) characters of `text`, `plain` is what was read.

    `referred`: a second model's distributions stand in the moments.
    """

    text: str
    plain: str
    ids: Ids
    tokens: list[str]
    spans: list[tuple[int, int]]
    ends: list[int]
    moments: Moments
    referred: bool = False

    @property
    def words(self) -> int:
        """Number of words, which white space separates."""
        return len(self.text.split())

    def tokens_of(self, words: int) -> int:
        """Return how many tokens hold the first `words` words, all of them where there are no more."""
        last = next(itertools.islice(_WORD.finditer(self.plain), words - 1, None), None)
        return len(self.ids) if last is None else bisect.bisect_left(self.ends, last.end()) + 1


class Reader:
    """Reads texts with a model; `reference` is a second one of the same vocabulary, for Binoculars.

    Raises `CheckpointError` for a model without a tokenizer, `RequestError` for two that do not fit together.
    """

    def __init__(
        self, lm: LanguageModel, reference: LanguageModel | None = None, *, layout: bool = False, name: str = ""
    ) -> None:
        self.lm, self.reference, self.layout, self.name = lm, reference, layout, name or lm.source
        self.tokenizer = _tokenizer(lm)
        self._context = lm.bos_id()
        if reference is not None:
            other = _tokenizer(reference)
            if other.vocab_size != self.tokenizer.vocab_size or any(
                other.token_bytes(i) != self.tokenizer.token_bytes(i) for i in range(other.vocab_size)
            ):
                raise RequestError(
                    f"{lm.source} and {reference.source} have different vocabularies; two models of one vocabulary "
                    "are needed, such as gpt2 and gpt2-medium."
                )

    def probe(self) -> float:
        """Return the mean log-probability of a fixed sentence, by which a model is known again."""
        ids = np.asarray(self.tokenizer.encode(_PROBE), np.int32)
        return float(moments_of(self.lm.backend, ids, context=self._context).logprobs.mean(dtype=np.float64))

    def encode(self, text: str) -> Ids:
        """Return the ids that `read` measures."""
        plain = text if self.layout else flattened(text)[0]
        return np.asarray(self.tokenizer.encode(plain), np.int32)

    def read(self, text: str, *, top: int = 0, progress: Callable[[int], None] | None = None) -> Reading:
        """Measure a text; with `top`, the likeliest tokens of every place too. Raises `RequestError` for an empty one.

        `progress(n)` says that n more tokens are done.
        """
        whole = self._tokens(text)
        moments = moments_of(
            self.lm.backend, whole.ids, context=self._context, top=top, progress=progress,
            reference=self.reference.backend if self.reference is not None else None,
        )  # fmt: skip
        return replace(whole, moments=moments, referred=self.reference is not None)

    def alone(self, reading: Reading) -> Reading:
        """Return a reading as it is without the reference."""
        moments = moments_of(self.lm.backend, reading.ids, context=self._context)
        return replace(reading, moments=moments, referred=False)

    def reread(self, text: str, moments: Moments) -> Reading:
        """Return the reading of a text that was measured before. Raises `RequestError` where the two do not fit."""
        whole = replace(self._tokens(text), moments=moments)
        if len(whole.ids) != len(moments.ranks):
            raise RequestError("These measurements are those of another text or vocabulary.")
        return whole

    def _tokens(self, text: str) -> Reading:
        plain, places = (text, None) if self.layout else flattened(text)
        if not plain:
            raise RequestError("There is no text to measure; give at least one character that is no blank.")
        encoded = self.tokenizer.encode_with_offsets(plain)
        spans = flat = [(int(a), int(b)) for a, b in encoded.char_spans]
        if places is not None:
            spans = [(places[a], places[b - 1] + 1) if b > a else (places[a], places[a]) for a, b in flat]
        return Reading(
            text=text,
            plain=plain,
            ids=np.asarray(encoded.ids, np.int32),
            tokens=self.tokenizer.token_texts(encoded.ids),
            spans=spans,
            ends=[b for _, b in flat],
            moments=NOTHING,
        )


def flattened(text: str) -> tuple[str, list[int]]:
    """Return a text with one blank for every run of white space and none around it, and where each character stood."""
    plain: list[str] = []
    places: list[int] = []
    for word in _WORD.finditer(text):
        if plain:
            plain.append(" ")
            places.append(word.start() - 1)
        plain.append(word[0])
        places.extend(range(*word.span()))
    return "".join(plain), [*places, len(text)]


def _tokenizer(lm: LanguageModel) -> Tokenizer:
    if lm.tokenizer is None:
        raise CheckpointError(f"Detection needs a tokenizer, but {lm.source} has none.")
    return lm.tokenizer

"""Fields to token ids and back: every field stands between two tokens of its own, which no text can contain.

Knows a tokenizer, not models. Two tables share the one codec: any tokenizer with the field tokens added behind its own
(`with_fields`), and Grover's (`grover_tokenizer`), whose ids are GPT-2's moved up by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gpt2lab.apps.articles.fields import FIELD_TOKENS, FIELDS, PADDING, Field, begin_token, end_token
from gpt2lab.errors import CheckpointError, TokenizerError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, AddedToken, Vocabulary

TOKENS = (PADDING, *FIELD_TOKENS)
"""What a tokenizer needs for articles."""

_GROVER_BASE, _RESET = 50257, "<|resetcontext|>"


class Context(NamedTuple):
    """A prompt for a field: its ids, and how many tokens of the other fields did not fit and were left out."""

    ids: list[int]
    cut: int


class Codec:
    """Turns fields into ids and back. Raises `CheckpointError` when the tokenizer lacks the field tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.special_tokens
        if missing := [name for name in TOKENS if name not in special]:
            raise CheckpointError(
                f"This model knows no fields of articles (its vocabulary has no {missing[0]}); train one with "
                "gpt2lab article train, and give its folder with --model."
            )
        self.tokenizer = tokenizer
        self.begin: dict[Field, int] = {f: special[begin_token(f)] for f in FIELDS}
        self.end: dict[Field, int] = {f: special[end_token(f)] for f in FIELDS}
        self.padding = special[PADDING]
        self.start: list[int] = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        self._begun: dict[int, Field] = {i: f for f, i in self.begin.items()}
        self._special = frozenset(special.values())

    def piece(self, field: Field, text: str) -> list[int]:
        """Return the ids of a field with its two tokens; special tokens in the text are plain text."""
        return [self.begin[field], *self.tokenizer.encode(text), self.end[field]]

    def encode(self, texts: Mapping[Field, str], order: Sequence[Field] = FIELDS) -> list[int]:
        """Return the ids of the fields that are there, one behind the other in `order`."""
        return [i for field in order if field in texts for i in self.piece(field, texts[field])]

    def decode(self, ids: Sequence[int]) -> dict[Field, str]:
        """Return the fields that ids hold, in their order.

        A field that was cut (its end is missing) has the text there is; what stands in no field is passed over.
        """
        found: dict[Field, str] = {}
        field: Field | None = None
        text: list[int] = []
        for i in [*ids, self.padding]:
            if i not in self._special:
                text.append(i)
                continue
            if field is not None:
                found[field] = self.tokenizer.decode(text)
            field, text = self._begun.get(i), []
        return found

    def context(self, texts: Mapping[Field, str], target: Field, most: int) -> Context:
        """Return a prompt of at most `most` tokens for `target`: all other fields in canonical order, then its begin.

        Where that is too long the body loses its end, and a padding token marks the place, as in training. Fields that
        are too long even without a body lose their end.
        """
        pieces = {field: self.piece(field, text) for field, text in texts.items() if field != target}
        room = max(most - len(self.start) - 1, 0)
        total = sum(map(len, pieces.values()))
        if total > room and "article" in pieces:
            body = pieces["article"]
            left = max(room - (total - len(body)) - 1, 0)
            pieces["article"] = [*body[:left], self.padding] if left > 1 else []
        ids = [i for field in FIELDS for i in pieces.get(field, ())][:room]
        return Context([*self.start, *ids, self.begin[target]], total - len([i for i in ids if i != self.padding]))

    def foreign(self, target: Field, vocab_size: int) -> list[int]:
        """Return the ids that must not be written in `target`: every special one but its end, and ids of no token."""
        unused = range(self.tokenizer.vocab_size, vocab_size)
        return [*sorted(self._special - {self.end[target]}), *unused]


def with_fields(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that knows the field tokens too, behind all it had; which fill batches if none did."""
    return Tokenizer(tokenizer.vocabulary.with_special(TOKENS, roles={"pad": PADDING}))


def grover_tokenizer(gpt2: Tokenizer) -> Tokenizer:
    """Return Grover's tokenizer, made of GPT-2's: `<|padding|>` is 0, other ids are one higher, `<|endoftext|>` is out.

    The field tokens are 50257 to 50268 and `<|resetcontext|>` 50269. Raises `TokenizerError` for another vocabulary
    than GPT-2's.
    """
    table = gpt2.vocabulary
    if gpt2.vocab_size != _GROVER_BASE or table.token_ids().get(END_OF_TEXT) != _GROVER_BASE - 1:
        raise TokenizerError(
            f"Grover's table is made of GPT-2's own vocabulary of {_GROVER_BASE} tokens; this one has "
            f"{gpt2.vocab_size}."
        )
    vocab = {token: i + 1 for token, i in table.token_ids().items() if token != END_OF_TEXT}
    names = [*FIELD_TOKENS, _RESET]
    added = [AddedToken(PADDING, 0), *(AddedToken(n, _GROVER_BASE + i) for i, n in enumerate(names))]
    made: Vocabulary = dataclasses.replace(table, vocab=vocab, added=added, roles={"pad": PADDING})
    return Tokenizer(made)

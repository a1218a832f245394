"""A tokenizer's tables as plain data: tokens, merges, added tokens and their roles, checked when made.

Knows nothing of files (readers and writers turn this into files and back) nor of how text is split.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from gpt2lab.errors import TokenizerError

END_OF_TEXT = "<|endoftext|>"
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

Kind = Literal["byte-level", "wordpiece", "words"]
"""How text becomes tokens: GPT-2's byte-level BPE, BERT's WordPiece, or words between blanks, each a token."""


@dataclasses.dataclass(frozen=True, slots=True)
class AddedToken:
    """A token matched whole before the text is split; a `special` one only where the caller allows it.

    `lstrip` and `rstrip` swallow the white space beside it, `single_word` wants word borders around it, `normalized`
    matches after normalisation: the flags of Hugging Face's `tokenizer.json`.
    """

    content: str
    id: int
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Everything that defines a tokenizer.

    `vocab` maps the model's own tokens to ids (byte-level ones spelt in GPT-2's alphabet), `merges` are in order of
    priority, `roles` maps "eos", "bos", "pad", ... to a token. `normalizer` and `pre_tokenizer` are those parts of a
    `tokenizer.json`; None means none and GPT-2's own. Raises `TokenizerError` when the tables contradict each other.
    """

    kind: Kind = "byte-level"
    vocab: Mapping[str, int]
    merges: Sequence[tuple[str, str]] = ()
    added: Sequence[AddedToken] = ()
    roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    normalizer: Mapping[str, Any] | None = None
    pre_tokenizer: Mapping[str, Any] | None = None
    ignore_merges: bool = False

    def __post_init__(self) -> None:
        _check_ids(self.vocab, self.added)
        _check_merges(self.vocab, self.merges)
        tokens = self.token_ids()
        for role, token in self.roles.items():
            if token not in tokens:
                raise TokenizerError(f"The {role} token {token!r} is not in the vocabulary.")

    def token_ids(self) -> dict[str, int]:
        """Return every token with its id, the added ones included."""
        return {**self.vocab, **{token.content: token.id for token in self.added}}

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens with their ids, in order of id."""
        return {t.content: t.id for t in sorted(self.added, key=lambda t: t.id) if t.special}

    def with_special(self, names: Sequence[str], *, roles: Mapping[str, str] | None = None) -> Vocabulary:
        """Return a vocabulary in which `names` are special tokens too, new ones with the next free ids in order.

        `roles` go to who has none. Raises `TokenizerError` for a name that is an ordinary token.
        """
        known, special = self.token_ids(), self.special_tokens
        if plain := [name for name in names if name in known and name not in special]:
            raise TokenizerError(f"{plain[0]!r} is an ordinary token of this vocabulary already.")
        new = [name for name in dict.fromkeys(names) if name not in known]
        added = [*self.added, *(AddedToken(name, len(known) + i) for i, name in enumerate(new))]
        return dataclasses.replace(self, added=added, roles={**(roles or {}), **self.roles})


def looked_up(names: Collection[str], vocab: Mapping[str, int]) -> dict[str, int]:
    """Return the ids of special tokens that are in `vocab`; one that is not is a `TokenizerError`."""
    if missing := [name for name in names if name not in vocab]:
        raise TokenizerError(f"The special token {missing[0]!r} is not in the vocabulary.")
    return {name: vocab[name] for name in names}


def _check_ids(vocab: Mapping[str, int], added: Collection[AddedToken]) -> None:
    if _ids_are_sound(vocab, added):
        return
    owner: dict[int, str] = {}
    for token, number in [*vocab.items(), *((t.content, t.id) for t in added)]:
        if not isinstance(token, str) or type(number) is not int or number < 0:
            raise TokenizerError(f"A vocabulary maps tokens to ids from 0; {token!r}: {number!r} does not.")
        if owner.setdefault(number, token) != token:
            raise TokenizerError(f"Id {number} is given twice: to {owner[number]!r} and to {token!r}.")
        if vocab.get(token, number) != number:
            raise TokenizerError(f"Token {token!r} has two ids: {vocab[token]} and {number}.")
    if not owner:
        raise TokenizerError("The vocabulary is empty.")
    if max(owner) != len(owner) - 1:
        gap = next(number for number in range(len(owner)) if number not in owner)
        raise TokenizerError(f"No token has id {gap}, yet ids go up to {max(owner)}; ids must run from 0 without gaps.")


def _ids_are_sound(vocab: Mapping[str, int], added: Collection[AddedToken]) -> bool:
    """Tell in a few passes at C speed whether all is well, as it nearly always is."""
    tokens = {**vocab, **{t.content: t.id for t in added}}
    ids = set(tokens.values())
    kinds = set(map(type, tokens)), set(map(type, ids))
    return (
        kinds == ({str}, {int})
        and len(ids) == len(tokens) == max(ids) + 1
        and min(ids) == 0
        and all(vocab.get(t.content, t.id) == t.id for t in added)
    )


def _check_merges(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
    parts = set(itertools.chain.from_iterable(merges))
    if vocab.keys() >= parts and all(map(vocab.__contains__, map("".join, merges))) and set(map(len, merges)) <= {2}:
        return
    for place, (left, right) in enumerate(merges, start=1):
        for token in (left, right, left + right):
            if token not in vocab:
                raise TokenizerError(
                    f"Merge {place} ({left!r} + {right!r}) needs token {token!r}, not in the vocabulary."
                )

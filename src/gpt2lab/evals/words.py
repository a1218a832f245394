"""The likeliest whole word behind a text: a search over tokens, best beginnings first.

The probability of a word is that of its tokens times that of no further token belonging to it. Beginnings are followed
in the order of their probability, which only falls as they grow, so the first word that is likelier than every
beginning left over is the likeliest there is (A* with the trivial bound; Hart et al. 1968).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.likelihood import log_softmax
from gpt2lab.engine.protocol import Backend, Cache, Floats, Ids
from gpt2lab.tokenizer import Tokenizer

Mask = npt.NDArray[np.bool_]

_TOGETHER = 8  # beginnings that go through the model at once
_BRANCHES = 64  # continuations of one beginning that are looked at
_LONGEST = 12  # tokens of a word


class TokenKinds:
    """Which tokens of a vocabulary begin a word (a blank and a letter or digit), go on with one, or leave one open."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokens = [tokenizer.token_bytes(i) for i in range(min(tokenizer.vocab_size, vocab_size))]
        self._special = set(tokenizer.special_tokens.values())
        self._size = vocab_size

    def text(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return self._tokens[token]

    @cached_property
    def begins(self) -> Mask:
        """Tokens that begin a word behind a blank of their own."""
        return self._mask([t[:1] == b" " and _in_word(t[1:]) for t in self._tokens])

    @cached_property
    def goes_on(self) -> Mask:
        """Tokens that belong to the word before them."""
        return self._mask([_in_word(t) for t in self._tokens])

    @cached_property
    def leaves_open(self) -> Mask:
        """Tokens behind which a word may go on: those that end with a letter, a digit, or part of one beyond ASCII."""
        return self._mask([t[-1:].isalnum() or t[-1:] >= b"\x80" for t in self._tokens])

    def _mask(self, found: Sequence[bool]) -> Mask:
        mask = np.zeros(self._size, np.bool_)
        mask[: len(found)] = found
        mask[list(self._special)] = False
        return mask


def _in_word(token: bytes) -> bool:
    """Tell whether a token begins as the inside of a word does: a letter, a digit, part of one beyond ASCII, or an
    apostrophe or hyphen with such a thing behind it."""
    first = token[:1]
    if first in (b"'", b"-"):
        return _in_word(token[1:2])
    return first.isalnum() or first >= b"\x80"


class _Beginning(NamedTuple):
    """Sorts by probability, likely ones first, and by ids among equals."""

    cost: float
    ids: tuple[int, ...]
    cache: Cache  # of everything before the last id


def likeliest_word(
    backend: Backend, kinds: TokenKinds, context: Ids, without: Collection[str], width: int
) -> tuple[str, float]:
    """Return the likeliest whole word behind `context` that is not among `without`, and its log-probability.

    ("", -inf) where none is found among `width` beginnings. The context may be as long as the window less `_LONGEST`.
    """
    cache = backend.new_cache()
    (first,) = log_softmax(backend.forward([cache], [context]))
    heap = _grown(_Beginning(0.0, (), cache), first, kinds.begins, cache)
    heapq.heapify(heap)
    best, best_cost, followed = "", np.inf, 0
    while heap and heap[0].cost < best_cost and followed < width:
        count = min(_TOGETHER, width - followed, len(heap))
        chosen = [heapq.heappop(heap) for _ in range(count)]
        chosen = [beginning for beginning in chosen if beginning.cost < best_cost]
        followed += len(chosen)
        forks = [beginning.cache.fork() for beginning in chosen]
        behind = log_softmax(backend.forward(forks, [np.asarray(b.ids[-1:], np.int32) for b in chosen]))
        for beginning, fork, row in zip(chosen, forks, behind, strict=True):
            ending = float(np.exp(row[~kinds.goes_on].astype(np.float64)).sum())
            cost = beginning.cost - float(np.log(ending)) if ending > 0 else np.inf
            word = b"".join(map(kinds.text, beginning.ids))[1:].decode("utf-8", "replace")
            if cost < best_cost and word not in without:
                best, best_cost = word, cost
            if len(beginning.ids) < _LONGEST:
                for grown in _grown(beginning, row, kinds.goes_on, fork):
                    if grown.cost < best_cost:
                        heapq.heappush(heap, grown)
    return best, -best_cost


def longest_context(n_positions: int) -> int:
    """Return how many tokens of context leave room for a word."""
    return max(n_positions - _LONGEST, 1)


def _grown(beginning: _Beginning, logprobs: Floats, allowed: Mask, cache: Cache) -> list[_Beginning]:
    ids = np.flatnonzero(allowed)
    best = ids[np.argsort(-logprobs[ids], kind="stable")[:_BRANCHES]]
    return [_Beginning(beginning.cost - float(logprobs[i]), (*beginning.ids, int(i)), cache) for i in best]

"""The next word of several prompts: exact probabilities of tokens, and of words that several tokens spell.

Where a word ends is said by `gpt2lab.evals.words.TokenKinds`. Its probability is that of its tokens
times that of such an ending, summed over every way of spelling it that the search meets. The search follows a beginning
as long as at least one prompt gives it `floor` or more, and measures it for all prompts alike; what it leaves aside is
`rest`, so that nothing is estimated and nothing hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.protocol import Backend, Cache, Ids
from gpt2lab.errors import RequestError
from gpt2lab.evals.words import TokenKinds
from gpt2lab.tokenizer import Tokenizer

Probabilities = npt.NDArray[np.float64]

LONGEST = 12
"""Tokens of a word; longer ones fall to the rest."""

_ROWS = 32  # forward passes at a time


@dataclass(frozen=True, slots=True, eq=False)
class NextWords:
    """What follows each of n prompts.

    tokens: (n, vocab_size), the exact distribution of the next token. words: probabilities (n,) by word; a word that is
    joined to the prompt begins with "+". rest: (n,), the probability of all other words.
    """

    tokens: Probabilities
    words: dict[str, Probabilities]

    @property
    def rest(self) -> Probabilities:
        """The probability that none of `words` follows."""
        total = sum(self.words.values(), np.zeros(len(self.tokens)))
        return np.maximum(0.0, 1.0 - total)

    @property
    def outcomes(self) -> Probabilities:
        """The words and the rest as distributions, (n, words + 1)."""
        return np.stack([*self.words.values(), self.rest], axis=1)


def next_words(
    backend: Backend, tokenizer: Tokenizer, kinds: TokenKinds, prompts: Sequence[Ids], *, floor: float = 1e-3
) -> NextWords:
    """Return what follows each prompt, token by token exactly and word by word down to `floor`.

    Raises `RequestError` for a `floor` that is not between 0 and 1, and for a prompt that leaves no room in the window.
    """
    if not 0 < floor < 1:
        raise RequestError(f"floor = {floor!r} must be more than 0 and less than 1.")
    room = backend.config.n_positions - LONGEST
    for ids in prompts:
        if len(ids) > room:
            raise RequestError(f"A prompt of {len(ids)} tokens leaves no room for a word; at most {room} are possible.")
    roots = [backend.new_cache() for _ in prompts]
    tokens = _softmax(backend.forward(roots, list(prompts)))  # (n, V)
    search = _Search(backend, tokenizer, kinds, roots, floor)
    paths = search.kept([()], np.ones((1, len(prompts))), tokens[None])
    while paths:
        paths = search.step(paths)
    return NextWords(tokens, search.words)


@dataclass(frozen=True, slots=True)
class _Path:
    """Tokens that begin a word, and the probability (n,) of them behind each prompt."""

    ids: tuple[int, ...]
    probability: Probabilities


@dataclass(slots=True)
class _Search:
    """Words found so far; one `step` makes every open beginning a token longer."""

    backend: Backend
    tokenizer: Tokenizer
    kinds: TokenKinds
    roots: list[Cache]
    floor: float
    words: dict[str, Probabilities] = field(default_factory=dict)

    def step(self, paths: list[_Path]) -> list[_Path]:
        n = len(self.roots)
        longer: list[_Path] = []
        at_once = max(1, _ROWS // n)
        for at in range(0, len(paths), at_once):
            part = paths[at : at + at_once]
            caches = [root.fork() for _ in part for root in self.roots]
            ids = [np.asarray(path.ids, np.int32) for path in part for _ in range(n)]
            behind = _softmax(self.backend.forward(caches, ids)).reshape(len(part), n, -1)  # (paths, n, V)
            for path, ending in zip(part, behind[:, :, ~self.kinds.goes_on].sum(axis=2), strict=True):
                self._found(path.ids, path.probability * ending)
            behind[:, :, ~self.kinds.goes_on] = 0.0
            longer += self.kept([p.ids for p in part], np.stack([p.probability for p in part]), behind)
        return longer

    def kept(self, before: list[tuple[int, ...]], probability: Probabilities, behind: Probabilities) -> list[_Path]:
        """Return the beginnings that are one token longer and likely enough; those that end no word are words.

        probability: (paths, n); behind: (paths, n, V), zero where a token may not follow.
        """
        paths: list[_Path] = []
        for ids, own, rows in zip(before, probability, behind, strict=True):
            reached = own[:, None] * rows  # (n, V)
            for token in np.flatnonzero(reached.max(axis=0) >= self.floor):
                longer, p = (*ids, int(token)), reached[:, token].copy()
                if self.kinds.leaves_open[token] and len(longer) < LONGEST:
                    paths.append(_Path(longer, p))
                elif not self.kinds.leaves_open[token]:
                    self._found(longer, p)
        return paths

    def _found(self, ids: tuple[int, ...], probability: Probabilities) -> None:
        if max(ids) >= self.tokenizer.vocab_size:  # padding of the embedding matrix, which spells nothing
            return
        text = self.tokenizer.decode(list(ids), errors="backslashreplace")  # broken bytes stay apart
        word = text[1:] if text[:1] == " " and text[1:2].isalnum() else f"+{text}" if text[:1].isalnum() else text
        self.words[word] = self.words.get(word, np.zeros(len(self.roots))) + probability


def _softmax(logits: npt.NDArray[np.float32]) -> Probabilities:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    np.exp(wide, out=wide)
    wide /= wide.sum(axis=-1, keepdims=True)
    return wide

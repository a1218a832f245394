"""Looking ahead: how a text would go on after each of its likeliest next tokens, along its likeliest paths, in words.

Every function is a generator that yields between two steps of the model, so that a scheduler can run other work
there. All probabilities are the model's own. A step reads one token of each path, on forks of one cache.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, Cache, Floats, Ids
from gpt2lab.engine.score import largest, read_pieces

_BATCHES = 8  # steps after which a search for words ends with what it has

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Path:
    """Tokens that may come next, and the log-probability of each after those before it; `logprob`: of all together.

    Of a word, `logprob` counts too that the word ends there.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    logprob: float


@dataclass(slots=True)
class _Branch:
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    cache: Cache  # of the text and all ids but the last
    logprob: float

    def grown(self, token: int, logprob: float, cache: Cache) -> _Branch:
        """Return the branch with one token more, whose cache holds this one's tokens."""
        return _Branch((*self.ids, token), (*self.logprobs, logprob), cache, self.logprob + logprob)


def most_steps(backend: Backend, window: Ids, steps: int) -> int:
    """Return how many of `steps` tokens can be looked at before the window is full: the last of them is not read."""
    return min(steps, backend.config.n_positions - len(window) + 1)


def greedy_pieces(
    backend: Backend, window: Ids, k: int, steps: int, prefixes: PrefixCache | None, *, piece: int | None = None
) -> Generator[int, None, list[Path]]:
    """Return, for each of the k likeliest next tokens, the path of `steps` tokens that takes the likeliest ones."""
    branches = yield from _first(backend, window, k, prefixes, piece)
    for _ in range(most_steps(backend, window, steps) - 1):
        logprobs = _step(backend, branches)
        best = logprobs.argmax(axis=1).tolist()
        branches = [
            b.grown(token, float(row[token]), b.cache) for b, row, token in zip(branches, logprobs, best, strict=True)
        ]
        yield len(branches[0].ids)
    return [Path(b.ids, b.logprobs, b.logprob) for b in branches]


def path_pieces(
    backend: Backend, window: Ids, k: int, steps: int, prefixes: PrefixCache | None, *, piece: int | None = None
) -> Generator[int, None, list[Path]]:
    """Return k of the likeliest paths of `steps` tokens, likeliest first, as a beam of k finds them."""
    branches = yield from _first(backend, window, k, prefixes, piece)
    for _ in range(most_steps(backend, window, steps) - 1):
        logprobs = _step(backend, branches)
        branches = _grown(branches, logprobs, k, k)
        yield len(branches[0].ids)
    return [Path(b.ids, b.logprobs, b.logprob) for b in branches]


def word_pieces(
    backend: Backend,
    window: Ids,
    k: int,
    goes_on: Callable[[Sequence[int]], Mask | None],
    prefixes: PrefixCache | None,
    *,
    piece: int | None = None,
) -> Generator[int, None, list[Path]]:
    """Return up to k of the likeliest next words, likeliest first, each along one path of tokens.

    `goes_on(ids)` says which tokens (vocab_size,) would go on with the word that `ids` begin, None where it is whole.
    A word's probability is that of its tokens and of none coming that goes on with it. Best first: what is still open
    can only become less likely, so the search ends when k words are likelier than all of it, or after a few steps.
    """
    open_ = yield from _first(backend, window, 2 * k, prefixes, piece)
    words: list[Path] = []
    room = most_steps(backend, window, 1 + _BATCHES) - 1
    for _ in range(room):
        asked: list[tuple[_Branch, Mask]] = []
        for branch in open_:
            mask = goes_on(branch.ids)
            if mask is None:
                words.append(Path(branch.ids, branch.logprobs, branch.logprob))
            else:
                asked.append((branch, mask))
        least = sorted((w.logprob for w in words), reverse=True)[k - 1] if len(words) >= k else -np.inf
        asked = [(b, mask) for b, mask in asked if b.logprob > least]
        if not asked:
            break
        logprobs = _step(backend, [b for b, _ in asked])
        inside = []
        for (branch, mask), row in zip(asked, logprobs, strict=True):
            ends = float(np.logaddexp.reduce(row[~mask])) if not mask.all() else -np.inf
            words.append(Path(branch.ids, branch.logprobs, branch.logprob + ends))
            inside.append(np.where(mask, row, -np.inf))
        open_ = _grown([b for b, _ in asked], inside, k, 2 * k)
        yield len(words)
    return sorted((w for w in words if np.isfinite(w.logprob)), key=lambda w: -w.logprob)[:k]


def _first(
    backend: Backend, window: Ids, k: int, prefixes: PrefixCache | None, piece: int | None
) -> Generator[int, None, list[_Branch]]:
    """Read the text and return the k likeliest first tokens."""
    check_whole("k", k, 1)
    logits, cache = yield from read_pieces(backend, window, prefixes, piece=piece)
    logprobs = _log_softmax(logits)
    best = largest(logprobs, k).tolist()
    return [_Branch((t,), (float(logprobs[t]),), cache.fork(), float(logprobs[t])) for t in best]


def _step(backend: Backend, branches: Sequence[_Branch]) -> npt.NDArray[np.float64]:
    """Read the last token of each branch; return the log-probabilities (branches, vocab_size) of the next."""
    last = [np.asarray([b.ids[-1]], np.int32) for b in branches]
    return _log_softmax(backend.forward([b.cache for b in branches], last))


def _grown(
    branches: Sequence[_Branch], logprobs: Iterable[npt.NDArray[np.float64]], each: int, most: int
) -> list[_Branch]:
    """Return the `most` likeliest branches that are one token longer, at most `each` of every branch."""
    found = [
        (branch.logprob + float(row[t]), branch, t, float(row[t]))
        for branch, row in zip(branches, logprobs, strict=True)
        for t in largest(row, each).tolist()
        if np.isfinite(row[t])
    ]
    found.sort(key=lambda one: -one[0])
    return [branch.grown(t, logprob, branch.cache.fork()) for _, branch, t, logprob in found[:most]]


def _log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return wide

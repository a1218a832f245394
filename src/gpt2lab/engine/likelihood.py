"""How likely given continuations are behind given contexts: many pairs at once, contexts that are alike computed once.

The contexts of a batch go through the model together, of each only the last place is turned into logits; then come the
rest of the continuations, each on a fork of its context's cache. What all contexts of a batch begin with (the examples
of a few-shot prompt) is computed once and kept in a `PrefixCache`. None of this changes a bit of a result: the backend
computes a row alike whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import gpt2lab._native as _native
from gpt2lab.engine.native import choose_isa
from gpt2lab.engine.prefix import PrefixCache, shared_length
from gpt2lab.engine.protocol import Backend, Cache, Floats, Ids
from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config

_MOST_CONTEXTS = 64
_MOST_TOKENS = 4096  # of a batch's contexts
_CACHE_BYTES = 512 * 2**20  # for the keys and values of them
_LOGIT_BYTES = 64 * 2**20  # for the logits held at once
_TRUNK = 32  # shared beginnings from which on they are kept apart


class Pair(NamedTuple):
    """A continuation of at least one token, and the tokens before it, at least one."""

    context: Ids
    continuation: Ids


class Likelihood(NamedTuple):
    """The log-probability of each token of a continuation, float32, the likeliest token in its place, and the likeliest
    one of those that are allowed there."""

    logprobs: Floats
    likeliest: Ids
    allowed: Ids

    def greedy(self, continuation: Ids) -> bool:
        """Whether the continuation is what the model writes when it always takes the likeliest token."""
        return bool(np.array_equal(self.likeliest, continuation))


def cut_to_window(pair: Pair, n_positions: int) -> Pair:
    """Return a pair with the beginning of its context left out where it is longer than the model's window.

    The last token of a continuation is read by nobody, so context and continuation have one token more than the window.
    Raises `RequestError` where the continuation alone is longer than the window.
    """
    if len(pair.continuation) > n_positions:
        raise RequestError(
            f"A continuation of {len(pair.continuation)} tokens does not fit the model's window of {n_positions}; "
            "measure it as a text of its own."
        )
    return pair._replace(context=pair.context[-(n_positions + 1 - len(pair.continuation)) :])


def likelihoods(
    backend: Backend, pairs: Sequence[Pair], prefixes: PrefixCache | None = None, *, without: Ids | None = None
) -> Iterator[tuple[int, Likelihood]]:
    """Yield (number of the pair, its `Likelihood`) for every pair, longest contexts first, pairs of one context
    together.

    Contexts are cut from the left to the model's window. `without`: ids that are not allowed as likeliest. Raises
    `RequestError` where there is nothing to continue or nothing to measure.
    """
    if any(len(pair.context) == 0 or len(pair.continuation) == 0 for pair in pairs):
        raise RequestError("A pair needs a context and a continuation of at least one token each.")
    cut = [cut_to_window(pair, backend.config.n_positions) for pair in pairs]
    of_context: dict[bytes, list[int]] = {}
    for i, pair in enumerate(cut):
        of_context.setdefault(pair.context.tobytes(), []).append(i)
    groups = sorted(of_context.values(), key=lambda g: (-len(cut[g[0]].context), cut[g[0]].context.tolist()))
    most = max(min(_MOST_TOKENS, _CACHE_BYTES // _cache_bytes(backend.config)), 1)
    for batch in _batches(groups, [len(cut[g[0]].context) for g in groups], most):
        yield from _measure(backend, cut, batch, prefixes, without)


def _cache_bytes(config: GPT2Config) -> int:
    """Return the bytes of keys and values of one token, in float32."""
    return 2 * 4 * config.n_layer * config.n_embd


def _batches(groups: list[list[int]], lengths: list[int], most: int) -> Iterator[list[list[int]]]:
    batch: list[list[int]] = []
    tokens = 0
    for group, length in zip(groups, lengths, strict=True):
        if batch and (tokens + length > most or len(batch) == _MOST_CONTEXTS):
            yield batch
            batch, tokens = [], 0
        batch.append(group)
        tokens += length
    if batch:
        yield batch


def _measure(
    backend: Backend,
    pairs: list[Pair],
    batch: list[list[int]],
    prefixes: PrefixCache | None,
    without: Ids | None,
) -> Iterator[tuple[int, Likelihood]]:
    contexts = [pairs[group[0]].context for group in batch]
    caches = _begun(backend, contexts, prefixes)
    behind = backend.forward(caches, [ids[cache.length :] for ids, cache in zip(contexts, caches, strict=True)])
    first = log_softmax(behind)  # (contexts, V)
    rest: list[tuple[int, Cache, int]] = []
    for row, (group, cache) in enumerate(zip(batch, caches, strict=True)):
        for i in group:
            if len(pairs[i].continuation) == 1:
                yield i, _taken(first[row : row + 1], pairs[i].continuation, without)
            else:
                rest.append((i, cache, row))
    rows = max(_LOGIT_BYTES // (4 * backend.config.vocab_size), 1)
    for part in _batches([[k] for k in range(len(rest))], [len(pairs[i].continuation) - 1 for i, _, _ in rest], rows):
        chosen = [rest[k] for (k,) in part]
        forks = [cache.fork() for _, cache, _ in chosen]
        made = log_softmax(
            backend.forward(forks, [pairs[i].continuation[:-1] for i, _, _ in chosen], all_positions=True)
        )
        at = 0
        for i, _, row in chosen:
            end = at + len(pairs[i].continuation) - 1
            yield i, _taken(np.concatenate([first[row : row + 1], made[at:end]]), pairs[i].continuation, without)
            at = end


def _begun(backend: Backend, contexts: list[Ids], prefixes: PrefixCache | None) -> list[Cache]:
    """Return a cache for each context with what they all begin with, if that is long enough to be worth it."""
    trunk = min(shared_length(contexts[0], ids[:-1]) for ids in contexts)
    if prefixes is None or trunk < _TRUNK or len(contexts) == 1:
        return [backend.new_cache() for _ in contexts]
    ids = np.ascontiguousarray(contexts[0][:trunk])
    known = prefixes.find(ids)
    cache = backend.new_cache() if known is None else known
    if cache.length < trunk:
        backend.feed(cache, ids[cache.length :])
    prefixes.add(ids, cache.fork())
    return [cache.fork() for _ in contexts]


def log_softmax(logits: Floats) -> Floats:
    """Return log-probabilities, from the same double-precision sums that `Backend.score` of the native engine takes."""
    made: Floats = _native.log_softmax(logits, choose_isa())
    return made


def _taken(logprobs: npt.NDArray[np.float32], continuation: Ids, without: Ids | None) -> Likelihood:
    """Return what rows of log-probabilities say of a continuation; among equally likely tokens lower ids come first."""
    of_targets = logprobs[np.arange(len(continuation)), continuation]
    likeliest = allowed = logprobs.argmax(axis=1).astype(np.int32)
    if without is not None and np.isin(likeliest, without).any():
        left = logprobs.copy()
        left[:, without] = -np.inf
        allowed = left.argmax(axis=1).astype(np.int32)
    return Likelihood(of_targets, likeliest, allowed)

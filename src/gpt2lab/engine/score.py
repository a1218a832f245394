"""Reading instead of writing: what a model says of given tokens, and which tokens it expects next."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, Cache, Floats, Ids
from gpt2lab.engine.windows import Window, check_stride, sliding
from gpt2lab.errors import RequestError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenScores:
    """For each of n tokens: log-probability, rank (0: the likeliest), entropy in nats of the distribution it was drawn
    from, and the likeliest ids with their log-probabilities (n, top).

    A first token that nothing precedes, and one that no window counts, has log-probability and entropy NaN and rank -1.
    """

    logprobs: Floats
    ranks: Ids
    entropies: Floats
    top_ids: Ids
    top_logprobs: Floats


def score_ids(
    backend: Backend,
    ids: Ids,
    *,
    context: int | None,
    stride: int | None = None,
    top: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TokenScores:
    """Score every token of `ids` once.

    `context` is the id put before the text (GPT-2's <|endoftext|>); without it the first token has no score. A text
    longer than the window is read in windows that move by `stride` (default: half of n_positions), so that every
    token is predicted from at least n_positions - stride tokens before it. `progress(done, total)` counts tokens.
    """
    pieces = score_pieces(backend, ids, context=context, stride=stride, top=top)
    while True:
        try:
            done = next(pieces)
        except StopIteration as end:
            scores: TokenScores = end.value
            return scores
        if progress is not None:
            progress(done, len(ids))


def score_pieces(
    backend: Backend,
    ids: Ids,
    *,
    context: int | None,
    stride: int | None = None,
    top: int = 0,
    piece: int | None = None,
    windows: Iterable[Window] | None = None,
) -> Generator[int, None, TokenScores]:
    """Do what `score_ids` does, at most `piece` tokens (default: a window) between two yields of how many are done.

    `windows` over the predictions (one fewer than tokens without `context`) replace those that `stride` makes.
    """
    n_positions, n = backend.config.n_positions, len(ids)
    step = check_stride(stride, n_positions)
    if top < 0:
        raise RequestError(f"top = {top} must not be negative.")
    top = min(top, backend.config.vocab_size)
    first = 0 if context is not None else 1
    scores = TokenScores(
        np.full(n, np.nan, np.float32),
        np.full(n, -1, np.int32),
        np.full(n, np.nan, np.float32),
        np.zeros((n, top), np.int32),
        np.zeros((n, top), np.float32),
    )
    before = ids[:-1] if context is None else np.concatenate([np.asarray([context], np.int32), ids[:-1]])
    targets = ids[first:]
    most = n_positions if piece is None else piece
    check_whole("piece", most, 1)
    for start, counted, full in sliding(len(targets), n_positions, step) if windows is None else windows:
        cache = backend.new_cache()
        for at in range(start, counted, most):  # what the windows before have scored
            backend.feed(cache, before[at : min(at + most, counted)])
            yield first + counted
        for at in range(counted, full, most):
            end = min(at + most, full)
            _put(scores, first + at, backend.score(cache, before[at:end], targets[at:end], top))
            yield first + end
    return scores


def window_logprobs(backend: Backend, before: Ids, targets: Ids, window: Window) -> Floats:
    """Return the log-probabilities, float32 (end - first,), of the targets that a window counts."""
    start, first, end = window
    cache = backend.new_cache()
    if first > start:
        backend.feed(cache, before[start:first])
    return backend.score(cache, before[first:end], targets[first:end], 0)[0]


def _put(scores: TokenScores, at: int, part: tuple[Floats, Ids, Floats, Ids, Floats]) -> None:
    """Write a backend's scores of consecutive tokens from number `at` on."""
    place = slice(at, at + len(part[0]))
    scores.logprobs[place], scores.ranks[place], scores.entropies[place] = part[:3]
    scores.top_ids[place], scores.top_logprobs[place] = part[3:]


def next_logits(backend: Backend, ids: Ids, prefixes: PrefixCache | None = None) -> Floats:
    """Return the logits (vocab_size,) of the token after `ids`; of a longer text the last n_positions tokens count.

    What `prefixes` knows of the beginning is not computed again, and this text is remembered there.
    """
    return drained(logits_pieces(backend, ids[-backend.config.n_positions :], prefixes))


def logits_pieces(
    backend: Backend, window: Ids, prefixes: PrefixCache | None = None, *, piece: int | None = None
) -> Generator[int, None, Floats]:
    """Do what `next_logits` does for at most n_positions tokens, `piece` of them (default: all) between two yields."""
    logits, _ = yield from read_pieces(backend, window, prefixes, piece=piece)
    return logits


def read_pieces(
    backend: Backend, window: Ids, prefixes: PrefixCache | None = None, *, piece: int | None = None
) -> Generator[int, None, tuple[Floats, Cache]]:
    """Do what `logits_pieces` does, and return the cache of `window` too; it is to be forked, not written to."""
    window = np.ascontiguousarray(window)
    known = None if prefixes is None else prefixes.find(window[:-1])
    cache = backend.new_cache() if known is None else known
    most = len(window) if piece is None else piece
    check_whole("piece", most, 1)
    while len(window) - cache.length > most:
        backend.feed(cache, window[cache.length : cache.length + most])
        yield cache.length
    logits: Floats = backend.forward([cache], [window[cache.length :]])[0]
    if prefixes is not None:
        prefixes.add(window, cache)
    return logits, cache


def hidden_pieces(backend: Backend, ids: Ids, layer: int) -> Generator[int, None, Floats]:
    """Return hidden states (len(ids), n_embd) after `layer` blocks, a window between two yields of how many are done.

    A longer text is read in windows that overlap by half.
    """
    n = backend.config.n_positions
    parts: list[Floats] = []
    done = start = 0
    while done < len(ids):
        end = min(start + n, len(ids))
        parts.append(backend.hidden(np.ascontiguousarray(ids[start:end]), layer)[done - start :])
        yield end
        done, start = end, end - n // 2
    return np.concatenate(parts)


def drained(pieces: Generator[int, None, T], progress: Callable[[int], None] | None = None) -> T:
    """Do all pieces of some work at once and return what comes of it; `progress` is told what each piece yields."""
    while True:
        try:
            count = next(pieces)
            if progress is not None:
                progress(count)
        except StopIteration as end:
            result: T = end.value
            return result


def most_likely(logits: Floats, k: int) -> list[tuple[int, float]]:
    """Return the k likeliest (id, probability), highest first, lower ids first among equals; not renormalised."""
    check_whole("k", k, 1)
    exponentials = np.exp(np.subtract(logits, logits.max(), dtype=np.float64))
    total = exponentials.sum()
    return [(int(i), float(exponentials[i] / total)) for i in largest(logits, k)]


def largest(values: npt.NDArray[np.floating[Any]], k: int) -> npt.NDArray[np.intp]:
    """Return the places of the k largest values, largest first, lower places first among equals; sorts no more."""
    least = np.partition(values, -k)[-k] if k < values.size else -np.inf
    places = np.flatnonzero(values >= least)
    order: npt.NDArray[np.intp] = places[np.lexsort((places, -values[places]))[:k]]
    return order

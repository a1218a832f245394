"""What a detector of machine text asks of a model: per token its probability and rank, and how the distribution it came
from is spread. One pass of the model, any backend.

The mean and variance of the log-probability under the distribution itself are those of Fast-DetectGPT (Bao et al. 2024,
section 3.2); under another model's distribution the mean is minus the cross-entropy of Binoculars (Hans et al. 2024,
equation 3). The sums are NumPy's in single precision: equal to about six digits on every processor, not bit for bit.

Axes: N tokens, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.protocol import Backend, Floats, Ids
from gpt2lab.engine.windows import check_stride, sliding
from gpt2lab.errors import RequestError

_BLOCK = 2**17  # logits worked on at once: what fits a processor's own cache
_ROWS = 256  # positions whose logits are held at once


@dataclass(frozen=True, slots=True)
class Moments:
    """For each of n tokens of a text, in nats:

    logprobs, ranks (0: the likeliest), entropies of the distribution; highest: the log-probability of its likeliest
    token; means, variances: of the scoring model's log-probability when tokens are drawn from the reference model's
    distribution (without a reference model: its own, so that means = -entropies); top_ids, top_logprobs (n, top): the
    likeliest tokens. A first token that nothing precedes has NaN and rank -1.
    """

    logprobs: Floats
    ranks: Ids
    entropies: Floats
    highest: Floats
    means: Floats
    variances: Floats
    top_ids: Ids
    top_logprobs: Floats

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Which tokens have a score."""
        known: npt.NDArray[np.bool_] = self.ranks >= 0
        return known


def moments_of(
    backend: Backend,
    ids: Ids,
    *,
    context: int | None,
    reference: Backend | None = None,
    stride: int | None = None,
    top: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Moments:
    """Measure every token of `ids` once, in windows as `engine.score.score_ids` reads them.

    `context` is the id put before the text. `reference` is a second model of the same vocabulary; the shorter of the
    two windows counts. `progress(n)` says that n more tokens are done. Raises `RequestError` for what does not fit.
    """
    pieces = moments_pieces(backend, ids, context=context, reference=reference, stride=stride, top=top)
    done = 0
    while True:
        try:
            now = next(pieces)
        except StopIteration as end:
            found: Moments = end.value
            return found
        if progress is not None and now > done:
            progress(now - done)
        done = max(done, now)


def moments_pieces(
    backend: Backend,
    ids: Ids,
    *,
    context: int | None,
    reference: Backend | None = None,
    stride: int | None = None,
    top: int = 0,
    piece: int = _ROWS,
) -> Generator[int, None, Moments]:
    """Do what `moments_of` does, at most `piece` tokens between two yields of how many are done."""
    if top < 0:
        raise RequestError(f"top = {top} must not be negative.")
    backends = [backend] if reference is None else [backend, reference]
    vocab_size = backend.config.vocab_size
    if reference is not None and reference.config.vocab_size != vocab_size:
        raise RequestError(
            f"The two models must share a vocabulary, but one has {vocab_size} tokens and the other "
            f"{reference.config.vocab_size}; choose two models of one family."
        )
    size = min(b.config.n_positions for b in backends)
    check_whole("piece", piece, 1)
    step = min(piece, _ROWS)
    first = 0 if context is not None else 1
    before = ids[:-1] if context is None else np.concatenate([np.asarray([context], np.int32), ids[:-1]])
    targets = ids[first:]
    found = _empty(len(ids), min(top, vocab_size))
    for start, counted, end in sliding(len(targets), size, check_stride(stride, size)):
        caches = [b.new_cache() for b in backends]
        for at in range(start, counted, step):  # what the windows before have measured
            rows = np.ascontiguousarray(before[at : min(at + step, counted)])
            for b, cache in zip(backends, caches, strict=True):
                b.feed(cache, rows)
            yield counted
        for at in range(counted, end, step):
            stop = min(at + step, end)
            rows = np.ascontiguousarray(before[at:stop])
            logits = [b.forward([c], [rows], all_positions=True) for b, c in zip(backends, caches, strict=True)]
            _put(found, slice(first + at, first + stop), logits, targets[at:stop])
            yield stop
    return found


def _empty(n: int, top: int) -> Moments:
    nan = [np.full(n, np.nan, np.float32) for _ in range(5)]
    return Moments(
        nan[0], np.full(n, -1, np.int32), nan[1], nan[2], nan[3], nan[4],
        np.zeros((n, top), np.int32), np.zeros((n, top), np.float32),
    )  # fmt: skip


def _put(found: Moments, place: slice, logits: list[Floats], targets: Ids) -> None:
    """Write what rows of logits (N, V), of the scoring model and perhaps a reference, say of their targets."""
    step = max(_BLOCK // logits[0].shape[1], 1)
    scratch = np.empty((2, min(step, len(targets)), logits[0].shape[1]), np.float32)
    for at in range(0, len(targets), step):
        rows = slice(at, at + step)
        own = logits[0][rows]
        put = slice(place.start + at, place.start + at + len(own))
        weights = None if len(logits) == 1 else np.exp(logits[1][rows] - logits[1][rows].max(1, keepdims=True))
        columns = row_moments(own, targets[rows], weights, scratch)
        (
            found.logprobs[put], found.ranks[put], found.entropies[put], found.highest[put], found.means[put],
            found.variances[put],
        ) = columns  # fmt: skip
        if width := found.top_ids.shape[1]:
            found.top_ids[put], found.top_logprobs[put] = _top(own, width, columns[3])


def row_moments(
    logits: Floats, targets: Ids, weights: Floats | None = None, scratch: Floats | None = None
) -> tuple[Floats, Ids, Floats, Floats, Floats, Floats]:
    """Return what rows of logits (N, V) say of one target each: the first six columns of `Moments`.

    `weights` (N, V) are proportional to the reference's probabilities. `scratch` (2, N or more, V) is written to: new
    memory for every few rows costs as much as the arithmetic.
    """
    n = len(targets)
    shifted, exps = np.empty((2, *logits.shape), np.float32) if scratch is None else scratch[:, :n]
    ranks = rank_of(logits, targets)
    chosen = logits[np.arange(n), targets]  # (N,)
    top = logits.max(1, keepdims=True)
    np.subtract(logits, top, out=shifted)
    np.maximum(shifted, np.float32(-1e15), out=shifted)  # an impossible token adds 0 to every sum, not 0 * inf
    np.exp(shifted, out=exps)
    total = exps.sum(1)
    log_total = np.log(total)
    mean = _dot(exps, shifted) / total
    entropies = log_total - mean
    if weights is not None:
        exps, total = weights, weights.sum(1)
        np.maximum(shifted, np.float32(-1e4), out=shifted)  # what the scorer holds for impossible costs much, not all
        mean = _dot(exps, shifted) / total
    shifted -= mean[:, None]
    np.multiply(shifted, shifted, out=shifted)
    variances = _dot(exps, shifted) / total
    return (
        chosen - top[:, 0] - log_total, ranks, entropies, -log_total, mean - log_total, variances,
    )  # fmt: skip


def rank_of(logits: Floats, targets: Ids) -> Ids:
    """Return the rank of one target in each row of logits (N, V): how many tokens have a larger logit, or the same and
    a lower id. One comparison a logit; nothing is sorted."""
    ranks = np.empty(len(targets), np.int32)
    for i, (row, target) in enumerate(zip(logits, targets.tolist(), strict=True)):
        before = np.count_nonzero(row[:target] >= row[target])  # of equals those with lower ids come first
        ranks[i] = before + np.count_nonzero(row[target + 1 :] > row[target])
    return ranks


def _dot(a: Floats, b: Floats) -> Floats:
    """Return the dot product of each row of `a` (N, V) with that of `b`."""
    products: Floats = np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0]
    return products


def _top(logits: Floats, width: int, highest: Floats) -> tuple[Ids, Any]:
    """Return the `width` likeliest ids of each row, lower ids first among equals, and their log-probabilities."""
    n, vocab_size = logits.shape
    if width < vocab_size:
        kept = np.argpartition(-logits, width - 1, axis=1)[:, :width]
        floor = np.take_along_axis(logits, kept, 1).min(1)
        crossing = np.flatnonzero(np.count_nonzero(logits >= floor[:, None], axis=1) > width)
        for row in crossing.tolist():  # equals at the edge: those with lower ids stay
            kept[row] = np.argsort(-logits[row], kind="stable")[:width]
        kept.sort(axis=1)
    else:
        kept = np.broadcast_to(np.arange(vocab_size), (n, vocab_size))
    values = np.take_along_axis(logits, kept, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    ids = np.take_along_axis(kept, order, 1).astype(np.int32)
    sorted_values = np.take_along_axis(values, order, 1)
    return ids, sorted_values - sorted_values[:, :1] + highest[:, None]

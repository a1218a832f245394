"""Cross-entropy of a language-model head that never holds all logits at once.

For small widths and large vocabularies the logits are the largest tensor of a step. Here a few hundred rows at a time
are turned into logits, loss and gradient, in one buffer that the next rows use again, so memory is O(chunk * V) and
nothing is computed twice. A row's softmax is never normalised: its sum divides the (n, C) products instead.

Legend: N predictions, n of them at a time, C width, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2lab.data.batches import IGNORE
from gpt2lab.train.operations import exponentials_

CHUNK_BYTES = 2048
"""Bytes that a token of the vocabulary has in the buffer of logits: 512 rows of float32, 1024 of bfloat16."""


_MULTIPLE = 64
"""Rows come in multiples of this many: a product's preparation is kept for every number of rows there was."""

PRODUCT_ROWS = 8192
"""Tokens of the vocabulary whose part of a product exists at once in a type that has to be added to float32."""

_kept: ContextVar[dict[tuple[Any, ...], Tensor] | None] = ContextVar("kept", default=None)
"""Within `keep_buffers`, the buffers of the loss by their purpose, columns, type and device."""


@contextlib.contextmanager
def keep_buffers() -> Iterator[None]:
    """Within it, the buffers of one loss serve the next, which must not be computed at the same time.

    They are a step's largest pieces. Taken and given back each time they do not fit into the holes that smaller ones
    have left since, and every portion of a step takes fresh memory for them.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _buffer(purpose: str, rows: int, columns: int, like: Tensor) -> Tensor:
    """Return memory for (rows, columns) numbers of the type of `like`, with anything in it."""
    kept = _kept.get()
    if kept is None:
        return like.new_empty(rows, columns)
    key = (purpose, columns, like.dtype, like.device)
    if key not in kept or len(kept[key]) < rows:
        kept[key] = like.new_empty(rows, columns)
    return kept[key][:rows]


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of -log p(target) over N rows, with the gradients made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        rows, chunk = hidden.shape[0], max(1, min(chunk, hidden.shape[0]))
        total = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        same = weight.dtype == hidden.dtype
        head = weight if same else _buffer("head", weight.shape[0], weight.shape[1], hidden).copy_(weight)
        buffer = _buffer("logits", chunk, weight.shape[0], hidden)
        for start in range(0, rows, chunk):
            h, t = hidden[start : start + chunk], targets[start : start + chunk]  # (n, C), (n,)
            keep = (t != IGNORE).float().unsqueeze(1)  # (n, 1)
            index = t.clamp(min=0).unsqueeze(1)  # (n, 1)
            softmax = torch.mm(h, head.t(), out=buffer[: len(t)])  # (n, V), so far the logits
            chosen = softmax.gather(1, index).float()  # (n, 1)
            highest, mass = exponentials_(softmax)  # (n, 1); the softmax times `mass` takes the place of the logits
            total += ((mass.log() - (chosen - highest)) * keep).sum()
            if grad_hidden is None and grad_weight is None:
                continue
            share = keep / mass  # (n, 1)
            if grad_hidden is not None:
                part = torch.mm(softmax, head, out=grad_hidden[start : start + chunk])  # (n, C)
                part.mul_(share).sub_(head[index.squeeze(1)] * keep)
            if grad_weight is not None:
                _add_product(grad_weight, softmax, (h * share).to(h.dtype))
                grad_weight.index_add_(0, index.squeeze(1), h.float() * keep, alpha=-1)
        ctx.gradients = grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_hidden, grad_weight = ctx.gradients
        ctx.gradients = None
        return (
            None if grad_hidden is None else grad_hidden.mul_(upstream[0]),
            None if grad_weight is None else grad_weight.mul_(upstream[0]),
            None,
            None,
        )


def _add_product(total: Tensor, softmax: Tensor, rows: Tensor) -> None:
    """Add softmax.T @ rows to the float32 `total`, whatever the type of the two."""
    if rows.dtype == total.dtype:
        total.addmm_(softmax.t(), rows)
        return
    for begin in range(0, len(total), PRODUCT_ROWS):
        part = total[begin : begin + PRODUCT_ROWS]
        part.add_(softmax[:, begin : begin + PRODUCT_ROWS].t() @ rows)


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor, *, chunk: int | None = None) -> Tensor:
    """Return the summed cross-entropy in nats of `targets` (N) under logits hidden (N, C) @ weight.T (C, V).

    Rows whose target is `IGNORE` count nothing. One backward pass only; the gradients are those of the plain loss.
    Products are in the type of `hidden`, sums in float32. `chunk` rows have logits at once.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    if chunk is None:
        chunk = CHUNK_BYTES // hidden.element_size()
        if missing := -len(targets) % _MULTIPLE:
            hidden, targets = F.pad(hidden, (0, 0, 0, missing)), F.pad(targets, (0, missing), value=IGNORE)
    with torch.autocast(hidden.device.type, enabled=False):
        total: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, chunk)  # type: ignore[no-untyped-call]
    return total


def smoothing_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Return what a share of label smoothing adds to the summed cross-entropy, for a share of 1 (all rows count).

    The smoothed loss (1 - e) * -log p(target) + e * mean over V of -log p differs from the plain one by e times the
    target's logit less the mean logit (Szegedy et al. 2016, section 7), so no further logits are computed.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        apart = F.embedding(targets, weight) - weight.mean(0)  # (N, C)
        return (hidden.float() * apart).sum()

"""Cross-entropy of a language-model head that never holds all logits at once.

For small widths and large vocabularies the logits are the largest tensor of a step. Here a few hundred rows at a time
are turned into logits, loss and gradient, in one buffer, so memory is O(chunk * V) and nothing is computed twice.

Legend: N predictions, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORE = -1
"""The target of a position that has no loss."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of -log p(target) over N rows, with the gradients made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        total = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        for start in range(0, hidden.shape[0], chunk):
            h, t = hidden[start : start + chunk], targets[start : start + chunk]  # (n, C), (n,)
            keep = t != IGNORE
            index = t.clamp(min=0).unsqueeze(1)  # (n, 1)
            logits = (h @ weight.t()).float()  # (n, V)
            normaliser = logits.logsumexp(1, keepdim=True)  # (n, 1)
            total += ((normaliser - logits.gather(1, index)).squeeze(1) * keep).sum()
            if grad_hidden is None and grad_weight is None:
                continue
            grad = logits.sub_(normaliser).exp_()  # (n, V), now the softmax
            grad.scatter_add_(1, index, grad.new_full(index.shape, -1.0))
            grad.mul_(keep.unsqueeze(1))
            grad = grad.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight, out=grad_hidden[start : start + chunk])
            if grad_weight is not None:
                grad_weight.addmm_(grad.t(), h)
        ctx.gradients = grad_hidden, grad_weight
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


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor, *, chunk: int = 512) -> Tensor:
    """Return the summed cross-entropy in nats of `targets` (N) under logits hidden (N, C) @ weight.T (C, V).

    Rows whose target is `IGNORE` count nothing. One backward pass only; the gradients are those of the plain loss.
    """
    total: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, chunk)  # type: ignore[no-untyped-call]
    return total

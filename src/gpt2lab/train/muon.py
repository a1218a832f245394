"""Muon: momentum whose matrices are replaced by their nearest semi-orthogonal ones.

Follows Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): Nesterov momentum, then a
quintic Newton-Schulz iteration, in bfloat16 where that is the fast type, as there. Under FSDP, where a process holds
some rows of each matrix, the update is gathered, orthogonalised by every process and cut again
(docs/decisions/0011-muon-beyond-one-process.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, from the description: steep at zero, so that five rounds bring values near 1."""


def orthogonalise(matrix: Tensor, rounds: int = 5, *, products: torch.dtype | None = None) -> Tensor:
    """Return about U @ V.T of the singular value decomposition U S V.T of a (R, C) matrix: singular values near 1.

    `products` is the type that the iteration computes in; None: the matrix's own.
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.t() if tall else matrix
    x = (x / (x.norm() + 1e-7)).to(products or matrix.dtype)  # the iteration needs a spectral norm of at most 1
    for _ in range(rounds):
        gram = x @ x.t()  # (R, R)
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.t() if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for matrices; decoupled weight decay.

    An orthogonalised (R, C) matrix has entries of root mean square 1/sqrt(max(R, C)); scaled by 0.2 * sqrt(max(R, C))
    they are of the size of AdamW's (Liu et al., "Muon is scalable for LLM training", 2025). `products` is the type
    of the iteration's products; weights and momentum are never rounded to it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        products: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.products = products

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                velocity = state["momentum"]
                velocity.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(velocity, group["momentum"])  # Nesterov's look ahead
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(_direction(update, self.products), alpha=-group["lr"])


def _direction(update: Tensor, products: torch.dtype | None) -> Tensor:
    """Return the orthogonalised `update`, laid out over the processes as it was."""
    if isinstance(update, DTensor):
        whole = _direction(update.full_tensor(), products)
        return distribute_tensor(whole, update.device_mesh, update.placements, src_data_rank=None)
    parts = [orthogonalise(m, products=products).mul(0.2 * max(m.shape) ** 0.5) for m in _matrices(update)]
    return torch.cat(parts, dim=1)


def _matrices(update: Tensor) -> tuple[Tensor, ...]:
    """Split queries, keys and values, which one (C, 3C) tensor holds, into three matrices; leave others whole."""
    rows, columns = update.shape
    return torch.split(update, rows, dim=1) if columns == 3 * rows else (update,)

"""The optimizers: AdamW with decay groups, and Muon for the hidden matrices with AdamW for the rest.

Muon follows its description by Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024):
Nesterov momentum whose matrix is replaced by its nearest semi-orthogonal one, found by a quintic Newton-Schulz
iteration. AdamW: Loshchilov and Hutter (2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.train.recipe import OptimizerRecipe

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, from the description: steep at zero, so that five rounds bring values near 1."""


def orthogonalise(matrix: Tensor, rounds: int = 5) -> Tensor:
    """Return about U @ V.T of the singular value decomposition U S V.T of a (R, C) matrix: singular values near 1."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.t() if tall else matrix
    x = x / (x.norm() + 1e-7)  # the iteration needs a spectral norm of at most 1
    for _ in range(rounds):
        gram = x @ x.t()  # (R, R)
        x = a * x + torch.addmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.t() if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for matrices; decoupled weight decay.

    An orthogonalised (R, C) matrix has entries of root mean square 1/sqrt(max(R, C)); scaled by 0.2 * sqrt(max(R, C))
    they are of the size of AdamW's (Liu et al., "Muon is scalable for LLM training", 2025).
    """

    def __init__(self, params: Iterable[Any], *, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

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
                parameter.add_(torch.cat([_direction(m) for m in _matrices(update)], dim=1), alpha=-group["lr"])


def _direction(matrix: Tensor) -> Tensor:
    return orthogonalise(matrix).mul(0.2 * max(matrix.shape) ** 0.5)


def _matrices(update: Tensor) -> tuple[Tensor, ...]:
    """Split queries, keys and values, which one (C, 3C) tensor holds, into three matrices; leave others whole."""
    rows, columns = update.shape
    return torch.split(update, rows, dim=1) if columns == 3 * rows else (update,)


def build_optimizers(model: nn.Module, recipe: OptimizerRecipe) -> list[torch.optim.Optimizer]:
    """Return the optimizers of `model` together: each group holds its peak rate under "peak_lr".

    Matrices decay, gains, biases and embeddings of positions do not. With Muon, the matrices inside the blocks are
    Muon's; embeddings, head and everything one-dimensional are AdamW's.
    """
    hidden, decayed, plain = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or name.endswith("wpe.weight"):
            plain.append(parameter)
        elif recipe.name == "muon" and ".h." in name:
            hidden.append(parameter)
        else:
            decayed.append(parameter)
    adam_lr = recipe.adam_lr if recipe.adam_lr is not None else recipe.lr
    adam = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=adam_lr,
        betas=(recipe.betas[0], recipe.betas[1]),
        eps=recipe.eps,
        fused=True,
    )
    optimizers: list[torch.optim.Optimizer] = [adam]
    if hidden:
        optimizers.append(Muon(hidden, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers

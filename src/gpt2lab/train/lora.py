"""Low-rank adapters: a frozen matrix learns a correction of few parameters, which can be added into it afterwards.

Hu et al. (2022), "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1: y = x W + b + (x A) B alpha / rank,
with A (in, rank) drawn at random and B (rank, out) zero, so that training begins at the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from gpt2lab.errors import ConfigError, nearest
from gpt2lab.model.gpt import GPT, Conv1D
from gpt2lab.train.options import Matrix

_A, _B = "lora_a", "lora_b"


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """Which of a block's matrices get an adapter, of what `rank`, and with what weight `alpha` / `rank`."""

    rank: int
    alpha: float
    matrices: tuple[Matrix, ...]

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"lora_rank = {self.rank} must be at least 1.")
        if self.alpha <= 0:
            raise ConfigError(f"lora_alpha = {self.alpha} must be positive.")
        for name in self.matrices:
            if name not in get_args(Matrix):
                raise ConfigError(f"lora_matrices has {name!r}.{nearest(name, get_args(Matrix))}")

    @property
    def scale(self) -> float:
        """The factor of the correction."""
        return self.alpha / self.rank

    def add(self, model: GPT, generator: torch.Generator) -> None:
        """Freeze `model` and give its matrices adapters, in place."""
        model.requires_grad_(False)
        for block in model.transformer.h:
            for name in self.matrices:
                part, _, matrix = name.partition(".")
                owner = getattr(block, part)
                setattr(owner, matrix, AdaptedConv1D(getattr(owner, matrix), self, generator))

    def merged(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the plain GPT-2 that computes what the adapted one does."""
        plain = {name: t for name, t in tensors.items() if not name.endswith((_A, _B))}
        for name, a in tensors.items():
            if name.endswith(_A):
                stem = name.removesuffix(_A)
                product = a.double() @ tensors[stem + _B].double()
                plain[stem + "weight"] = (plain[stem + "weight"].double() + product * self.scale).float()
        return plain


class AdaptedConv1D(Conv1D):
    """A `Conv1D` that keeps its weights and learns a correction; the names of its own tensors do not change."""

    def __init__(self, plain: Conv1D, adapter: LowRank, generator: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.weight, self.bias, self.product, self.scale = plain.weight, plain.bias, plain.product, adapter.scale
        inputs, outputs = plain.weight.shape
        a = torch.empty(inputs, adapter.rank).normal_(std=inputs**-0.5, generator=generator)
        self.lora_a, self.lora_b = nn.Parameter(a), nn.Parameter(torch.zeros(adapter.rank, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        y = super().forward(x)
        narrow = (x @ self.lora_a).flatten(0, -2).to(y.dtype)  # (N, rank)
        y.view(-1, y.shape[-1]).addmm_(narrow, self.lora_b.to(y.dtype), alpha=self.scale)
        return y

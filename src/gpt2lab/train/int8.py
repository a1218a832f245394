"""Products in int8 for training on CPUs: two of the three products of each linear layer at twice float32's rate.

Rows of activations and of gradients are rounded to int8 in groups of 128 numbers with a scale each, weights with a
scale for each output, by the engine's own kernels (native/training.h); sums are exact. The weights stay float32 and so
does the product that makes their gradient, after Wortsman et al., "Stable and low-precision training for large-scale
vision-language models" (2023), whose SwitchBack does the same on GPUs. Validation uses no int8.

Legend: N rows, I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import gpt2lab._native as _native
from gpt2lab.errors import ConfigError
from gpt2lab.model.gpt import Conv1D, linear

_MULTIPLE = 64  # what the kernels want the widths of results to be a multiple of


class Int8Linear:
    """Takes the place of `linear` in one layer. Its weights are packed at the first use after `forget`.

    Whoever changes them says so: neither their address nor their version tells it under FSDP, which gathers them into
    the same memory again and leaves the version as it was.
    """

    def __init__(self, layer: Conv1D, team: _native.Team) -> None:
        inputs, outputs = layer.weight.shape
        isa = _native.available_isas()[0]
        self._layer, self._team = layer, team
        self._forward = _native.Int8Product(inputs, outputs, False, isa)
        self._backward = _native.Int8Product(outputs, inputs, True, isa)
        self._packed = False

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map (…, I) to (…, O)."""
        if not self._layer.training:
            return linear(x, weight, bias)
        if not self._packed:
            matrix = weight.detach().clone().numpy()  # FSDP cannot free memory that NumPy has seen
            self._forward.set(matrix, self._team)
            self._backward.set(matrix, self._team)
            self._packed = True
        y: Tensor = _Int8Product.apply(x.reshape(-1, x.shape[-1]), weight, bias, self)  # type: ignore[no-untyped-call]
        return y.view(*x.shape[:-1], -1)

    def forget(self) -> None:
        """Take note that the weights have changed."""
        self._packed = False

    def products(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Return rows (N, I) times the weights plus bias, (N, O)."""
        return self._apply(self._forward, rows, bias.detach().clone().numpy())

    def gradients(self, upstream: Tensor) -> Tensor:
        """Return upstream gradients (N, O) times the transposed weights, (N, I)."""
        return self._apply(self._backward, upstream, None)

    def _apply(self, product: _native.Int8Product, rows: Tensor, bias: Any) -> Tensor:
        result = torch.empty(rows.shape[0], product.outputs)
        product.apply(rows.numpy(), bias, result.numpy(), self._team)
        return result


class _Int8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, factors: Int8Linear) -> Tensor:
        rows = x.detach().contiguous()  # (N, I)
        ctx.save_for_backward(rows)
        ctx.factors = factors
        return factors.products(rows, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (rows,) = ctx.saved_tensors
        g = upstream[0].contiguous()  # (N, O)
        wants_x, wants_weight, wants_bias, _ = ctx.needs_input_grad
        return (
            ctx.factors.gradients(g) if wants_x else None,
            rows.t() @ g if wants_weight else None,
            g.sum(0) if wants_bias else None,
            None,
        )


def use_int8(model: nn.Module, device: torch.device) -> list[Int8Linear]:
    """Have every linear layer of `model` whose widths allow it multiply in int8 while it trains; return what does it.

    Raises `ConfigError` elsewhere than on a CPU, and where no layer can.
    """
    if device.type != "cpu":
        raise ConfigError('train.precision = "int8" is for CPUs; on a GPU set "bf16".')
    team = _native.Team(torch.get_num_threads())
    layers = [
        m for m in model.modules() if isinstance(m, Conv1D) and not any(width % _MULTIPLE for width in m.weight.shape)
    ]
    if not layers:
        raise ConfigError(
            f'train.precision = "int8" needs widths that are multiples of {_MULTIPLE} (model.n_embd, model.n_inner).'
        )
    factors = [Int8Linear(layer, team) for layer in layers]
    for layer, each in zip(layers, factors, strict=True):
        layer.product = each
    return factors

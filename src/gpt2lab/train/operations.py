"""GELU, softmax and causal attention for training on CPUs, computed by the native kernels (native/operations.h).

PyTorch's own take a third of a bfloat16 step on processors with AMX, whose products are that fast. The sums of
attention are kept in float32 and nothing of size (T, T) is stored (Dao et al. 2022, "FlashAttention", section 3.1).

Legend: B rows, T positions, C width, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

import gpt2lab._native as _native
from gpt2lab.model.gpt import MLP, Attention

_TANH_FORMS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")


class NativeGelu:
    """Takes the place of the tanh form of GELU for floats on a CPU; others go to `other`."""

    def __init__(self, operations: _native.Operations, other: Callable[[Tensor], Tensor]) -> None:
        self._operations, self._other = operations, other

    def __call__(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
            return self._other(x)
        y: Tensor = _Gelu.apply(x, self._operations)  # type: ignore[no-untyped-call]
        return y


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, operations: _native.Operations) -> Tensor:
        x = x.detach().contiguous()
        y = torch.empty_like(x)
        operations.gelu(_flat(x), _flat(y))
        ctx.save_for_backward(x)
        ctx.operations = operations
        return y

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        ctx.operations.gelu_gradient(_flat(x), _flat(upstream[0].to(x.dtype).contiguous()), _flat(out))
        return out, None


class NativeAttention:
    """Takes the place of an attention layer's `attend` for whole texts in bfloat16.

    Which weights dropout drops follows from one number of torch's generator, text, head, query and key
    (native/kernels/dropout.inl): the backward pass finds the same ones, nothing of size (T, T) is stored.
    """

    def __init__(self, operations: _native.Operations, layer: Attention) -> None:
        self._operations, self._layer = operations, layer

    def __call__(self, qkv: Tensor) -> Tensor | None:
        """Map (B, T, 3 C) to (B, T, C), or return None for what it does not do."""
        if qkv.dtype != torch.bfloat16 or qkv.device.type != "cpu":
            return None
        dropout = self._layer.dropout if self._layer.training else 0.0
        seed = int(torch.randint(2**63 - 1, ())) if dropout else 0
        y: Tensor = _Attention.apply(qkv, self._layer.n_head, self._layer.scale, dropout, seed, self._operations)  # type: ignore[no-untyped-call]
        return y


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, heads: int, scale: float, dropout: float, seed: int, operations: _native.Operations
    ) -> Tensor:
        qkv = qkv.detach().contiguous()
        b, t, width = qkv.shape
        y = torch.empty(b, t, width // 3, dtype=qkv.dtype)
        log_sum = torch.empty(b, heads, t)
        operations.attention(_bits(qkv), scale, _bits(y), log_sum.numpy(), dropout, seed)
        ctx.save_for_backward(qkv, y, log_sum)
        ctx.operations, ctx.scale, ctx.drop = operations, scale, (dropout, seed)
        return y

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None, None, None, None, None]:
        qkv, y, log_sum = ctx.saved_tensors
        g = upstream[0].to(y.dtype).contiguous()
        d_qkv = torch.empty_like(qkv)
        ctx.operations.attention_gradient(
            _bits(qkv), ctx.scale, _bits(y), log_sum.numpy(), _bits(g), _bits(d_qkv), *ctx.drop
        )
        return d_qkv, None, None, None, None, None


def exponentials_(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Turn each row of (n, V) into exp(row - its largest number), in place; return those numbers and the sums, (n, 1).

    The sums are in float32, from before the exponentials are rounded to the type of the rows.
    """
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16) and rows.is_contiguous():
        highest, mass = torch.empty(rows.shape[0]), torch.empty(rows.shape[0])
        halves = rows.view(torch.int16) if rows.dtype == torch.bfloat16 else rows
        _operations(torch.get_num_threads()).exponentials(halves.numpy(), highest.numpy(), mass.numpy())
        return highest.unsqueeze(1), mass.unsqueeze(1)
    top = rows.amax(1, keepdim=True)
    exact = rows.float().sub_(top).exp_()
    rows.copy_(exact)
    return top.float(), exact.sum(1, keepdim=True)


@lru_cache(maxsize=1)
def _operations(threads: int) -> _native.Operations:
    return _native.Operations(_native.available_isas()[0], threads)


def _bits(x: Tensor) -> Any:
    return x.detach().view(torch.int16).numpy()


def _flat(x: Tensor) -> Any:
    x = x.detach().view(-1)
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def use_native(model: nn.Module, device: torch.device, products: torch.dtype | None) -> None:
    """Have the layers of `model` on a CPU compute GELU, and attention where products are bfloat16, by the kernels."""
    if device.type != "cpu":
        return
    operations = _operations(torch.get_num_threads())
    for module in model.modules():
        if isinstance(module, MLP) and module.activation in _TANH_FORMS:
            module.act = NativeGelu(operations, module.act)
        if not isinstance(module, Attention) or module.relative_keys is not None or module.compress_keys is not None:
            continue
        if products == torch.bfloat16 and operations.has_attention(module.head_dim):
            module.attend = NativeAttention(operations, module)

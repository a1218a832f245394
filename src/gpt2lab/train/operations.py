"""Layer norm, GELU, dropout, softmax and causal attention for training on CPUs, natively (native/operations.h).

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
from gpt2lab.model.gpt import MLP, Attention, Block, Conv1D, Dropout, Norm, linear

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


class NativeDropout:
    """Takes the place of a layer's dropout on a CPU.

    What is dropped follows from one number of torch's generator and the place (native/kernels/dropout.inl): the
    backward pass finds it again, no mask is stored.
    """

    def __init__(self, operations: _native.Operations, layer: Dropout) -> None:
        self._operations, self._layer = operations, layer

    def __call__(self, x: Tensor) -> Tensor | None:
        """Map any shape to the same shape, or return None for what it does not do."""
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16) or self._layer.p >= 1.0:
            return None
        y: Tensor = _Dropout.apply(x, self._layer.p, int(torch.randint(2**63 - 1, ())), self._operations)  # type: ignore[no-untyped-call]
        return y


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float, seed: int, operations: _native.Operations) -> Tensor:
        ctx.drop, ctx.operations, ctx.kind = (share, seed), operations, x.dtype
        return _dropped(x, ctx)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None, None, None]:
        return _dropped(upstream[0].to(ctx.kind), ctx), None, None, None


def _dropped(x: Tensor, ctx: Any) -> Tensor:
    x = x.detach().contiguous()
    out = torch.empty_like(x)
    ctx.operations.drop(_flat(x), *ctx.drop, _flat(out))
    return out


class NativeNorm:
    """Takes the place of a layer norm in front of a product in bfloat16: float32 goes in, what comes out is rounded.

    Its gradients keep nothing of a row but what went in, whose mean and deviation are cheaper to find again.
    """

    def __init__(self, operations: _native.Operations, layer: Norm) -> None:
        self._operations, self._layer = operations, layer

    def __call__(self, x: Tensor) -> Tensor | None:
        """Map (…, C) to (…, C), or return None for what it does not do."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or not torch.is_autocast_enabled("cpu"):
            return None
        layer = self._layer
        y: Tensor = _Norm.apply(x, layer.weight, layer.bias, layer.eps, self._operations)  # type: ignore[no-untyped-call]
        return y


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, epsilon: float, operations: _native.Operations
    ) -> Tensor:
        x = x.detach().contiguous()
        y = torch.empty_like(x, dtype=torch.bfloat16)
        rows = (-1, x.shape[-1])
        operations.layer_norm(x.view(rows).numpy(), _copied(gain), _copied(bias), epsilon, _bits(y.view(rows)))
        ctx.save_for_backward(x, gain)
        ctx.operations, ctx.epsilon = operations, epsilon
        return y

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, gain = ctx.saved_tensors
        rows = (-1, x.shape[-1])
        g = upstream[0].to(torch.bfloat16).contiguous()
        d_x, d_gain_bias = torch.empty_like(x), torch.empty(2, *gain.shape)
        ctx.operations.layer_norm_gradient(
            x.view(rows).numpy(), _copied(gain), ctx.epsilon, _bits(g.view(rows)), d_x.view(rows).numpy(),
            d_gain_bias.numpy(),
        )  # fmt: skip
        return d_x, d_gain_bias[0], d_gain_bias[1], None, None


class NativeProduct:
    """Takes the place of a layer's product in bfloat16: the gradient of the bias, a sum over all positions, is ours."""

    def __init__(self, operations: _native.Operations) -> None:
        self._operations = operations

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map (…, in) to (…, out)."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not bias.requires_grad:
            return linear(x, weight, bias)
        y: Tensor = _BiasGradient.apply(linear(x, weight, bias.detach()), bias, self._operations)  # type: ignore[no-untyped-call]
        return y


class _BiasGradient(torch.autograd.Function):
    """What already has the bias in it, as it is; backward, the bias gets its gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, operations: _native.Operations) -> Tensor:
        ctx.operations = operations
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, Tensor, None]:
        g = upstream[0].to(torch.bfloat16).contiguous()
        total = torch.empty(g.shape[-1])
        ctx.operations.sum_columns(_bits(g.view(-1, g.shape[-1])), total.numpy())
        return g, total, None


class NativeSum:
    """Takes the place of the sum of a float32 residual stream and what joins it in bfloat16."""

    def __init__(self, operations: _native.Operations) -> None:
        self._operations = operations

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y, both of one shape."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or y.dtype != torch.bfloat16:
            return x + y
        out: Tensor = _Sum.apply(x, y, self._operations)  # type: ignore[no-untyped-call]
        return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, operations: _native.Operations) -> Tensor:
        x, y = x.detach().contiguous(), y.detach().contiguous()
        out = torch.empty_like(x)
        operations.add(_flat(x), _flat(y), _flat(out))
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, Tensor, None]:
        return upstream[0], upstream[0].to(torch.bfloat16), None


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
        related, vectors = None, self._layer.relative_keys
        if vectors is not None:
            if qkv.shape[1] > min(vectors.shape[1], LONGEST_RELATED):
                return None
            related = _related(qkv, vectors)
        dropout = self._layer.dropout if self._layer.training else 0.0
        seed = int(torch.randint(2**63 - 1, ())) if dropout else 0
        settings = (self._layer.n_head, self._layer.scale, dropout, seed)
        y: Tensor = _Attention.apply(qkv, related, *settings, self._operations)  # type: ignore[no-untyped-call]
        return y


LONGEST_RELATED = 1024
"""Positions up to which a layer's products of queries and distances, (B, H, T, T), are held for the backward pass."""


def _related(qkv: Tensor, vectors: Tensor) -> Tensor:
    """Return the products (B, H, T, T) of each query with the vectors (H, R, D) of distances T-1 … 0, in bfloat16."""
    b, t, width = qkv.shape
    q = qkv[..., : width // 3].view(b, t, vectors.shape[0], -1).transpose(1, 2)  # (B, H, T, D)
    return q @ vectors[:, :t].flip(1).to(qkv.dtype).transpose(1, 2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        related: Tensor | None,
        heads: int,
        scale: float,
        dropout: float,
        seed: int,
        operations: _native.Operations,
    ) -> Tensor:
        qkv = qkv.detach().contiguous()
        related = None if related is None else related.detach().contiguous()
        b, t, width = qkv.shape
        y = torch.empty(b, t, width // 3, dtype=qkv.dtype)
        log_sum = torch.empty(b, heads, t)
        distances = None if related is None else _bits(related)
        operations.attention(_bits(qkv), distances, scale, _bits(y), log_sum.numpy(), dropout, seed)
        ctx.save_for_backward(qkv, related, y, log_sum)
        ctx.operations, ctx.scale, ctx.drop = operations, scale, (dropout, seed)
        return y

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, ...]:
        qkv, related, y, log_sum = ctx.saved_tensors
        g = upstream[0].to(y.dtype).contiguous()
        d_qkv, d_related = torch.empty_like(qkv), None if related is None else torch.empty_like(related)
        distances, to_distances = (None if x is None else _bits(x) for x in (related, d_related))
        ctx.operations.attention_gradient(
            _bits(qkv), distances, ctx.scale, _bits(y), log_sum.numpy(), _bits(g), _bits(d_qkv), to_distances, *ctx.drop
        )
        return d_qkv, None if d_related is None else d_related.mul_(ctx.scale), None, None, None, None, None


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


def _copied(parameter: Tensor) -> Any:
    """Return a small parameter's numbers: NumPy must not hold the memory itself, which FSDP frees after use."""
    return parameter.detach().clone().numpy()


def _flat(x: Tensor) -> Any:
    x = x.detach().view(-1)
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def use_native(model: nn.Module, device: torch.device, products: torch.dtype | None) -> None:
    """Have a CPU compute GELU and dropout of `model` by the kernels; with products in bfloat16, more between them."""
    if device.type != "cpu":
        return
    operations = _operations(torch.get_num_threads())
    for module in model.modules():
        if isinstance(module, MLP) and module.activation in _TANH_FORMS:
            module.act = NativeGelu(operations, module.act)
        if isinstance(module, Dropout):
            module.drop = NativeDropout(operations, module)
        if products != torch.bfloat16:
            continue
        if isinstance(module, Norm):
            module.normalise = NativeNorm(operations, module)
        elif type(module) is Conv1D and module.product is linear:
            module.product = NativeProduct(operations)
        elif isinstance(module, Block):
            module.join = NativeSum(operations)
        elif isinstance(module, Attention) and _is_native(operations, module):
            module.attend = NativeAttention(operations, module)


def _is_native(operations: _native.Operations, layer: Attention) -> bool:
    return layer.compress_keys is None and operations.has_attention(layer.head_dim)

"""GELU and attention computed natively for training, beside PyTorch's own and their gradients by autograd."""

from __future__ import annotations

import gpt2lab._native as _native
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT, Attention
from gpt2lab.train.operations import NativeAttention, NativeGelu, exponentials_, use_native

ISA = _native.available_isas()[0]
needs_tiles = pytest.mark.skipif(
    not _native.Operations(ISA, 1).has_attention(64), reason="no tile unit (AMX) here: PyTorch computes attention"
)


def operations(threads: int = 2) -> _native.Operations:
    return _native.Operations(ISA, threads)


def forbidden(_: Tensor) -> Tensor:
    raise AssertionError("PyTorch was asked")


def with_gradient(function: object, x: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)  # type: ignore[operator]
    y.backward(upstream)
    assert leaf.grad is not None
    return y.detach(), leaf.grad


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("shape", [(3,), (2, 5, 128), (7, 33)])
def test_gelu_and_its_gradient_are_torchs(kind: torch.dtype, near: float, shape: tuple[int, ...]) -> None:
    x, upstream = 3.0 * torch.randn(shape).to(kind), torch.randn(shape).to(kind)
    y, slope = with_gradient(NativeGelu(operations(), forbidden), x, upstream)
    wanted, wanted_slope = with_gradient(lambda t: F.gelu(t, approximate="tanh"), x.double(), upstream.double())
    assert y.dtype == slope.dtype == kind
    assert y.shape == x.shape
    torch.testing.assert_close(y.double(), wanted, atol=near, rtol=near)
    torch.testing.assert_close(slope.double(), wanted_slope, atol=near, rtol=near)


def test_gelu_of_values_that_do_not_lie_side_by_side() -> None:
    x = torch.randn(6, 10).t()
    y, slope = with_gradient(NativeGelu(operations(), forbidden), x, torch.ones(10, 6).t().contiguous().t())
    wanted, wanted_slope = with_gradient(lambda t: F.gelu(t, approximate="tanh"), x, torch.ones(10, 6))
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(slope, wanted_slope)


def test_gelu_leaves_other_types_alone() -> None:
    x = torch.randn(4, dtype=torch.float64)
    assert torch.equal(NativeGelu(operations(), F.gelu)(x), F.gelu(x))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        operations().gelu(torch.zeros(3).numpy(), torch.zeros(4).numpy())


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("width", [1, 65, 128, 1000])
def test_exponentials_of_rows(kind: torch.dtype, near: float, width: int) -> None:
    rows = (5.0 * torch.randn(7, width)).to(kind)
    wanted = (rows.float() - rows.float().amax(1, keepdim=True)).exp()
    top = rows.float().amax(1, keepdim=True)
    highest, mass = exponentials_(rows)
    assert torch.equal(highest, top)
    torch.testing.assert_close(mass, wanted.sum(1, keepdim=True))
    torch.testing.assert_close(rows.float(), wanted, atol=near, rtol=near)


def test_a_row_with_a_value_that_is_no_number_has_no_sum() -> None:
    rows = torch.randn(2, 300)
    rows[1, 7] = float("nan")
    _, mass = exponentials_(rows)
    assert mass.isnan().flatten().tolist() == [False, True]


def layer(heads: int, width: int, attn_pdrop: float = 0.0) -> Attention:
    return Attention(GPT2Config(n_embd=width, n_head=heads, attn_pdrop=attn_pdrop), 0)


@needs_tiles
@pytest.mark.parametrize(
    ("rows", "positions", "heads", "width"), [(2, 64, 2, 128), (1, 33, 3, 96), (3, 1, 1, 64), (2, 100, 2, 64)]
)
def test_attention_and_its_gradient_are_torchs(rows: int, positions: int, heads: int, width: int) -> None:
    qkv = torch.randn(rows, positions, 3 * width).bfloat16()
    upstream = torch.randn(rows, positions, width).bfloat16()
    module = layer(heads, width)
    y, gradient = with_gradient(NativeAttention(operations(), module), qkv, upstream)
    wanted, wanted_gradient = with_gradient(lambda x: module._mix(x, None), qkv.float(), upstream.float())
    assert y.dtype == gradient.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), wanted, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(gradient.float(), wanted_gradient, atol=3e-2, rtol=3e-2)


@needs_tiles
def test_attention_has_the_same_bits_for_any_number_of_threads() -> None:
    qkv, upstream = torch.randn(2, 70, 192).bfloat16(), torch.randn(2, 70, 64).bfloat16()
    one, other = (with_gradient(NativeAttention(operations(n), layer(2, 64)), qkv, upstream) for n in (1, 3))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_attention_leaves_dropout_and_float32_to_torch() -> None:
    dropping, plain = layer(1, 32, attn_pdrop=0.1), layer(1, 32, attn_pdrop=0.0)
    assert NativeAttention(operations(), dropping)(torch.randn(1, 4, 96).bfloat16()) is None
    assert NativeAttention(operations(), plain)(torch.randn(1, 4, 96)) is None


def test_a_model_of_native_operations_has_the_loss_and_gradients_of_its_own() -> None:
    config = GPT2Config(
        vocab_size=50, n_positions=40, n_embd=64, n_layer=2, n_head=2, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0
    )
    ids = torch.randint(50, (3, 40))

    def gradients(native: bool) -> tuple[float, list[Tensor]]:
        model = GPT(config, torch.Generator().manual_seed(1))
        if native:
            use_native(model, torch.device("cpu"), torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(ids).view(-1, 50).float(), ids.view(-1))
        loss.backward()
        return loss.item(), [p.grad for p in model.parameters() if p.grad is not None]

    (loss, mine), (wanted, theirs) = gradients(native=True), gradients(native=False)
    assert loss == pytest.approx(wanted, abs=2e-3)
    for own, other in zip(mine, theirs, strict=True):
        assert (own - other).norm() <= 0.05 * other.norm() + 1e-6

"""GELU and attention computed natively for training, beside PyTorch's own and their gradients by autograd."""

from __future__ import annotations

import gpt2lab._native as _native
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT, Attention, Dropout, Norm, linear
from gpt2lab.model.pieces import Pieces
from gpt2lab.train.operations import (
    NativeAttention,
    NativeDropout,
    NativeGelu,
    NativeNorm,
    NativeProduct,
    NativeSum,
    exponentials_,
    use_native,
)

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
    float_row, half_rows = torch.zeros(4).numpy(), torch.zeros(3, 4, dtype=torch.int16).numpy()
    with pytest.raises(ValueError, match="do not fit"):
        operations().gelu(torch.zeros(3).numpy(), float_row)
    with pytest.raises(ValueError, match="do not fit"):
        operations().add(float_row, half_rows[0, :3].copy(), float_row)
    with pytest.raises(ValueError, match="do not fit"):
        operations().sum_columns(half_rows, torch.zeros(3).numpy())
    with pytest.raises(ValueError, match="do not fit"):
        operations().layer_norm(torch.zeros(3, 5).numpy(), float_row, float_row, 1e-5, half_rows)


def a_norm(width: int) -> Norm:
    norm = Norm(GPT2Config(n_embd=width, n_head=1, n_layer=1))
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("shape", [(1, 48), (3, 301, 20), (5, 100, 128)])
def test_layer_norm_and_its_gradients_are_torchs_on_any_number_of_threads(shape: tuple[int, ...]) -> None:
    norm = a_norm(shape[-1])
    x, upstream = 3.0 * torch.randn(shape) + 1.0, torch.randn(shape).bfloat16()
    leaves = (x.double().requires_grad_(), norm.weight.detach().double().requires_grad_(), norm.bias.double())
    wanted = F.layer_norm(leaves[0], shape[-1:], *leaves[1:], norm.eps)
    wanted_gradients = torch.autograd.grad(wanted, leaves, upstream.double(), allow_unused=True)
    for threads in (1, 2, 3):
        norm.normalise = NativeNorm(operations(threads), norm)
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = norm(leaf)
        found = torch.autograd.grad(y, (leaf, norm.weight, norm.bias), upstream)
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.double(), wanted, atol=1e-3, rtol=5e-3)  # rounded to eight bits
        torch.testing.assert_close(found[0].double(), wanted_gradients[0], atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(found[1].double(), wanted_gradients[1], atol=2e-4, rtol=2e-5)
        torch.testing.assert_close(found[2].double(), upstream.double().flatten(0, -2).sum(0), atol=1e-4, rtol=1e-5)
        if threads == 1:
            first = found
        assert all(torch.equal(a, b) for a, b in zip(first, found, strict=True))


def test_layer_norm_is_pytorchs_where_products_are_not_bfloat16() -> None:
    norm = a_norm(8)
    x = torch.randn(3, 8)
    wanted = norm(x)
    norm.normalise = NativeNorm(operations(), norm)
    assert torch.equal(norm(x), wanted)


def test_a_product_has_the_gradients_of_pytorchs_and_its_bias_a_closer_one() -> None:
    x, weight, bias = torch.randn(3, 70, 12), torch.randn(12, 20, requires_grad=True), torch.randn(20)
    upstream = torch.randn(3, 70, 20).bfloat16()
    bias.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        wanted, y = linear(x, weight, bias), NativeProduct(operations())(x, weight, bias)
    assert torch.equal(y, wanted)
    of_weight, of_bias = torch.autograd.grad(y, (weight, bias), upstream)
    assert torch.equal(of_weight, torch.autograd.grad(wanted, weight, upstream)[0])
    torch.testing.assert_close(of_bias.double(), upstream.double().sum((0, 1)), atol=1e-5, rtol=1e-5)


def test_a_product_outside_of_bfloat16_and_a_bias_that_does_not_learn_are_left_alone() -> None:
    x, weight, bias = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3, requires_grad=True)
    product = NativeProduct(operations())
    assert torch.equal(product(x, weight, bias), linear(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert not product(x, weight, bias.detach()).requires_grad


def dropped(x: Tensor, share: float = 0.3, seed: int = 4, threads: int = 2) -> Tensor:
    torch.manual_seed(seed)
    y = NativeDropout(operations(threads), Dropout(share))(x)
    assert y is not None
    return y


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_dropout_and_its_gradient_drop_the_same_numbers(kind: torch.dtype) -> None:
    x, upstream = torch.rand(5, 7, 1000).to(kind) + 0.5, torch.rand(5, 7, 1000).to(kind) + 0.5  # more than one stretch
    y, gradient = with_gradient(dropped, x, upstream)
    stays = y != 0
    assert y.dtype == gradient.dtype == kind
    torch.testing.assert_close(y, torch.where(stays, x / 0.7, 0), atol=0, rtol=1e-2)
    torch.testing.assert_close(gradient, torch.where(stays, upstream / 0.7, 0), atol=0, rtol=1e-2)
    assert torch.equal(dropped(x, threads=3), y)
    assert not torch.equal(dropped(x, seed=5), y)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_drops_as_many_as_asked_for_without_a_pattern(share: float) -> None:
    stays = dropped(torch.ones(20, 16384), share) != 0

    def mean_is(values: Tensor, wanted: float) -> None:
        spread = (wanted * (1 - wanted) / values.numel()) ** 0.5
        assert abs(values.double().mean().item() - wanted) < 4.5 * spread

    mean_is(stays, 1 - share)
    for stretch in stays:
        mean_is(stretch, 1 - share)
    for apart in (1, 2, 16, 128, 768):
        mean_is(stays[:, apart:] & stays[:, :-apart], (1 - share) ** 2)
    mean_is(stays[1:] & stays[:-1], (1 - share) ** 2)
    mean_is(stays & (dropped(torch.ones(20, 16384), share, seed=5) != 0), (1 - share) ** 2)


def test_dropout_of_a_layer_is_native_in_training_alone() -> None:
    layer, x = Dropout(0.5), torch.randn(3, 40)
    layer.drop = NativeDropout(operations(), layer)
    torch.manual_seed(4)
    assert torch.equal(layer(x), dropped(x, 0.5))
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), x)
    everything = Dropout(1.0)
    everything.drop = NativeDropout(operations(), everything)
    assert not everything(x).any()


def test_the_residual_stream_takes_halves() -> None:
    x, y, upstream = torch.randn(3, 37, requires_grad=True), torch.randn(3, 37).bfloat16(), torch.randn(3, 37)
    y.requires_grad_()
    out = NativeSum(operations())(x, y)
    assert torch.equal(out, x + y)
    of_x, of_y = torch.autograd.grad(out, (x, y), upstream)
    assert torch.equal(of_x, upstream)
    assert torch.equal(of_y, upstream.bfloat16())
    assert torch.equal(NativeSum(operations())(x, upstream), x + upstream)


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


def relative_layer(heads: int, width: int, distances: int, attn_pdrop: float = 0.0) -> Attention:
    module = Attention(
        GPT2Config(n_embd=width, n_head=heads, attn_pdrop=attn_pdrop, max_relative_position=distances), 0
    )
    assert module.relative_keys is not None
    torch.nn.init.normal_(module.relative_keys, generator=torch.Generator().manual_seed(2))
    return module


def keys_gradient(module: Attention) -> Tensor:
    assert module.relative_keys is not None
    assert module.relative_keys.grad is not None
    gradient, module.relative_keys.grad = module.relative_keys.grad, None
    return gradient


@needs_tiles
@pytest.mark.parametrize(
    ("rows", "positions", "heads", "width", "distances"),
    [(2, 64, 2, 128, 64), (1, 33, 3, 96, 50), (3, 5, 1, 64, 5), (2, 100, 2, 64, 100)],
)
def test_relative_attention_and_its_gradients_are_torchs(
    rows: int, positions: int, heads: int, width: int, distances: int
) -> None:
    qkv = torch.randn(rows, positions, 3 * width).bfloat16()
    upstream = torch.randn(rows, positions, width).bfloat16()
    module = relative_layer(heads, width, distances)
    y, gradient = with_gradient(NativeAttention(operations(), module), qkv, upstream)
    of_keys = keys_gradient(module)
    wanted, wanted_gradient = with_gradient(lambda x: module._mix(x, None), qkv.float(), upstream.float())
    wanted_of_keys = keys_gradient(module)
    torch.testing.assert_close(y.float(), wanted, atol=3e-2, rtol=3e-2)
    torch.testing.assert_close(gradient.float(), wanted_gradient, atol=6e-2, rtol=6e-2)
    assert (of_keys - wanted_of_keys).norm() <= 0.02 * wanted_of_keys.norm()
    assert not of_keys[:, positions:].any()
    again = with_gradient(NativeAttention(operations(3), module), qkv, upstream)
    assert torch.equal(again[0], y)
    assert torch.equal(again[1], gradient)


@needs_tiles
def test_relative_attention_drops_the_weights_that_plain_attention_drops() -> None:
    qkv, upstream = torch.randn(2, 70, 192).bfloat16(), torch.randn(2, 70, 64).bfloat16()
    plain, module = layer(2, 64, 0.3).train(), relative_layer(2, 64, 70, 0.3).train()
    assert module.relative_keys is not None
    torch.nn.init.zeros_(module.relative_keys)
    results = []
    for each in (plain, module):
        torch.manual_seed(8)
        results.append(with_gradient(NativeAttention(operations(), each), qkv, upstream))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@needs_tiles
def test_relative_attention_over_more_distances_than_vectors_is_pytorchs() -> None:
    assert NativeAttention(operations(), relative_layer(1, 64, 10))(torch.randn(1, 11, 192).bfloat16()) is None


@needs_tiles
def test_attention_has_the_same_bits_for_any_number_of_threads() -> None:
    qkv, upstream = torch.randn(2, 70, 192).bfloat16(), torch.randn(2, 70, 64).bfloat16()
    one, other = (with_gradient(NativeAttention(operations(n), layer(2, 64)), qkv, upstream) for n in (1, 3))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


@needs_tiles
def test_texts_that_share_a_row_are_computed_natively_and_apart() -> None:
    places = torch.cat([torch.arange(n) for n in (40, 7, 33, 20)])[None]
    qkv, upstream = torch.randn(1, 100, 192).bfloat16(), torch.randn(1, 100, 64).bfloat16()
    module = layer(2, 64)
    module.attend = NativeAttention(operations(), module)
    module._mix = forbidden  # type: ignore[assignment, method-assign]
    module.c_proj = torch.nn.Identity()  # type: ignore[assignment]
    module.resid_dropout.p = 0.0
    y, gradient = with_gradient(lambda x: module(x, None, Pieces(places)), qkv, upstream)
    for begin, end in ((0, 40), (40, 47), (47, 80), (80, 100)):
        text = slice(begin, end)
        wanted, wanted_gradient = with_gradient(lambda x: module(x, None), qkv[:, text], upstream[:, text])
        torch.testing.assert_close(y[:, text], wanted, atol=1e-2, rtol=1e-2)
        torch.testing.assert_close(gradient[:, text], wanted_gradient, atol=2e-2, rtol=2e-2)


def test_attention_leaves_float32_to_torch() -> None:
    assert NativeAttention(operations(), layer(1, 32))(torch.randn(1, 4, 96)) is None


def kept_weights(rows: int, positions: int, heads: int, share: float, seed: int, threads: int = 2) -> Tensor:
    """Return what each weight is multiplied by, (B, H, T, T), read off texts of equal scores and unit values."""
    depth = 64
    factors = torch.zeros(rows, heads, positions, positions)
    for start in range(0, positions, depth):
        qkv = torch.zeros(rows, positions, 3, heads, depth)
        for i in range(min(depth, positions - start)):
            qkv[:, start + i, 2, :, i] = 1.0
        flat = qkv.view(rows, positions, -1).bfloat16()
        y, log_sum = torch.empty(rows, positions, heads * depth).bfloat16(), torch.empty(rows, heads, positions)
        operations(threads).attention(*map(raw, (flat, None, 1.0, y, log_sum)), share, seed)
        count = torch.arange(1, positions + 1).view(1, -1, 1, 1)  # every weight of query i is 1 / (i + 1)
        seen = (y.float().view(rows, positions, heads, depth) * count).permute(0, 2, 1, 3)  # (B, H, T, D)
        factors[..., start : start + depth] = seen[..., : positions - start]
    return factors


def raw(x: object) -> object:
    if not isinstance(x, Tensor):
        return x
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


@needs_tiles
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropped_weights_are_as_many_as_asked_for_and_have_no_pattern(share: float) -> None:
    rows, positions, heads = 4, 256, 4
    factors = kept_weights(rows, positions, heads, share, seed=11)
    visible = torch.ones(positions, positions).tril().bool()
    assert not factors[..., ~visible].any()
    kept = factors > 0
    torch.testing.assert_close(factors[kept], torch.full_like(factors[kept], 1 / (1 - share)), atol=0, rtol=1e-2)

    def mean_is(values: Tensor, wanted: float) -> None:
        spread = (wanted * (1 - wanted) / values.numel()) ** 0.5
        assert abs(values.double().mean().item() - wanted) < 4.5 * spread

    stays = 1 - share
    mean_is(kept[..., visible], stays)
    for head in kept.flatten(0, 1):
        mean_is(head[visible], stays)
    both = stays * stays
    mean_is((kept[..., 1:] & kept[..., :-1])[..., visible[:, :-1] & visible[:, 1:]], both)  # keys side by side
    mean_is((kept[..., 1:, :] & kept[..., :-1, :])[..., visible[:-1]], both)  # queries
    mean_is((kept[:, 1:] & kept[:, :-1])[..., visible], both)  # heads
    mean_is((kept[1:] & kept[:-1])[..., visible], both)  # texts
    mean_is((kept & (kept_weights(rows, positions, heads, share, seed=12) > 0))[..., visible], both)  # seeds


@needs_tiles
def test_the_same_weights_are_dropped_for_any_number_of_threads() -> None:
    one, other = (kept_weights(2, 100, 3, 0.3, seed=5, threads=n) for n in (1, 3))
    assert torch.equal(one, other)


@needs_tiles
@pytest.mark.parametrize(
    ("rows", "positions", "heads", "width"), [(2, 64, 2, 128), (1, 33, 3, 96), (3, 3, 1, 64), (2, 150, 2, 128)]
)
def test_attention_with_dropout_and_its_gradient_are_those_of_the_weights_that_stay(
    rows: int, positions: int, heads: int, width: int
) -> None:
    qkv = torch.randn(rows, positions, 3 * width).bfloat16()
    upstream = torch.randn(rows, positions, width).bfloat16()
    module = layer(heads, width, attn_pdrop=0.3).train()
    torch.manual_seed(8)
    factors = kept_weights(rows, positions, heads, 0.3, int(torch.randint(2**63 - 1, ())))
    factors = factors.gt(0).double() / (1 - 0.3)

    def dense(x: Tensor) -> Tensor:
        q, k, v = x.view(rows, positions, 3, heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        scores = (q @ k.transpose(2, 3)) * module.scale
        hidden = torch.ones(positions, positions).triu(1).bool()
        weights = scores.masked_fill(hidden, float("-inf")).softmax(3) * factors
        return (weights @ v).transpose(1, 2).reshape(rows, positions, width)

    torch.manual_seed(8)
    y, gradient = with_gradient(NativeAttention(operations(), module), qkv, upstream)
    wanted, wanted_gradient = with_gradient(dense, qkv.double(), upstream.double())
    torch.testing.assert_close(y.double(), wanted, atol=3e-2, rtol=2e-2)
    torch.testing.assert_close(gradient.double(), wanted_gradient, atol=6e-2, rtol=3e-2)
    torch.manual_seed(8)
    again = with_gradient(NativeAttention(operations(3), module), qkv, upstream)
    assert torch.equal(again[0], y)
    assert torch.equal(again[1], gradient)
    assert not torch.equal(NativeAttention(operations(), module)(qkv), y)
    torch.testing.assert_close(
        NativeAttention(operations(), module.eval())(qkv).float(), module._mix(qkv.float(), None), atol=2e-2, rtol=2e-2
    )


def test_a_share_that_is_none_is_refused() -> None:
    numbers = [raw(torch.zeros(shape).bfloat16()) for shape in ((1, 1, 96), (1, 1, 32))]
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="do not fit"):
            operations().attention(numbers[0], None, 1.0, numbers[1], raw(torch.zeros(1, 1, 1)), share, 1)


@needs_tiles
def test_a_block_computed_twice_drops_the_same_weights() -> None:
    config = GPT2Config(vocab_size=50, n_positions=40, n_embd=64, n_layer=2, n_head=2, attn_pdrop=0.4)
    ids = torch.randint(50, (3, 40))

    def gradients(again: bool) -> list[Tensor]:
        model = GPT(config, torch.Generator().manual_seed(1))
        model.transformer.checkpoint_activations = again
        use_native(model, torch.device("cpu"), torch.bfloat16)
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(ids).view(-1, 50).float(), ids.view(-1))
        loss.backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    for once, twice in zip(gradients(again=False), gradients(again=True), strict=True):
        assert torch.equal(once, twice)


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

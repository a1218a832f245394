"""Local and compressed attention equal what their definitions say, forward and backward, and see nothing ahead."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytest.importorskip("torch", reason="the PyTorch model needs torch")

import numpy as np
import torch
from torch import Tensor

import numpy_gpt2
from gpt2lab.errors import ConfigError
from gpt2lab.model.cache import KVCache
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.model.long import Compression, attend_compressed, in_blocks
from gpt2lab.model.pieces import Pieces
from gpt2lab.model.relative import BLOCK

KINDS = [("local",), ("compressed",), ("local", "compressed", "full")]


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def shape(kinds: tuple[str, ...], *, block: int = 5, compression: int = 3, **more: Any) -> GPT2Config:
    return GPT2Config(**{
        "vocab_size": 50, "n_positions": 32, "n_embd": 12, "n_layer": len(kinds), "n_head": 3, "resid_pdrop": 0.0,
        "embd_pdrop": 0.0, "attn_pdrop": 0.0, "initializer_range": 0.3, "attention_layers": kinds,
        "attention_block": block, "attention_compression": compression, **more,
    })  # fmt: skip


def model_and_ids(config: GPT2Config, rows: int = 2, length: int = 31) -> tuple[GPT, Tensor]:
    model = GPT(config, torch.Generator().manual_seed(0)).eval()
    return model, torch.randint(50, (rows, length), generator=torch.Generator().manual_seed(1))


# ---- local -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, 31, 32])
def test_a_block_as_long_as_the_text_is_full_attention_bit_for_bit(length: int) -> None:
    results = []
    for kinds in (("local", "local"), ("full", "full")):
        model, ids = model_and_ids(shape(kinds, block=32), length=length)
        logits = model(ids)
        results.append([logits, *torch.autograd.grad(logits.square().sum(), list(model.parameters()))])
    assert all(torch.equal(ours, full) for ours, full in zip(*results, strict=True))


@pytest.mark.parametrize(("length", "block"), [(20, 5), (23, 5), (23, 1), (7, 6), (23, 22)])
def test_local_attention_is_full_attention_under_a_mask_of_blocks(length: int, block: int) -> None:
    qkv, upstream = drawn(2, length, 36, seed=1), drawn(2, length, 12, seed=2).detach()
    attention = GPT(shape(("local",), block=block)).transformer.h[0].attn
    places = torch.arange(length)
    allowed = (places[:, None] >= places) & (places[:, None] // block == places // block)
    q, k, v = (part.view(2, length, 3, 4).transpose(1, 2) for part in qkv.split(12, dim=2))
    masked = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    results = []
    for y in (masked.transpose(1, 2).reshape(2, length, 12), attention._attended(qkv, None)):
        results.append((y, *torch.autograd.grad(y, qkv, upstream)))
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_mixes_blocks_is_given_no_more_than_a_block() -> None:
    given: list[tuple[int, ...]] = []

    def mix(x: Tensor) -> Tensor:
        given.append(tuple(x.shape))
        return x

    x = drawn(2, 17, 3, seed=0)
    assert torch.equal(in_blocks(mix, x, 5), x)
    assert given == [(6, 5, 3), (2, 2, 3)]


# ---- compressed --------------------------------------------------------------------------------------------------


def naive(q: Tensor, k: Tensor, v: Tensor, compress: tuple[Compression, Compression], c: int, scale: float) -> Tensor:
    """Attend from each query, one after the other, to whole groups made one and to the positions left over."""
    rows = []
    for i in range(q.shape[2]):
        whole = (i + 1) // c * c
        seen = []
        for x, kernel in zip((k, v), compress, strict=True):
            matrices = kernel.weight.view(3, c, 4, 4)  # (H, c, D, D)
            joined = [
                sum(torch.einsum("bhd,hde->bhe", x[:, :, g + n], matrices[:, n]) for n in range(c))
                + kernel.bias.view(3, 4)
                for g in range(0, whole, c)
            ]
            seen.append(torch.stack([*joined, *x[:, :, whole : i + 1].unbind(2)], dim=2))
        weights = torch.softmax(scale * torch.einsum("bhd,bhsd->bhs", q[:, :, i], seen[0]), dim=-1)
        rows.append(torch.einsum("bhs,bhsd->bhd", weights, seen[1]))
    return torch.stack(rows, dim=2)


@pytest.mark.parametrize(
    ("length", "c", "block"),
    [(1, 3, 8), (2, 3, 8), (3, 3, 8), (4, 3, 8), (23, 3, 6), (24, 3, 7), (25, 4, 8), (20, 1, 6), (7, 9, 4)],
)
def test_compressed_attention_is_what_it_says(length: int, c: int, block: int) -> None:
    inputs = [drawn(2, 3, length, 4, seed=i) for i in range(3)]
    kernels = Compression(3, c, 4), Compression(3, c, 4)
    parameters = [p for kernel in kernels for p in kernel.parameters()]
    for i, parameter in enumerate(parameters):
        parameter.data = drawn(*parameter.shape, seed=10 + i).detach() * 0.5
    upstream = drawn(2, 3, length, 4, seed=5).detach()
    q, k, v = inputs
    slots = kernels[0](k), kernels[1](v)
    results = []
    for y in (naive(*inputs, kernels, c, 0.4), attend_compressed(q, k, v, slots, factor=c, scale=0.4, block=block)):
        results.append((y, *torch.autograd.grad(y, [*inputs, *parameters], upstream, materialize_grads=True)))
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_one_position_made_one_by_an_identity_is_full_attention() -> None:
    model, ids = model_and_ids(shape(("compressed", "compressed"), compression=1))
    plain, _ = model_and_ids(shape(("full", "full")))
    with torch.no_grad():
        for block in model.transformer.h:
            for kernel in (block.attn.compress_keys, block.attn.compress_values):
                kernel.weight.copy_(torch.eye(4))
    plain.load_state_dict({n: t for n, t in model.state_dict().items() if "compress" not in n})
    results = []
    for one in (model, plain):
        logits = one(ids)
        shared = [p for n, p in one.named_parameters() if "compress" not in n]
        results.append([logits, *torch.autograd.grad(logits.square().mean(), shared)])
    for ours, full in zip(*results, strict=True):
        torch.testing.assert_close(ours, full, rtol=1e-4, atol=1e-5)


def test_a_new_model_begins_near_the_mean_of_each_group() -> None:
    attention = GPT(shape(("compressed",), initializer_range=1e-4)).transformer.h[0].attn
    x = drawn(2, 3, 8, 4, seed=0)
    means = x[:, :, :6].view(2, 3, 2, 3, 4).mean(3)
    torch.testing.assert_close(attention.compress_values(x), means, rtol=1e-2, atol=1e-2)


def test_dropped_weights_are_the_same_when_they_are_computed_again() -> None:
    q, k, v, slot_keys = (drawn(1, 2, n, 4, seed=n) for n in (24, 24, 24, 8))
    torch.manual_seed(0)
    slots = slot_keys, v.view(1, 2, 8, 3, 4).mean(3)
    y = attend_compressed(q, k, v, slots, factor=3, scale=0.5, dropout=0.5, block=6)
    (slope,) = torch.autograd.grad(y.sum(), v)
    # y is linear in v: with the same weights in both passes, the gradient and v give y again
    torch.testing.assert_close((slope * v).sum(), y.sum())


# ---- both --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize(("block", "compression"), [(5, 3), (8, 4), (1, 1)])
def test_the_model_is_the_twin_in_numpy(kinds: tuple[str, ...], block: int, compression: int) -> None:
    config = shape(kinds, block=block, compression=compression, scale_attn_by_inverse_layer_idx=True)
    weights = numpy_gpt2.random_weights(config, seed=3)
    model, ids = model_and_ids(config, rows=1)
    model.load_state_dict({n: torch.from_numpy(w) for n, w in weights.items()})
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == config.tensor_shapes()
    wanted = numpy_gpt2.logits(config, weights, ids[0].tolist())
    np.testing.assert_allclose(model(ids)[0].detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_nothing_that_comes_later_changes_anything(kinds: tuple[str, ...]) -> None:
    model, ids = model_and_ids(shape(kinds), rows=1)
    logits = model(ids)
    for place in range(1, ids.shape[1]):
        other = ids.clone()
        other[0, place:] = (other[0, place:] + 7) % 50
        changed = model(other)
        torch.testing.assert_close(changed[0, :place], logits[0, :place], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(changed[0, place], logits[0, place], atol=1e-3)
    assert torch.isfinite(logits).all()


@torch.no_grad()
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_cache_changes_nothing(kinds: tuple[str, ...]) -> None:
    config = shape(kinds)
    model, ids = model_and_ids(config)
    whole, cache = model(ids), KVCache(config, rows=2)
    ends = [0, 1, 2, 9, 10, 11, 20, 31]
    parts = [model(ids[:, start:end], cache) for start, end in itertools.pairwise(ends)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    one_by_one = KVCache(config, rows=2)
    singly = [model(ids[:, i : i + 1], one_by_one) for i in range(31)]
    torch.testing.assert_close(torch.cat(singly, dim=1), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_cache_is_cropped_forked_and_put_in_another_order(kinds: tuple[str, ...]) -> None:
    config = shape(kinds)
    model, ids = model_and_ids(config)
    cache = KVCache(config, rows=2)
    model(ids[:, :20], cache)
    cache.crop(13)
    twin = cache.fork(2)
    cache.reorder([1, 0])
    other = (ids + 7) % 50
    given = torch.cat([ids[:, :13], other[:, 13:]], dim=1)
    whole = model(given)
    torch.testing.assert_close(model(given[[1, 0], 13:], cache), whole[[1, 0], 13:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(given[[0, 0, 1, 1], 13:], twin), whole[[0, 0, 1, 1], 13:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_texts_that_share_a_row_are_read_as_if_alone(kinds: tuple[str, ...]) -> None:
    model, ids = model_and_ids(shape(kinds), rows=1)
    packed = model.hidden(ids, pieces=Pieces(torch.cat([torch.arange(n) for n in (13, 1, 17)])[None]))
    for begin, end in ((0, 13), (13, 14), (14, 31)):
        torch.testing.assert_close(packed[:, begin:end], model.hidden(ids[:, begin:end]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["local", "compressed"])
def test_a_pass_keeps_no_matrix_of_all_pairs(kind: str) -> None:
    attention = GPT(shape((kind,), block=16)).transformer.h[0].attn
    sizes = []
    for length in (768, 1536):
        kept: list[int] = []

        def keep(x: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(x.numel())
            return x

        qkv = drawn(1, length, 36, seed=1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            attention(qkv, None)
        sizes.append(max(kept))
    assert sizes[1] <= (36 * 1536 if kind == "local" else BLOCK * (1536 // 3 + BLOCK))  # keys of some queries
    assert sizes[1] <= 2 * sizes[0]


# ---- the configuration -------------------------------------------------------------------------------------------


def test_the_configuration_goes_into_a_file_and_back_and_says_what_it_is() -> None:
    config = shape(("local", "compressed"), block=7)
    said = config.to_hf()
    assert said["model_type"] == "gpt2-long" and said["attention_block"] == 7
    assert GPT2Config.from_hf(said) == config
    for plain in (GPT2Config(), shape(("full", "full"))):
        said = plain.to_hf()
        assert said["model_type"] == "gpt2" and not [name for name in said if name.startswith("attention_")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kinds": ("lokal",)}, r"attention_layers has 'lokal', which is not one of full, local, compressed\. Did you"),
        ({"kinds": ("local",), "n_layer": 2}, "attention_layers names 1 layers, but n_layer = 2; name the attention"),
        ({"kinds": ("local",), "block": 0}, "attention_block = 0 must be at least 1"),
        ({"kinds": ("local",), "compression": 0}, "attention_compression = 0 must be at least 1"),
        ({"kinds": ("local",), "max_relative_position": 4}, "max_relative_position = 4 is of full attention only"),
    ],
)
def test_impossible_settings_are_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shape(**values)

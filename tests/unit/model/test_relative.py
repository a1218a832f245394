"""Relative attention equals the form that can be read off the paper, forward and backward, and needs less memory."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the PyTorch model needs torch")

import torch
from torch import Tensor

from gpt2lab.model.cache import KVCache
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.model.relative import attend_relatively


def naive(q: Tensor, k: Tensor, v: Tensor, e: Tensor, scale: float) -> Tensor:
    """Hold the vector of every pair's distance, (H, T, S, D), as Shaw et al. (2018) write it."""
    t, s = q.shape[2], k.shape[2]
    places = torch.arange(s - t, s).unsqueeze(1) - torch.arange(s)  # (T, S): how far back each key lies
    vectors = e[:, places.clamp(0, e.shape[1] - 1)]  # (H, T, S, D)
    scores = (torch.einsum("bhtd,bhsd->bhts", q, k) + torch.einsum("bhtd,htsd->bhts", q, vectors)) * scale
    return torch.softmax(scores.masked_fill(places < 0, float("-inf")), -1) @ v


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize(
    ("t", "s", "distances", "block"),
    [(1, 1, 1, 8), (7, 7, 7, 8), (7, 7, 3, 8), (7, 7, 20, 8), (1, 9, 4, 8), (5, 9, 4, 8), (33, 33, 16, 8),
     (20, 41, 7, 8)],
)  # fmt: skip
def test_it_equals_the_naive_form_forward_and_backward(t: int, s: int, distances: int, block: int) -> None:
    b, h, d = 2, 3, 5
    inputs = [
        drawn(b, h, t, d, seed=1),
        drawn(b, h, s, d, seed=2),
        drawn(b, h, s, d, seed=3),
        drawn(h, distances, d, seed=4),
    ]
    upstream = drawn(b, h, t, d, seed=5).detach()
    results = []
    for y in (naive(*inputs, 0.3), attend_relatively(*inputs, scale=0.3, block=block)):
        results.append((y, *torch.autograd.grad(y, inputs, upstream)))
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_far_distances_share_the_last_vector_and_all_others_matter() -> None:
    q, k, v, e = drawn(1, 1, 6, 4, seed=1), drawn(1, 1, 6, 4, seed=2), drawn(1, 1, 6, 4, seed=3), drawn(1, 3, 4, seed=4)
    y = attend_relatively(q, k, v, e, scale=1.0)
    longer = torch.cat([e, e[:, -1:], e[:, -1:], e[:, -1:]], dim=1)
    torch.testing.assert_close(attend_relatively(q, k, v, longer, scale=1.0), y)
    for place in range(3):
        changed = e.detach().clone()
        changed[0, place] += 1.0
        assert not torch.allclose(attend_relatively(q, k, v, changed, scale=1.0), y, atol=1e-3)


def test_dropped_weights_are_the_same_when_they_are_computed_again() -> None:
    q, k, v, e = (
        drawn(1, 2, 24, 4, seed=1),
        drawn(1, 2, 24, 4, seed=2),
        drawn(1, 2, 24, 4, seed=3),
        drawn(2, 9, 4, seed=4),
    )
    torch.manual_seed(0)
    y = attend_relatively(q, k, v, e, scale=0.5, dropout=0.5, block=8)
    (slope,) = torch.autograd.grad(y.sum(), v)
    # y is linear in v: with the same weights in both passes, the gradient and v give y again
    torch.testing.assert_close((slope * v).sum(), y.sum())


@pytest.mark.parametrize("length", [64, 96])
def test_a_backward_pass_holds_no_matrix_of_all_pairs(length: int) -> None:
    kept: list[int] = []
    q, k, v = (drawn(1, 2, length, 4, seed=i) for i in range(3))
    e = drawn(2, length, 4, seed=9)

    def keep(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        attend_relatively(q, k, v, e, scale=1.0, block=8)
    assert max(kept) <= 2 * length * 4


CONFIG = GPT2Config(
    vocab_size=50, n_positions=24, n_embd=12, n_layer=2, n_head=3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    max_relative_position=10, initializer_range=0.3,
)  # fmt: skip


@torch.no_grad()
def test_a_cache_changes_nothing() -> None:
    model = GPT(CONFIG, torch.Generator().manual_seed(0)).eval()
    ids = torch.randint(50, (2, 20), generator=torch.Generator().manual_seed(1))
    whole, cache = model(ids), KVCache(CONFIG, rows=2)
    parts = [model(ids[:, start:end], cache) for start, end in ((0, 1), (1, 9), (9, 10), (10, 20))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_the_distances_are_learnt_with_the_rest() -> None:
    model = GPT(CONFIG, torch.Generator().manual_seed(0))
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == CONFIG.tensor_shapes()
    model(torch.arange(20).view(2, 10)).square().sum().backward()
    for block in model.transformer.h:
        assert block.attn.relative_keys.grad.abs().sum(dim=(0, 2)).min() > 0

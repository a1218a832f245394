"""Products in int8: near those in float32, and always with the weights of now."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT, Conv1D
from gpt2lab.train.int8 import use_int8

CPU = torch.device("cpu")


def layer(seed: int = 0) -> Conv1D:
    made = Conv1D(128, 192)
    torch.manual_seed(seed)
    for parameter in made.parameters():
        parameter.data.normal_(std=0.05)
    return made


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_products_and_gradients_are_near_those_of_floats() -> None:
    plain, rounded = layer(), layer()
    use_int8(rounded, CPU)
    results = []
    for each in (plain, rounded):
        torch.manual_seed(1)
        x = torch.randn(3, 7, 128, requires_grad=True)  # (B, T, C)
        y = each(x)
        y.backward(torch.randn(3, 7, 192))
        results.append((y.detach(), x.grad, each.weight.grad, each.bias.grad))
    for name, exact, near in zip(("y", "x", "weight", "bias"), *results, strict=True):
        assert near.shape == exact.shape
        assert far(near, exact) < 0.02, name
    assert far(results[1][0], results[0][0]) > 1e-6, "nothing was rounded"
    assert torch.equal(rounded.eval()(x), plain.eval()(x)), "validation rounds"


def test_weights_are_packed_again_when_they_have_changed() -> None:
    """Also when neither their address nor their version says so."""
    changed = layer()
    factors = use_int8(changed, CPU)
    x = torch.randn(5, 128)
    before = changed(x)
    changed.load_state_dict(layer(seed=2).state_dict())
    changed.weight.data.mul_(2)
    for each in factors:
        each.forget()
    expected = layer(seed=2)
    expected.weight.data.mul_(2)
    use_int8(expected, CPU)
    assert torch.equal(changed(x), expected(x))
    assert not torch.equal(changed(x), before)


def test_where_it_cannot_be_done() -> None:
    with pytest.raises(ConfigError, match='"int8" is for CPUs; on a GPU set "bf16"'):
        use_int8(layer(), torch.device("cuda"))
    odd = GPT(GPT2Config(vocab_size=10, n_positions=8, n_embd=12, n_layer=1, n_head=2))
    with pytest.raises(ConfigError, match=r'"int8" needs widths that are multiples of 64 \(model\.n_embd'):
        use_int8(odd, CPU)

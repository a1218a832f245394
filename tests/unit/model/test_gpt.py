"""The PyTorch model by itself: window, positions, dropout and how new weights are drawn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

pytest.importorskip("torch", reason="the PyTorch model needs torch")

import torch

from gpt2lab.errors import RequestError
from gpt2lab.model.config import ACTIVATIONS, GPT2Config
from gpt2lab.model.gpt import ACTIVATION, GPT

CONFIG = GPT2Config(
    vocab_size=300, n_positions=8, n_embd=64, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
)
IDS = torch.arange(16).view(2, 8)


def drawn(config: GPT2Config, seed: int = 0) -> GPT:
    return GPT(config, torch.Generator().manual_seed(seed))


def test_every_activation_of_the_configuration_has_its_function() -> None:
    assert set(ACTIVATION) == set(ACTIVATIONS)


def test_more_positions_than_the_window() -> None:
    with pytest.raises(RequestError, match="9 positions do not fit the window of 8"):
        drawn(CONFIG)(torch.zeros(1, 9, dtype=torch.long))


@torch.no_grad()
def test_positions_can_be_given() -> None:
    model = drawn(CONFIG).eval()
    ids = IDS[:, :3]
    torch.testing.assert_close(model(ids, positions=torch.arange(3)), model(ids))
    per_row = torch.tensor([[0, 1, 2], [4, 5, 6]])
    shifted = model(ids, positions=per_row)
    torch.testing.assert_close(shifted[0], model(ids)[0])
    assert not torch.allclose(shifted[1], model(ids)[1])


@torch.no_grad()
def test_a_later_token_does_not_change_earlier_logits() -> None:
    model = drawn(CONFIG).eval()
    other = IDS.clone()
    other[:, 5:] = 299
    before, after = model(IDS), model(other)
    torch.testing.assert_close(before[:, :5], after[:, :5], rtol=0, atol=0)
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@pytest.mark.parametrize("place", ["resid_pdrop", "embd_pdrop", "attn_pdrop"])
@torch.no_grad()
def test_dropout_works_in_training_only(place: str) -> None:
    changes: dict[str, Any] = {place: 0.5, "initializer_range": 0.5}
    model = drawn(dataclasses.replace(CONFIG, **changes))
    plain = drawn(dataclasses.replace(CONFIG, initializer_range=0.5)).eval()
    torch.manual_seed(0)
    assert not torch.allclose(model.train()(IDS), model(IDS))
    torch.testing.assert_close(model.eval()(IDS), plain(IDS))


def test_weights_are_drawn_as_in_the_paper() -> None:
    model = drawn(dataclasses.replace(CONFIG, n_layer=8))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (1.0 if name.endswith("weight") else 0.0)).all(), name
            continue
        expected = 0.02 / 16**0.5 if name.endswith("c_proj.weight") else 0.02
        assert parameter.std().item() == pytest.approx(expected, rel=0.1), name
        assert abs(parameter.mean().item()) < expected / 4, name


def test_the_generator_decides_the_weights() -> None:
    a, b, c = (drawn(CONFIG, seed).head_weight for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_head_is_the_embedding_only_when_tied() -> None:
    tied, untied = drawn(CONFIG), drawn(dataclasses.replace(CONFIG, tie_word_embeddings=False))
    assert tied.head_weight is tied.transformer.wte.weight
    assert untied.head_weight is not untied.transformer.wte.weight
    assert untied.head_weight.shape == (300, 64)

"""The PyTorch model against transformers' GPT2LMHeadModel and against the NumPy twin, over models of many shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numpy_gpt2
from random_gpt2 import CONFIGS, transformers_model, weights_of

torch = pytest.importorskip("torch", reason="the PyTorch model needs torch")
pytest.importorskip("transformers", reason="the reference implementation is not installed")

from gpt2lab.model.config import ACTIVATIONS, GPT2Config  # noqa: E402
from gpt2lab.model.gpt import GPT  # noqa: E402

TOLERANCE = 1e-4


def ours(config: GPT2Config, weights: dict[str, Any]) -> GPT:
    model = GPT(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model.eval()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_equal_transformers_and_the_numpy_twin(config: GPT2Config) -> None:
    weights = weights_of(config, seed=7)
    ids = np.random.default_rng(3).integers(config.vocab_size, size=(2, config.n_positions))
    with torch.no_grad():
        logits = ours(config, weights)(torch.from_numpy(ids)).numpy()
        reference = transformers_model(config, weights)(torch.from_numpy(ids)).logits.numpy()
    twin = np.stack([numpy_gpt2.logits(config, weights, row.tolist()) for row in ids])
    assert logits.shape == (2, config.n_positions, config.vocab_size)
    np.testing.assert_allclose(logits, reference, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(logits, twin, rtol=0, atol=TOLERANCE)


def test_the_configurations_cover_every_setting_that_changes_the_forward_pass() -> None:
    assert len(CONFIGS) >= 30
    assert {c.activation_function for c in CONFIGS.values()} == set(ACTIVATIONS)
    for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings"):
        assert {getattr(c, name) for c in CONFIGS.values()} == {False, True}


@pytest.mark.parametrize("tied", [True, False])
def test_state_dict_has_the_names_and_shapes_of_transformers(tied: bool) -> None:
    config = GPT2Config(vocab_size=13, n_positions=5, n_embd=6, n_layer=2, n_head=3, tie_word_embeddings=tied)
    own = {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}
    reference = transformers_model(config, weights_of(config, seed=0)).state_dict()
    assert own == config.tensor_shapes()
    known = {
        name: tuple(tensor.shape)
        for name, tensor in reference.items()
        if not name.endswith((".attn.bias", ".masked_bias"))
    }
    if tied:
        known.pop("lm_head.weight", None)
    assert own == known


def test_loss_and_gradients_equal_transformers() -> None:
    config = CONFIGS["prime vocabulary"]
    weights = weights_of(config, seed=1)
    ids = torch.from_numpy(np.random.default_rng(5).integers(config.vocab_size, size=(3, 16)))
    model, reference = ours(config, weights), transformers_model(config, weights)
    logits = model(ids)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    expected = reference(ids, labels=ids).loss
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    own, other = (dict(m.named_parameters()) for m in (model, reference))
    gradients = dict(zip(other, torch.autograd.grad(expected, list(other.values())), strict=True))
    for name, gradient in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
        torch.testing.assert_close(gradient, gradients[name], rtol=0, atol=1e-4)

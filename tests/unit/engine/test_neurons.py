"""Neurons against the NumPy twin: what fires, and what it adds to the next token's logits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import numpy_gpt2 as twin
from gpt2lab.engine.inside import inside_pieces, traced
from gpt2lab.engine.neurons import activations_of, fired
from gpt2lab.engine.score import drained
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.model.config import ACTIVATIONS, GPT2Config
from random_gpt2 import MODEL, RELATIVE, native, weights_of

SHAPES = [dataclasses.replace(MODEL, activation_function=name) for name in ACTIVATIONS] + [*RELATIVE.values()][:3]


def tokens(config: GPT2Config, count: int = 30) -> Any:
    return np.random.default_rng(3).integers(config.vocab_size, size=count).astype(np.int32)


def block_of(config: GPT2Config, layer: int) -> dict[str, Any]:
    prefix = f"transformer.h.{layer}."
    weights = weights_of(config)
    return {n.removeprefix(prefix): w.astype(np.float64) for n, w in weights.items() if n.startswith(prefix)}


@pytest.mark.parametrize("config", SHAPES, ids=lambda c: f"{c.activation_function} {c.max_relative_position}")
def test_activations_are_the_twins(config: GPT2Config) -> None:
    stream, qkv = traced(native(config), tokens(config))
    for layer in range(config.n_layer):
        block, x = block_of(config, layer), stream[layer].astype(np.float64)
        x = x + twin._attention(config, layer, block, twin._norm(config, x, block["ln_1.weight"], block["ln_1.bias"]))
        x = twin._norm(config, x, block["ln_2.weight"], block["ln_2.bias"])
        expected = twin.ACTIVATION[config.activation_function](x @ block["mlp.c_fc.weight"] + block["mlp.c_fc.bias"])
        made = activations_of(config, weights_of(config), layer, stream[layer], qkv[layer])
        np.testing.assert_allclose(made, expected[-1], atol=2e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_effects_are_what_the_logits_lose_without_the_neuron(tied: bool) -> None:
    config = dataclasses.replace(MODEL, tie_word_embeddings=tied)
    weights = weights_of(config)
    trace = traced(native(config), tokens(config))
    last = trace[0][-1, -1].astype(np.float64)
    spread = np.sqrt(last.var() + config.layer_norm_epsilon)
    head = weights["transformer.wte.weight" if tied else "lm_head.weight"].astype(np.float64)

    def logits(x: Any) -> Any:
        return (
            (x - x.mean()) / spread * weights["transformer.ln_f.weight"] + weights["transformer.ln_f.bias"]
        ) @ head.T

    found = fired(config, weights, trace, 1, count=4, top=3)
    activations = activations_of(config, weights, 1, trace[0][1], trace[1][1])
    assert [n.number for n in found] == np.argsort(-activations)[:4].tolist()
    for neuron in found:
        assert neuron.activation == pytest.approx(float(activations[neuron.number]))
        written = neuron.activation * weights["transformer.h.1.mlp.c_proj.weight"][neuron.number]
        effect = logits(last) - logits(last - written)
        effect -= effect.mean()
        order = np.argsort(-effect)
        for said, places in ((neuron.promotes, order[:3]), (neuron.suppresses, order[::-1][:3])):
            assert [i for i, _ in said] == places.tolist()
            assert [e for _, e in said] == pytest.approx(effect[places].tolist(), abs=1e-4)


@pytest.mark.parametrize("config", RELATIVE.values(), ids=RELATIVE.keys())
def test_maps_of_relative_attention_mix_the_values_as_the_twin_does(config: GPT2Config) -> None:
    backend, ids = native(config), tokens(config, 60)
    inside = drained(inside_pieces(backend, ids, top=1, tensors=weights_of(config)))
    stream, qkv = backend.trace(ids)
    for layer in range(config.n_layer):
        block, x = block_of(config, layer), stream[layer].astype(np.float64)
        values = qkv[layer, :, 2 * config.n_embd :].reshape(60, config.n_head, config.head_dim)
        mixed = np.einsum("hts,shd->thd", inside.attentions[layer], values).reshape(60, config.n_embd)
        expected = twin._attention(
            config, layer, block, twin._norm(config, x, block["ln_1.weight"], block["ln_1.bias"])
        )
        made = mixed @ block["attn.c_proj.weight"] + block["attn.c_proj.bias"]
        np.testing.assert_allclose(made, expected, atol=1e-4)
    with pytest.raises(RequestError, match="The maps of relative attention need the model's weights"):
        drained(inside_pieces(backend, ids, top=1))


@pytest.mark.parametrize("layer", [-1, MODEL.n_layer, True])
def test_a_layer_that_is_not_there(layer: int) -> None:
    with pytest.raises(RequestError, match=f"layer = {layer} must be a whole number from 0 to {MODEL.n_layer - 1}"):
        fired(MODEL, weights_of(MODEL), traced(native(MODEL), tokens(MODEL)), layer)


def test_damaged_weights_are_called_so() -> None:
    weights = weights_of(MODEL)
    weights["transformer.h.1.mlp.c_fc.bias"][3] = np.nan
    with pytest.raises(CheckpointError, match="its weights are damaged"):
        fired(MODEL, weights, traced(native(MODEL), tokens(MODEL)), 1)

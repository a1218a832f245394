"""The neurons of a block's feed-forward layer: which fire at a token, and which next tokens they speak for or against.

Each neuron adds its row of the layer's output weights, times its activation, to the residual stream (Geva et al. 2021,
"Transformer Feed-Forward Layers Are Key-Value Memories"). Of what the head makes of the stream that part is a summand
by itself once the last layer norm's divisor is known (the direct path of Elhage et al. 2021, "A Mathematical Framework
for Transformer Circuits"). Ids in, numbers out: the stream is the backend's, the weights are the checkpoint's.

Legend: L n_layer, T tokens, C n_embd, F width of the feed-forward layer, V vocab_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2lab.engine.inside import attention_maps, relative_keys
from gpt2lab.engine.jobs import damaged_weights
from gpt2lab.engine.params import check_whole
from gpt2lab.engine.protocol import Floats
from gpt2lab.errors import RequestError
from gpt2lab.model.config import GPT2Config

Tensors = Mapping[str, Floats]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Neuron:
    """A neuron that fires: its number in the layer (from 0) and its activation.

    promotes, suppresses: (token id, what it adds to the token's logit, in nats, beside the mean over all tokens) of the
    tokens that gain and lose most, strongest first. It is the direct effect: what later layers make of it is not in it.
    """

    number: int
    activation: float
    promotes: list[tuple[int, float]]
    suppresses: list[tuple[int, float]]


def fired(
    config: GPT2Config, tensors: Tensors, trace: tuple[Floats, Floats], layer: int, *, count: int = 8, top: int = 5
) -> list[Neuron]:
    """Return the `count` most active neurons of block `layer` (from 0) at the last token of `Backend.trace`.

    `top` tokens of each kind are said of each. Raises `RequestError` for a block that is not there, and
    `CheckpointError` where the weights are damaged.
    """
    check_whole("count", count, 1)
    check_whole("top", top, 1)
    top = min(top, config.vocab_size)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < config.n_layer:
        raise RequestError(f"layer = {layer!r} must be a whole number from 0 to {config.n_layer - 1}.")
    stream, qkv = trace
    activations = activations_of(config, tensors, layer, stream[layer], qkv[layer])
    order = np.argsort(-activations, kind="stable")[:count]
    effects = _effects(config, tensors, layer, stream[-1, -1], order) * activations[order, None]  # (count, V)
    if not (np.isfinite(activations).all() and np.isfinite(effects).all()):
        raise damaged_weights()
    return [
        Neuron(int(n), float(activations[n]), _strongest(effect, top), [(i, -e) for i, e in _strongest(-effect, top)])
        for n, effect in zip(order, effects, strict=True)
    ]


def activations_of(config: GPT2Config, tensors: Tensors, layer: int, stream: Floats, qkv: Floats) -> Floats:
    """Return the activations (F,) of a block's neurons at the last of T tokens.

    `stream` (T, C) is what goes into the block, `qkv` (T, 3 C) its queries, keys and values.
    """

    def weights(name: str) -> Floats:
        return tensors[f"transformer.h.{layer}.{name}"]

    t, c = stream.shape
    relative = relative_keys(config, tensors, layer)
    maps = attention_maps(qkv, config.n_head, config.attention_scale(layer), relative)
    values = qkv[:, 2 * c :].reshape(t, config.n_head, config.head_dim)  # (T, H, D)
    mixed = np.einsum("ht,thd->hd", maps[:, -1], values).reshape(c)
    x = stream[-1] + mixed @ weights("attn.c_proj.weight") + weights("attn.c_proj.bias")  # (C,)
    x = (x - x.mean()) / _spread(config, x) * weights("ln_2.weight") + weights("ln_2.bias")
    made: Floats = _ACTIVATION[config.activation_function](x @ weights("mlp.c_fc.weight") + weights("mlp.c_fc.bias"))
    return made


def _effects(config: GPT2Config, tensors: Tensors, layer: int, last: Floats, neurons: Places) -> Floats:
    """Return what each of some neurons, active by 1, adds to the logits (n, V); `last` (C,) goes into the last norm."""
    written = tensors[f"transformer.h.{layer}.mlp.c_proj.weight"][neurons]  # (n, C)
    written = (written - written.mean(axis=1, keepdims=True)) / _spread(config, last)
    head = tensors["transformer.wte.weight" if config.tie_word_embeddings else "lm_head.weight"]
    effects = (written * tensors["transformer.ln_f.weight"]) @ head.T  # (n, C) @ (C, V)
    return np.asarray(effects - effects.mean(axis=1, keepdims=True), np.float32)


def _spread(config: GPT2Config, x: Floats) -> np.float32:
    return np.float32(math.sqrt(float(x.var()) + config.layer_norm_epsilon))


def _strongest(effect: Floats, top: int) -> list[tuple[int, float]]:
    best = np.argpartition(-effect, top - 1)[:top]
    best = best[np.lexsort((best, -effect[best]))]
    return [(int(i), float(effect[i])) for i in best]


def _gelu_tanh(x: Floats) -> Floats:
    """Hendrycks and Gimpel (2016), the form GPT-2 was trained with."""
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), np.float32)


def _gelu(x: Floats) -> Floats:
    below = np.fromiter((0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()), np.float64, len(x))
    return np.asarray(x * below, np.float32)


def _silu(x: Floats) -> Floats:
    return np.asarray(x * np.exp(-np.logaddexp(0, -x)), np.float32)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


_ACTIVATION: Mapping[str, Callable[[Floats], Floats]] = {
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu": _gelu,
    "relu": _relu,
    "silu": _silu,
    "swish": _silu,
    "tanh": np.tanh,
}

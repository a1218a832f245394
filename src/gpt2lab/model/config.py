"""The shape of a GPT-2, in the names of its checkpoints, and the four published sizes.

No torch here: the native engine, the checkpoint readers and the command line all start from this file.
Sizes: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), table 2, with the head counts of
the released hparams.json files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import ConfigError, nearest

ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu", "relu", "silu", "swish", "tanh")
"""Activation functions of the feed-forward layer, in transformers' names. The first three are the same function
(the tanh form of GELU that GPT-2 uses) up to rounding; silu and swish are two names of one."""

RELATIVE_TYPE = "gpt2-relative"
"""The model type of a GPT-2 with relative attention in its config.json."""

LONG_TYPE = "gpt2-long"
"""The model type of a GPT-2 with local or compressed attention in its config.json."""

ATTENTIONS = ("full", "local", "compressed")
"""What a layer's attention can be (model/long.py)."""

_LONG = ("attention_layers", "attention_block", "attention_compression")

# Keys of transformers' config.json that change the forward pass in a way this project does not compute.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False, None),
    "is_encoder_decoder": (False, None),
    "quantization_config": (None,),
    "pruned_heads": ({}, None),
    "rope_scaling": (None,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GPT2Config:
    """Everything that changes the forward pass of a GPT-2, under transformers' names.

    Raises `ConfigError` when a value is impossible.
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256
    pad_token_id: int | None = None
    initializer_range: float = 0.02
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    max_relative_position: int = 0
    """Distances that relative attention tells apart (model/relative.py); 0: none, as GPT-2 has it."""
    attention_layers: tuple[str, ...] = ()
    """The attention of each layer, one of `ATTENTIONS` (model/long.py); (): full everywhere, as GPT-2 has it."""
    attention_block: int = 256
    """Positions of a block of local attention."""
    attention_compression: int = 3
    """Positions that compressed attention makes one."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        if self.n_inner is not None and self.n_inner < 1:
            raise ConfigError(f"n_inner = {self.n_inner} must be at least 1, or absent for 4 * n_embd.")
        if self.n_embd % self.n_head:
            raise ConfigError(f"n_embd = {self.n_embd} must be a multiple of n_head = {self.n_head}.")
        if self.activation_function not in ACTIVATIONS:
            raise ConfigError(
                f"activation_function = {self.activation_function!r} is not one of {', '.join(ACTIVATIONS)}."
                f"{nearest(self.activation_function, ACTIVATIONS)}"
            )
        if not self.layer_norm_epsilon > 0:
            raise ConfigError(f"layer_norm_epsilon = {self.layer_norm_epsilon} must be positive.")
        if self.max_relative_position < 0:
            raise ConfigError(f"max_relative_position = {self.max_relative_position} must not be negative; 0 is none.")
        self._check_long()
        for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be in [0, 1).")

    def _check_long(self) -> None:
        for name in ("attention_block", "attention_compression"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least 1.")
        for kind in self.attention_layers:
            if kind not in ATTENTIONS:
                raise ConfigError(
                    f"attention_layers has {kind!r}, which is not one of {', '.join(ATTENTIONS)}."
                    f"{nearest(kind, ATTENTIONS)}"
                )
        if self.attention_layers and len(self.attention_layers) != self.n_layer:
            raise ConfigError(
                f"attention_layers names {len(self.attention_layers)} layers, but n_layer = {self.n_layer}; name the "
                "attention of every layer, or none for full attention."
            )
        if self.is_long and self.max_relative_position:
            raise ConfigError(
                f"max_relative_position = {self.max_relative_position} is of full attention only; leave it out, or "
                "attention_layers."
            )

    def attention_of(self, layer: int) -> str:
        """Return which of `ATTENTIONS` a layer has."""
        return self.attention_layers[layer] if self.attention_layers else "full"

    @property
    def is_long(self) -> bool:
        """Whether some layer's attention is local or compressed."""
        return any(kind != "full" for kind in self.attention_layers)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def inner(self) -> int:
        """Width of the feed-forward layer: n_inner, or 4 * n_embd when that is absent."""
        return self.n_inner or 4 * self.n_embd

    def attention_scale(self, layer: int) -> float:
        """Return the factor of q·k in `layer`: 1/sqrt(head_dim) and 1/(layer + 1), each if the configuration asks."""
        scale = self.head_dim**-0.5 if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape of every tensor of a checkpoint in transformers' names; linear weights are (in, out)."""
        c, f = self.n_embd, self.inner
        shapes: dict[str, tuple[int, ...]] = {
            "transformer.wte.weight": (self.vocab_size, c),
            "transformer.wpe.weight": (self.n_positions, c),
        }
        for i in range(self.n_layer):
            h = f"transformer.h.{i}"
            for name, shape in (
                ("ln_1.weight", (c,)),
                ("ln_1.bias", (c,)),
                ("attn.c_attn.weight", (c, 3 * c)),
                ("attn.c_attn.bias", (3 * c,)),
                ("attn.c_proj.weight", (c, c)),
                ("attn.c_proj.bias", (c,)),
                ("ln_2.weight", (c,)),
                ("ln_2.bias", (c,)),
                ("mlp.c_fc.weight", (c, f)),
                ("mlp.c_fc.bias", (f,)),
                ("mlp.c_proj.weight", (f, c)),
                ("mlp.c_proj.bias", (c,)),
            ):
                shapes[f"{h}.{name}"] = shape
            if self.max_relative_position:
                shapes[f"{h}.attn.relative_keys"] = (self.n_head, self.max_relative_position, self.head_dim)
            if self.attention_of(i) == "compressed":
                for part in ("keys", "values"):
                    group = self.attention_compression * self.head_dim
                    shapes[f"{h}.attn.compress_{part}.weight"] = (self.n_head, group, self.head_dim)
                    shapes[f"{h}.attn.compress_{part}.bias"] = (c,)
        shapes["transformer.ln_f.weight"] = (c,)
        shapes["transformer.ln_f.bias"] = (c,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, c)
        return shapes

    def parameter_count(self) -> int:
        """Return the number of parameters; a tied head counts once."""
        total = 0
        for shape in self.tensor_shapes().values():
            size = 1
            for n in shape:
                size *= n
            total += size
        return total

    @classmethod
    def from_hf(cls, values: Mapping[str, Any]) -> GPT2Config:
        """Build from the contents of a transformers config.json.

        Keys that do not change the forward pass are ignored; a model type other than gpt2, or a setting that this
        project does not compute, is a `ConfigError`.
        """
        kind = values.get("model_type", "gpt2")
        if kind not in ("gpt2", RELATIVE_TYPE, LONG_TYPE):
            raise ConfigError(f"config.json says model_type = {kind!r}; only 'gpt2' models can be loaded.")
        for key, allowed in _REFUSED.items():
            if key in values and values[key] not in allowed:
                raise ConfigError(f"config.json sets {key} = {values[key]!r}, which gpt2lab does not compute.")
        known = {f.name for f in dataclasses.fields(cls)}
        arguments = {k: v for k, v in values.items() if k in known}
        for key in ("bos_token_id", "eos_token_id"):
            if isinstance(arguments.get(key), list):  # newer files may list several; the first is the model's own
                arguments[key] = arguments[key][0] if arguments[key] else None
        if "n_positions" not in values and "n_ctx" in values:
            arguments["n_positions"] = values["n_ctx"]
        return from_dict(cls, arguments)

    def to_hf(self) -> dict[str, Any]:
        """Return the contents of a config.json that transformers loads as GPT2LMHeadModel.

        With relative, local or compressed attention the model type is one that transformers does not know: it would
        leave tensors out and compute another model.
        """
        values = to_dict(self)
        kind, architecture = "gpt2", "GPT2LMHeadModel"
        if self.max_relative_position:
            kind, architecture = RELATIVE_TYPE, "GPT2RelativeLMHeadModel"
        else:
            del values["max_relative_position"]
        if self.is_long:
            kind, architecture = LONG_TYPE, "GPT2LongLMHeadModel"
        else:
            for name in _LONG:
                del values[name]
        return {
            "architectures": [architecture],
            "model_type": kind,
            **values,
            "n_ctx": self.n_positions,
            "torch_dtype": "float32",
        }


PRESETS: dict[str, GPT2Config] = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25),
}
"""The four published sizes under their hub names."""

ALIASES: dict[str, str] = {
    **dict.fromkeys(("117M", "124M", "small", "gpt2-small", "openai-community/gpt2"), "gpt2"),
    **dict.fromkeys(("345M", "355M", "medium", "openai-community/gpt2-medium"), "gpt2-medium"),
    **dict.fromkeys(("762M", "774M", "large", "openai-community/gpt2-large"), "gpt2-large"),
    **dict.fromkeys(("1542M", "1558M", "1.5B", "xl", "openai-community/gpt2-xl"), "gpt2-xl"),
}
"""Every other name by which a published size is known -> its hub name."""


def canonical_name(name: str) -> str:
    """Return the hub name for a published size given by any alias; any other name is returned as it is."""
    if name in PRESETS:
        return name
    lowered = {alias.lower(): hub for alias, hub in ALIASES.items()}
    return lowered.get(name.lower(), name)


def preset(name: str) -> GPT2Config:
    """Return the configuration of a published size by hub name or alias; an unknown name is a `ConfigError`."""
    hub = canonical_name(name)
    if hub not in PRESETS:
        known = [*PRESETS, *ALIASES]
        raise ConfigError(f"Unknown size {name!r}.{nearest(name, known)} Known sizes: {', '.join(known)}.")
    return PRESETS[hub]

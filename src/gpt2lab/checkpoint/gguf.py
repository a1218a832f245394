"""GPT-2 in llama.cpp's GGUF files, read and written with the tokenizer inside.

llama.cpp keeps linear weights as (out, in), the transpose of GPT-2's own layout, and computes GPT-2 with the tanh form
of GELU and plain attention scaling only. Source: llama.cpp, src/llama-arch.cpp and convert_hf_to_gguf.py (GPT2Model).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2lab.checkpoint import ggml_types
from gpt2lab.checkpoint.gguf_file import GGUFFile, write_gguf
from gpt2lab.checkpoint.tensors import Array, Checkpoint, Stored, check_depth, fit
from gpt2lab.errors import CheckpointError, ConfigError, nearest
from gpt2lab.files import atomic_write
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

DTYPES = {
    "f32": ggml_types.F32,
    "f16": ggml_types.F16,
    "bf16": ggml_types.BF16,
    "q8_0": ggml_types.Q8_0,
    "q4_0": ggml_types.Q4_0,
}
"""What `save_gguf` can write -> ggml's number of the type."""

_FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}
_TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_GPT2_SPLITTERS = ("gpt-2", "default", "phi-2")  # llama.cpp's names for GPT-2's own splitting of text into words
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # tokenizer.ggml.token_type

_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
}
_LAYER_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """Translate transformers' tensor name to llama.cpp's ("transformer.h.0.ln_1.bias" -> "blk.0.attn_norm.bias")."""
    stem, _, last = name.rpartition(".")
    layer = re.fullmatch(r"transformer\.h\.(\d+)\.(.+)", stem)
    return f"blk.{layer[1]}.{_LAYER_NAMES[layer[2]]}.{last}" if layer else f"{_NAMES[stem]}.{last}"


def load_gguf(path: str | Path) -> Checkpoint:
    """Read a .gguf file of architecture gpt2; quantised weights are turned to float32 at each access.

    Raises `CheckpointError` for a file that is foreign, damaged, of another architecture or does not fit itself.
    """
    file = GGUFFile(path)
    config = _config(file)
    check_depth(config, len(file.tensors), str(file.path))
    stored = dict(_stored(file, config))
    config, tensors = fit(config, stored, str(file.path))
    kinds = sorted({info.kind for info in file.tensors.values()})
    names = {number: name for name, number in DTYPES.items()}
    source = f"GGUF file {file.path} ({', '.join(names.get(kind, f'type {kind}') for kind in kinds)})"
    return Checkpoint(
        config=config,
        tensors=tensors,
        tokenizer=_tokenizer(file),
        source=source,
        path=file.path,
        identity=file.identity,
    )


def _config(file: GGUFFile) -> GPT2Config:
    values = file.metadata
    architecture = values.get("general.architecture")
    if architecture != "gpt2":
        raise CheckpointError(f"{file.path} holds a model of architecture {architecture!r}; only 'gpt2' can be loaded.")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError(f"{file.path} has no matrix token_embd.weight, so it holds no model.")

    def get(key: str) -> Any:
        if f"gpt2.{key}" not in values:
            raise CheckpointError(f"{file.path} has no metadata gpt2.{key}.")
        return values[f"gpt2.{key}"]

    n_embd = get("embedding_length")
    inner = values.get("gpt2.feed_forward_length")
    try:
        return GPT2Config(
            vocab_size=embedding.shape[0],
            n_positions=get("context_length"),
            n_embd=n_embd,
            n_layer=get("block_count"),
            n_head=get("attention.head_count"),
            n_inner=None if inner == 4 * n_embd else inner,
            layer_norm_epsilon=_rounded(get("attention.layer_norm_epsilon")),
            bos_token_id=values.get("tokenizer.ggml.bos_token_id"),
            eos_token_id=values.get("tokenizer.ggml.eos_token_id"),
            pad_token_id=values.get("tokenizer.ggml.padding_token_id"),
        )
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{file.path} has impossible metadata: {error}") from None


def _rounded(epsilon: float) -> float:
    """Return the shortest decimal that float32 keeps as `epsilon`: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(epsilon)))


def _stored(file: GGUFFile, config: GPT2Config) -> Iterator[tuple[str, Stored]]:
    """Yield the tensors under transformers' names and in its layout; unknown ones keep the name they have."""
    known = {gguf_name(name): name for name in (*config.tensor_shapes(), "lm_head.weight")}
    for name, info in file.tensors.items():
        turned = _is_linear(known.get(name, ""))
        shape = info.shape[::-1] if turned else info.shape
        yield known.get(name, name), Stored(shape, functools.partial(_read, file, name, turned))


def _is_linear(name: str) -> bool:
    """Tell whether a tensor (transformers' name) is a weight that llama.cpp keeps transposed."""
    return name.startswith("transformer.h.") and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))


def _read(file: GGUFFile, name: str, turned: bool) -> Array:
    info = file.tensors[name]
    values = ggml_types.decode(file.data(name), info.kind, info.shape)
    return np.ascontiguousarray(values.T) if turned else values


def _tokenizer(file: GGUFFile) -> Tokenizer | None:
    """Rebuild the tokenizer from the metadata, or None where it is not GPT-2's kind."""
    values = file.metadata
    tokens, merges = values.get("tokenizer.ggml.tokens"), values.get("tokenizer.ggml.merges")
    splitter = values.get("tokenizer.ggml.pre", "default")
    if values.get("tokenizer.ggml.model") != "gpt2" or not tokens or merges is None or splitter not in _GPT2_SPLITTERS:
        return None
    from gpt2lab.tokenizer import Tokenizer  # here: weights alone do not need it

    kinds = values.get("tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    if len(kinds) != len(tokens):
        raise CheckpointError(f"{file.path} has {len(tokens)} tokens but {len(kinds)} token types.")
    by_kind: dict[int, dict[str, int]] = {}
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        by_kind.setdefault(kind, {})[token] = number
    pairs = [tuple(merge.split(" ")) for merge in merges]
    if any(len(pair) != 2 for pair in pairs):
        raise CheckpointError(f"{file.path} has a merge that is not two tokens.")
    vocab = {t: i for k, group in by_kind.items() if k in (_NORMAL, _CONTROL) for t, i in group.items()}
    return Tokenizer.from_vocab(
        vocab,
        [(left, right) for left, right in pairs],
        by_kind.get(_CONTROL, {}),
        added_tokens=by_kind.get(_USER_DEFINED, {}),
    )


def save_gguf(path: str | Path, checkpoint: Checkpoint, *, dtype: str = "f32") -> Path:
    """Write a file that llama.cpp loads: whole, or not at all.

    `dtype` is one of `DTYPES`. Vectors and positions stay F32. In q8_0 and q4_0 a matrix whose rows are not a multiple
    of 32 becomes F16; in q4_0 the token embedding, which is also the head, becomes Q8_0. `CheckpointError` for a
    configuration that llama.cpp would compute otherwise.
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"dtype = {dtype!r} is not one of {', '.join(DTYPES)}.{nearest(dtype, DTYPES)}")
    config = checkpoint.config
    _refuse_what_llama_cpp_ignores(config)
    shapes = config.tensor_shapes()
    infos: dict[str, tuple[tuple[int, ...], int]] = {}
    for name, shape in shapes.items():
        stored = shape[::-1] if _is_linear(name) else shape
        infos[gguf_name(name)] = stored, _kind(name, stored, dtype)
    metadata = {**_model_metadata(checkpoint, dtype), **_tokenizer_metadata(config, checkpoint.tokenizer)}
    with atomic_write(path) as f:
        write_gguf(f, metadata, infos, _encoded(checkpoint.tensors, infos))
    return Path(path)


def _refuse_what_llama_cpp_ignores(config: GPT2Config) -> None:
    wrong = None
    if config.activation_function not in _TANH_GELU:
        wrong = f"activation_function = {config.activation_function!r}"
    elif not config.scale_attn_weights:
        wrong = "scale_attn_weights = False"
    elif config.scale_attn_by_inverse_layer_idx:
        wrong = "scale_attn_by_inverse_layer_idx = True"
    elif config.max_relative_position:
        wrong = f"max_relative_position = {config.max_relative_position}"
    elif config.is_long:
        wrong = f"attention_layers = {', '.join(sorted({*config.attention_layers}))}"
    if wrong:
        raise CheckpointError(f"A GGUF file cannot say {wrong}, so llama.cpp would compute another model; use --to hf.")


def _kind(name: str, shape: tuple[int, ...], dtype: str) -> int:
    """Return the ggml type in which a tensor (transformers' name, shape as stored) is written."""
    if len(shape) == 1 or name == "transformer.wpe.weight":
        return ggml_types.F32
    if dtype in ("q8_0", "q4_0"):
        if shape[-1] % ggml_types.BLOCK:
            return ggml_types.F16
        if name in ("transformer.wte.weight", "lm_head.weight"):
            return ggml_types.Q8_0
    return DTYPES[dtype]


def _encoded(
    tensors: Mapping[str, Array], infos: Mapping[str, tuple[tuple[int, ...], int]]
) -> Iterator[ggml_types.Octets]:
    by_gguf_name = {gguf_name(name): name for name in tensors}
    for name, (shape, kind) in infos.items():
        known = by_gguf_name[name]
        values = tensors[known].T if _is_linear(known) else tensors[known]
        if values.shape != shape:
            raise CheckpointError(f"{known!r} has shape {tensors[known].shape}, which its configuration does not want.")
        yield ggml_types.encode(values, kind)


def _model_metadata(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    config = checkpoint.config
    return {
        "general.architecture": "gpt2",
        "general.name": checkpoint.path.stem or "gpt2",
        "general.file_type": _FILE_TYPES[dtype],
        "general.quantization_version": 2,
        "gpt2.vocab_size": config.vocab_size,
        "gpt2.context_length": config.n_positions,
        "gpt2.embedding_length": config.n_embd,
        "gpt2.feed_forward_length": config.inner,
        "gpt2.block_count": config.n_layer,
        "gpt2.attention.head_count": config.n_head,
        "gpt2.attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
    }


def _tokenizer_metadata(config: GPT2Config, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Return llama.cpp's tokenizer keys; ids that the vocabulary does not use get a placeholder."""
    ids = {"bos": config.bos_token_id, "eos": config.eos_token_id, "padding": config.pad_token_id}
    roles = {f"tokenizer.ggml.{role}_token_id": number for role, number in ids.items() if number is not None}
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none", **roles}
    vocabulary = tokenizer.vocabulary
    if vocabulary.kind != "byte-level":
        raise CheckpointError(
            f"A GGUF file of GPT-2 holds byte-level vocabularies, not {vocabulary.kind} ones; use --to hf."
        )
    tokens = [f"[PAD{i}]" for i in range(config.vocab_size)]
    kinds = [_UNUSED] * config.vocab_size
    added = {token.content: _CONTROL if token.special else _USER_DEFINED for token in vocabulary.added}
    for token, number in tokenizer.vocab.items():
        if number >= config.vocab_size:
            raise CheckpointError(f"Token {token!r} has id {number}, but the model knows {config.vocab_size} ids only.")
        tokens[number], kinds[number] = token, added.get(token, _NORMAL)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        **roles,
        "tokenizer.ggml.add_bos_token": False,
    }

"""OpenAI's GPT-2 folders, and those that gpt-2-simple writes, read without TensorFlow.

A folder holds hparams.json, a TensorFlow checkpoint (`model.ckpt.*`, or `model-1000.*` named by the file `checkpoint`),
encoder.json and vocab.bpe. Source: github.com/openai/gpt-2, src/model.py (variable names, hparams).
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.checkpoint.hf import find_tokenizer
from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.checkpoint.tensors import Array, Checkpoint, Stored, fit
from gpt2lab.checkpoint.tf_bundle import Bundle
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.files import read_json
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

HPARAMS = "hparams.json"
_KEYS = {"n_vocab": "vocab_size", "n_ctx": "n_positions", "n_embd": "n_embd", "n_head": "n_head", "n_layer": "n_layer"}
_END_OF_TEXT = "<|endoftext|>"


def is_openai_folder(folder: Path) -> bool:
    """Tell whether `folder` has a hparams.json, or the index of a TensorFlow checkpoint."""
    return (folder / HPARAMS).is_file() or any(folder.glob("model*.index"))


def load_openai(folder: str | Path, *, verify: bool = True) -> Checkpoint:
    """Read an OpenAI folder; weights stay on disk until asked for, and then have their checksum checked if `verify`.

    Raises `CheckpointError` for files that are missing, incomplete, damaged or do not fit each other.
    """
    folder = Path(folder)
    sizes = read_sizes(folder)
    bundle = Bundle(checkpoint_prefix(folder))
    if shortfall := bundle.shortfall():
        raise CheckpointError(shortfall)
    identity = bundle.identity()
    tokenizer = find_tokenizer(folder)
    end = _end_of_text(sizes.vocab_size, tokenizer)
    config = dataclasses.replace(sizes, bos_token_id=end, eos_token_id=end)
    stored = dict(_stored(bundle, verify=verify))
    config, tensors = fit(config, stored, str(bundle.index))
    source = f"OpenAI TensorFlow checkpoint {bundle.prefix}"
    return Checkpoint(
        config=config, tensors=tensors, tokenizer=tokenizer, source=source, path=folder, identity=identity
    )


def checkpoint_prefix(folder: Path) -> Path:
    """Return the prefix of the newest checkpoint in `folder`: the one named by its file `checkpoint`, else model.ckpt,
    else the model-N with the highest N."""
    named = folder / "checkpoint"
    if named.is_file():
        text = named.read_text(encoding="utf-8", errors="replace")
        found = re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
        if found:  # may be a path of another machine; the files lie beside this one
            prefix = folder / re.split(r"[/\\]", found[1])[-1]
            if prefix.with_name(prefix.name + ".index").is_file():
                return prefix
    numbered = [
        (int(m[1]), p) for p in folder.glob("model-*.index") if (m := re.fullmatch(r"model-(\d+)\.index", p.name))
    ]
    if numbered and not (folder / "model.ckpt.index").is_file():
        return max(numbered)[1].with_suffix("")
    return folder / "model.ckpt"


def variable_name(name: str) -> str | None:
    """Translate TensorFlow's variable name to transformers' ("model/h0/ln_1/g" -> "transformer.h.0.ln_1.weight").

    None for what is not part of the model: step counters and an optimiser's slots.
    """
    parts = name.split("/")
    if parts[0] != "model" or parts[-1] in ("Adam", "Adam_1"):
        return None
    last = {"w": "weight", "g": "weight", "b": "bias"}
    if parts[1:] in (["wte"], ["wpe"]):
        return f"transformer.{parts[1]}.weight"
    layer = re.fullmatch(r"h(\d+)", parts[1]) if len(parts) > 1 else None
    head = f"h.{layer[1]}" if layer else ".".join(parts[1:2])
    return ".".join(["transformer", head, *parts[2:-1], last.get(parts[-1], parts[-1])])


def _stored(bundle: Bundle, *, verify: bool) -> Iterator[tuple[str, Stored]]:
    for name, entry in bundle.entries.items():
        known = variable_name(name)
        if known is None:
            continue
        # OpenAI's linear layers are convolutions of width 1, whose weights have that width as a leading axis.
        shape = entry.shape[1:] if len(entry.shape) == 3 and entry.shape[0] == 1 else entry.shape
        yield known, Stored(shape, functools.partial(_read, bundle, name, shape, verify))


def _read(bundle: Bundle, name: str, shape: tuple[int, ...], verify: bool) -> Array:
    return bundle.read(name, verify=verify).reshape(shape)


def read_sizes(folder: Path) -> GPT2Config:
    """Return the configuration that hparams.json gives, or raise a `CheckpointError`."""
    path = folder / HPARAMS
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds a TensorFlow checkpoint but no {HPARAMS}, which gives the model's sizes."
        )
    try:
        values: Any = read_json(path)
    except DataError as error:
        what = oddity(path)
        raise CheckpointError(f"{path} is {what}." if what else str(error)) from None
    wrong = [k for k in _KEYS if type(values.get(k)) is not int] if isinstance(values, dict) else list(_KEYS)
    if wrong:
        raise CheckpointError(f"{path} must give {wrong[0]} as a whole number; it needs {', '.join(_KEYS)}.")
    try:
        return GPT2Config(**{name: values[key] for key, name in _KEYS.items()})
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _end_of_text(n_vocab: int, tokenizer: Tokenizer | None) -> int | None:
    """Return the id of <|endoftext|>: the tokenizer knows it; without one, it is the last of GPT-2's own vocabulary."""
    if tokenizer is not None:
        return tokenizer.vocab.get(_END_OF_TEXT)
    return n_vocab - 1 if n_vocab == 50257 else None

"""Hugging Face GPT-2 folders, read and written: this is gpt2lab's own checkpoint format.

Reads config.json, model.safetensors or pytorch_model.bin (either in shards too), generation_config.json and the
tokenizer files; writes what transformers loads with equal logits. Never unpickles: a .bin is read by torch's
weights-only loader. Source: transformers, modeling_utils.py and modeling_gpt2.py (names, tying, ignored buffers).
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2lab.checkpoint.identity import Identity
from gpt2lab.checkpoint.safetensors import read_safetensors, write_safetensors
from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.checkpoint.tensors import HEAD, Array, Checkpoint, LazyTensors, Stored, check_arrays, fit
from gpt2lab.errors import CheckpointError, ConfigError, DataError, MissingExtraError, nearest
from gpt2lab.files import atomic_folder, read_json, write_json
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"
SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
WEIGHTS = (SAFETENSORS, f"{SAFETENSORS}.index.json", BIN, f"{BIN}.index.json")
"""Files that hold or list the weights, in the order in which they are looked for."""

SCORE, CHOICE, TAGS, SPAN = HEADS = (
    "score.weight", "multiple_choice_head.summary.weight", "classifier.weight", "qa_outputs.weight",
)  # fmt: skip
"""What only a model with a head of its own has, one of each class (checkpoint/heads.py)."""

DTYPES = ("float32", "float16", "bfloat16")
_BUFFER = re.compile(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias")  # the causal mask, in files of old versions


def is_hf_folder(folder: Path) -> bool:
    """Tell whether `folder` has a config.json beside a weights file that this module reads."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def load_hf(folder: str | Path) -> Checkpoint:
    """Read a Hugging Face folder; weights stay on disk until asked for.

    Raises `CheckpointError` for files that are missing, damaged, foreign or do not fit each other, and
    `MissingExtraError` where only a pytorch_model.bin is there and torch is not installed.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    weights, stored, identity = stored_tensors(folder)
    if head := next((name for name in HEADS if name in stored), None):
        raise CheckpointError(
            f"{folder} holds a model with a head ({head!r}), which judges texts and writes none: ask it with "
            f"gpt2lab transfer predict FILE --model {folder}, or train it further with gpt2lab transfer train."
        )
    config, tensors = fit(config, canonical(stored), str(weights))
    return Checkpoint(
        config=config,
        tensors=tensors,
        tokenizer=find_tokenizer(folder),
        generation=_generation(folder),
        source=f"Hugging Face folder {folder} ({weights.name})",
        path=folder,
        identity=identity,
    )


def stored_tensors(folder: Path) -> tuple[Path, dict[str, Stored], Identity]:
    """Return a folder's file of weights, or their index, the tensors under the names they have there, and the identity
    of all its files."""
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"{folder} has a {CONFIG} but no weights; one of {', '.join(WEIGHTS)} is needed.")
    identity = Identity.of([weights])
    if weights.suffix != ".json":
        return weights, _tensors(weights), identity
    shard_of = _weight_map(weights)
    shards = sorted({weights.parent / name for name in shard_of.values()})
    identity = Identity((*identity.files, *Identity.of(shards).files))
    return weights, _sharded(weights, shards, shard_of), identity


def read_config(path: Path) -> GPT2Config:
    """Read a transformers config.json; a `CheckpointError` names the file and what is wrong in it."""
    values = json_object(path)
    try:
        return GPT2Config.from_hf(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None


def find_tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer that lies in `folder`, or None."""
    from gpt2lab.tokenizer import Tokenizer  # here: weights alone do not need it

    return Tokenizer.find(folder)


def _generation(folder: Path) -> dict[str, Any]:
    path = folder / GENERATION
    return json_object(path) if path.is_file() else {}


def json_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a model's folder holds. Raises `CheckpointError` unless it is there and an object."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent} is not a model folder: it has no {path.name}.")
    try:
        values = read_json(path)
    except DataError as error:
        what = oddity(path)
        raise CheckpointError(f"{path} is {what}." if what else str(error)) from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(values).__name__}.")
    return values


def _tensors(path: Path) -> dict[str, Stored]:
    return read_safetensors(path, skip=_is_mask) if path.suffix == ".safetensors" else read_bin(path)


def _weight_map(index: Path) -> dict[str, str]:
    """Return what an index says under weight_map: tensor -> name of the shard that holds it; all of them are there."""
    files = json_object(index).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
        raise CheckpointError(f"{index} has no weight_map, or a damaged one.")
    shards = sorted(set(files.values()))
    absent = [name for name in shards if Path(name).name != name or not (index.parent / name).is_file()]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise CheckpointError(
            f"{index} lists {absent[0]}{more}, which {'are' if more else 'is'} not in {index.parent}."
        )
    return files


def _sharded(index: Path, shards: Sequence[Path], shard_of: Mapping[str, str]) -> dict[str, Stored]:
    """Return the tensors of all shards; one that the index lists and none holds is an error."""
    stored: dict[str, Stored] = {}
    for path in shards:
        stored.update(_tensors(path))
    unlisted = [name for name in shard_of if name not in stored and not _is_mask(name)]
    if unlisted:
        raise CheckpointError(f"{index} lists {unlisted[0]!r} in {shard_of[unlisted[0]]}, which does not hold it.")
    return stored


def canonical(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Rename to GPT2LMHeadModel's names (files saved from GPT2Model lack the prefix)."""
    return {n if n == HEAD or n.startswith("transformer.") else f"transformer.{n}": s for n, s in stored.items()}


def _is_mask(name: str) -> bool:
    return _BUFFER.fullmatch(name) is not None


def read_bin(path: Path) -> dict[str, Stored]:
    """Return name -> `Stored` of a pytorch_model.bin, by torch's weights-only loader (nothing in the file can run)."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("Reading pytorch_model.bin", "train") from None
    import pickle

    try:
        values = _torch_load(path)
    except pickle.UnpicklingError:
        reason = oddity(path, but=("zip", "pickle")) or "damaged, or holds more than tensors, which is never unpickled"
        raise CheckpointError(f"{path} is {reason}.") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError):
        raise CheckpointError(f"{path} is {oddity(path, but=('zip', 'pickle')) or 'damaged or cut short'}.") from None
    if not isinstance(values, dict) or not all(isinstance(v, torch.Tensor) for v in values.values()):
        raise CheckpointError(f"{path} does not hold a state dict (names and tensors), so it is not a model's weights.")
    tensors = {str(name): t for name, t in values.items() if not _is_mask(str(name))}
    return {name: Stored(tuple(t.shape), functools.partial(_from_torch, t)) for name, t in tensors.items()}


def _torch_load(path: Path) -> Any:
    import torch

    with path.open("rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"  # only this layout can be mapped; torch wrote another before 1.6
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _from_torch(tensor: Any) -> Array:
    values: Array = tensor.detach().float().contiguous().numpy()
    return values


def save_hf(
    folder: str | Path,
    config: GPT2Config,
    tensors: Mapping[str, Any],
    tokenizer: Tokenizer | None = None,
    generation: Mapping[str, Any] | None = None,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
    extra: Mapping[str, Array] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that gpt2lab and transformers load: whole, or not at all.

    `tensors` maps the names of `config.tensor_shapes()` to arrays of those shapes. `dtype` is float32, float16 or
    bfloat16. An existing folder is a `DataError` unless `overwrite`; tensors that do not fit are a `CheckpointError`.
    `extra` tensors are written too, and `settings` into config.json (checkpoint/heads.py).
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"dtype = {dtype!r} is not one of {', '.join(DTYPES)}.{nearest(dtype, DTYPES)}")
    shapes = config.tensor_shapes()
    if isinstance(tensors, LazyTensors):
        names = set(tensors)
        if names != set(shapes):
            raise CheckpointError(f"The tensors given do not belong to the configuration of {folder}.")
    else:
        check_arrays(config, tensors, "What is to be saved")
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        write_json(temporary / CONFIG, {**config.to_hf(), **(settings or {}), "torch_dtype": dtype})
        write_json(temporary / GENERATION, _generation_values(config, generation))
        with (temporary / SAFETENSORS).open("wb") as f:
            arrays = itertools.chain(((n, np.asarray(tensors[n])) for n in shapes), (extra or {}).items())
            all_shapes = shapes | {name: array.shape for name, array in (extra or {}).items()}
            write_safetensors(f, all_shapes, arrays, dtype, {"format": "pt"})
        if tokenizer is not None:
            tokenizer.save(temporary)
    return Path(folder)


def _generation_values(config: GPT2Config, generation: Mapping[str, Any] | None) -> dict[str, Any]:
    ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {**{name: value for name, value in ids.items() if value is not None}, **(generation or {})}

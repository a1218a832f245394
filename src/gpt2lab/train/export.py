"""From a run's folder to a model's folder that gpt2lab and transformers load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from gpt2lab.checkpoint import save_hf
from gpt2lab.data import Corpus
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train.recipe import MODEL
from gpt2lab.train.state import BEST, CHECKPOINTS, find_state, read_state, read_tensors, steps, tensor_shapes

if TYPE_CHECKING:
    from gpt2lab.train.loop import Trainer


def fit_and_export(run: Trainer, export: Callable[[], Path]) -> Path:
    """Train to the end, close the run, write its model by `export`, and return the model's folder.

    Ctrl-C leaves a model too, and is raised again. Of several processes the main one writes.
    """
    try:
        run.fit()
    except KeyboardInterrupt:
        if run.processes.is_main:
            export()
        raise
    finally:
        run.close()
    return export() if run.processes.is_main else run.folder / MODEL


def trained_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a state folder by the names they had in the model."""
    shapes = {name: s for name, s in tensor_shapes(folder).items() if name.startswith("model/")}
    tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    read_tensors(folder, tensors)
    return {name.removeprefix("model/"): tensor for name, tensor in tensors.items()}


def mean_tensors(folders: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of the weights of state folders, name by name (Vaswani et al. 2017, section 6.1)."""
    sums: dict[str, Tensor] = {}
    for folder in folders:
        for name, tensor in trained_tensors(folder).items():
            sums[name] = tensor.double() if name not in sums else sums[name].add_(tensor)
    return {name: (total / len(folders)).float() for name, total in sums.items()}


def export(
    run: str | Path,
    folder: str | Path,
    *,
    weights: Literal["best", "last"] = "best",
    average: int = 0,
    data: str | Path | None = None,
    tokenizer: Tokenizer | None = None,
    exported: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict,
    dtype: str = "float32",
    generation: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the model of the run in folder `run` to `folder` in Hugging Face's format and return the folder.

    `weights` are those of the best validation, where they were kept, or the last saved; with `average` they are the
    mean of so many states saved last, or of all there are. The tokenizer is that of the corpus the run was trained on,
    at `data` if it was moved since, or the one given; `generation` holds the sampling defaults for
    generation_config.json; `exported` is the task's, where the trained model is not a plain GPT-2. Raises
    `CheckpointError` when the corpus has another vocabulary now, or when tensors are left over or missing.
    """
    best = steps(Path(run) / BEST)
    averaged = steps(Path(run) / CHECKPOINTS)[-average:] if average else []
    source = best[-1] if weights == "best" and best and not averaged else find_state(run)
    state = read_state(source)
    if tokenizer is None:
        corpus = Corpus(data if data is not None else state.recipe["data"])
        if corpus.manifest.tokenizer_sha256 != state.identity.get("tokenizer_sha256"):
            raise CheckpointError(
                f"{run} was trained with another vocabulary than that of {corpus.folder}; give its own corpus."
            )
        tokenizer = Tokenizer.from_folder(corpus.tokenizer_folder)
    config = GPT2Config(**state.config)
    tensors = exported(mean_tensors(averaged) if averaged else trained_tensors(source))
    if odd := set(tensors) ^ set(config.tensor_shapes()):
        raise CheckpointError(
            f"{run} is not a plain GPT-2 ({', '.join(sorted(odd)[:3])} …); export it with what trained it."
        )
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return save_hf(folder, config, arrays, tokenizer, generation, dtype=dtype, overwrite=overwrite)

"""From a run's folder to a model's folder that gpt2lab and transformers load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2lab.checkpoint import save_hf
from gpt2lab.data import Corpus
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train.state import load_state


def export(
    run: str | Path,
    folder: str | Path,
    *,
    data: str | Path | None = None,
    dtype: str = "float32",
    generation: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the model of the run in folder `run` to `folder` in Hugging Face's format and return the folder.

    The tokenizer is that of the corpus the run was trained on, at `data` if it was moved since; `generation` holds the
    sampling defaults for generation_config.json. Raises `CheckpointError` when the corpus has another vocabulary now.
    """
    state = load_state(run)
    corpus = Corpus(data if data is not None else state.recipe["data"])
    if corpus.manifest.tokenizer_sha256 != state.tokenizer_sha256:
        raise CheckpointError(
            f"{run} was trained with another vocabulary than that of {corpus.folder}; give its own corpus."
        )
    tensors = {name: tensor.numpy() for name, tensor in state.model.items()}
    tokenizer = Tokenizer.from_folder(corpus.tokenizer_folder)
    return save_hf(folder, GPT2Config(**state.config), tensors, tokenizer, generation, dtype=dtype, overwrite=overwrite)

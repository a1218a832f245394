"""A training run on disk, in one file that is replaced whole: whatever moment a run dies at, the last state loads.

Holds everything the next step depends on: weights, optimizers, random numbers, position in the data, step and time.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gpt2lab.errors import CheckpointError
from gpt2lab.files import atomic_write

FILE = "state.pt"
"""The name of the file in a run's folder."""


@dataclasses.dataclass(slots=True, kw_only=True)
class RunState:
    """What a run is at between two steps. `recipe` and `config` are plain tables."""

    recipe: dict[str, Any]
    config: dict[str, Any]
    tokenizer_sha256: str
    step: int
    seconds: float
    tokens: int
    model: dict[str, Any]
    optimizers: list[dict[str, Any]]
    data: dict[str, int]
    random: Any
    bits_per_byte: float | None = None


def save_state(folder: Path, state: RunState) -> Path:
    """Write the state into `folder`, replacing the one before; return the file."""
    path = folder / FILE
    with atomic_write(path, fsync=True) as f:
        torch.save({field.name: getattr(state, field.name) for field in dataclasses.fields(state)}, f)
    return path


def load_state(folder: str | Path) -> RunState:
    """Read the state of a run's folder on the CPU. Raises `CheckpointError` when there is none or it is damaged."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no training run: it has no {FILE}. Give the folder a run was written to."
        )
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged and cannot be resumed: {str(error).splitlines()[0]}") from None
    names = {field.name for field in dataclasses.fields(RunState)}
    if not isinstance(values, Mapping) or set(values) != names:
        raise CheckpointError(f"{path} was not written by this version of gpt2lab's training; start the run again.")
    return RunState(**values)

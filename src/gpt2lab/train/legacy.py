"""Runs saved by version 0.1.0, in one file `state.pt`, brought into today's layout when they are resumed.

The file is read by torch's restricted reader, which makes tensors and plain values and nothing else. Its random state
is dropped, since what is random now follows from the seed and the step: a run with dropout goes on with other masks.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2lab.errors import CheckpointError
from gpt2lab.train.parallel import Processes
from gpt2lab.train.state import CHECKPOINTS, RunState, find_state, read_state, steps, write_state

FILE = "state.pt"


def has_saved(run: str | Path) -> bool:
    """Return whether a run's folder holds a state of either layout."""
    return bool(steps(Path(run) / CHECKPOINTS)) or (Path(run) / FILE).is_file()


def saved_recipe(run: str | Path) -> dict[str, Any]:
    """Return the recipe that the run in folder `run` was last saved with. Raises `CheckpointError`."""
    path = Path(run) / FILE
    if path.is_file() and not steps(Path(run) / CHECKPOINTS):
        recipe: dict[str, Any] = _read(path)["recipe"]
        return recipe
    return read_state(find_state(run)).recipe


def convert(run: str | Path, processes: Processes) -> None:
    """Write what `run`/state.pt holds as a state folder, once. Raises `CheckpointError` when it is damaged."""
    path, parent = Path(run) / FILE, Path(run) / CHECKPOINTS
    if not path.is_file() or steps(parent):
        return
    values = _read(path)
    try:
        state = RunState(
            recipe=values["recipe"],
            config=values["config"],
            identity={"tokenizer_sha256": values["tokenizer_sha256"]},
            step=values["step"],
            seconds=values["seconds"],
            tokens=values["tokens"],
            data=values["data"],
            metrics={} if values["bits_per_byte"] is None else {"bits_per_byte": values["bits_per_byte"]},
        )
        tensors = {f"model/{name}": tensor for name, tensor in values["model"].items()}
        tensors |= _optimizer_tensors(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} was not written by gpt2lab's training: {error!r}. Start the run again."
        ) from None
    write_state(parent, state, tensors, processes, keep=1)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged and cannot be resumed: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or "recipe" not in values:
        raise CheckpointError(f"{path} was not written by gpt2lab's training; start the run again.")
    return values


def _optimizer_tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the states by parameter's name; the old file numbers them in the order of the groups."""
    groups: dict[str, list[str]] = {"hidden": [], "decayed": [], "plain": []}
    muon = len(values["optimizers"]) == 2
    for name, tensor in values["model"].items():
        if tensor.ndim < 2 or name.endswith("wpe.weight"):
            groups["plain"].append(name)
        else:
            groups["hidden" if muon and ".h." in name else "decayed"].append(name)
    orders = [[*groups["decayed"], *groups["plain"]], groups["hidden"]]
    return {
        f"optimizer/{order[index]}:{key}": tensor
        for order, saved in zip(orders, values["optimizers"], strict=False)
        for index, state in saved["state"].items()
        for key, tensor in state.items()
    }

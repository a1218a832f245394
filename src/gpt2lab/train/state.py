"""A training run on disk: folders that are whole or absent, of tensors in safetensors files and one JSON file.

    RUN/checkpoints/step-00000100/state.json        everything that is not a tensor
                                  *.safetensors     "model/…" weights, "optimizer/…" states by parameter's name
    RUN/best/step-00000080/                         the same without optimizers: the best weights so far

Nothing is ever unpickled. A folder is written under a temporary name, flushed to the disk and renamed, so that whatever
moment a run dies at, the last whole one loads. Processes that share the parameters (FSDP) write their parts together by
torch.distributed.checkpoint; any number of processes reads either kind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from gpt2lab.checkpoint.safetensors import write_safetensors
from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import CheckpointError, ConfigError, DataError, Gpt2labError
from gpt2lab.files import read_json, write_json
from gpt2lab.train.origin import Kind, check_kind
from gpt2lab.train.parallel import Processes

FORMAT = 2
"""The version of the layout described above; 1 was a single file, state.pt (train/legacy.py)."""

CHECKPOINTS, BEST, STATE = "checkpoints", "best", "state.json"
_STEP = re.compile(r"step-\d{8,}(-\d+)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What a run is at between two steps, but for its tensors. Plain values throughout."""

    format: int = FORMAT
    recipe: dict[str, Any]
    config: dict[str, Any]
    identity: dict[str, Any]
    step: int
    seconds: float
    tokens: int
    data: dict[str, Any]
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    best: float | None = None
    stale: int = 0
    losses: list[float] = dataclasses.field(default_factory=list)
    rollbacks: int = 0


def steps(parent: Path) -> list[Path]:
    """Return the whole state folders in `parent`, the latest last."""
    if not parent.is_dir():
        return []
    return sorted(p for p in parent.iterdir() if _STEP.fullmatch(p.name) and (p / STATE).is_file())


def find_state(run: str | Path) -> Path:
    """Return the state folder that `run`, a run's folder or itself a state folder, is resumed from.

    Raises `CheckpointError` when there is none.
    """
    folder = Path(run)
    if (folder / STATE).is_file():
        return folder
    found = steps(folder / CHECKPOINTS)
    if not found:
        raise CheckpointError(
            f"{folder} holds no training run: it has no {CHECKPOINTS}/step-…. Give the folder a run was written to."
        )
    return found[-1]


def is_begun(run: str | Path, kind: Kind) -> bool:
    """Tell whether there is a run in a folder to go on with. Raises `ConfigError` where another command made it."""
    if not steps(Path(run) / CHECKPOINTS):
        return False
    check_kind(read_state(find_state(run)).recipe, run, kind)
    return True


def run_folder(path: str | Path) -> Path:
    """Return the run's folder that `path`, itself one or a state folder in one, belongs to."""
    folder = Path(path)
    return folder.resolve().parents[1] if (folder / STATE).is_file() else folder


def read_state(folder: Path) -> RunState:
    """Read what `folder`, one of `steps`, says. Raises `CheckpointError` when it is damaged or of another version."""
    path = folder / STATE
    try:
        values = read_json(path)
        if isinstance(values, dict) and values.get("format") != FORMAT:
            raise CheckpointError(
                f"{path} has format {values.get('format')!r}; this version of gpt2lab reads {FORMAT}. Start the run "
                "again."
            )
        return from_dict(RunState, values if isinstance(values, dict) else {})
    except (DataError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged and cannot be resumed: {error}") from None


def write_state(parent: Path, state: RunState, tensors: Mapping[str, Tensor], processes: Processes, keep: int) -> Path:
    """Write `state` and `tensors` into a new folder in `parent`, remove all but the last `keep`, return the folder.

    All processes call it together. Raises `Gpt2labError` with what was there before untouched when the disk is full.
    """
    name, again = f"step-{state.step:08d}", 0
    while (parent / name).exists():  # a run taken up at an earlier step comes here again
        again += 1
        name = f"step-{state.step:08d}-{again}"
    temporary, trouble = parent / f".{name}.tmp", ""
    if processes.is_main:
        try:
            shutil.rmtree(temporary, ignore_errors=True)  # left by a run that died here
            temporary.mkdir(parents=True)
        except OSError as error:
            trouble = error.strerror or str(error)
    _agree(trouble, parent, processes)
    try:
        _write_tensors(temporary, tensors, processes)
        if processes.is_main:
            write_json(temporary / STATE, to_dict(state))
            _flush(temporary)
            temporary.replace(parent / name)
            _flush_entry(parent)
    except (OSError, CheckpointException) as error:
        trouble = (isinstance(error, OSError) and error.strerror) or _first_line(error)
        shutil.rmtree(temporary, ignore_errors=True)
    _agree(trouble, parent, processes)
    if processes.is_main:
        for old in _outdated(parent, name, keep):
            shutil.rmtree(old, ignore_errors=True)
    processes.wait()
    return parent / name


def _agree(trouble: str, parent: Path, processes: Processes) -> None:
    """Raise in every process what went wrong in one."""
    if processes.total([float(bool(trouble))])[0]:
        raise Gpt2labError(
            f"The run could not be saved in {parent}: {trouble or 'another process failed'}. What was saved there "
            "before is whole; make room and resume it."
        )


def _outdated(parent: Path, newest: str, keep: int) -> list[Path]:
    """Return what goes now that `newest` is whole: what came later in a run taken back, leftovers, the oldest."""
    found = steps(parent)
    earlier = [p for p in found if p.name <= newest]
    leftovers = [p for p in parent.iterdir() if p.name.startswith(".step-")]
    return [*(p for p in found if p.name > newest), *earlier[:-keep], *leftovers]


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the tensors of a state folder. Raises `CheckpointError` when it is damaged."""
    try:
        with _quietly():
            entries = _reader(folder).read_metadata().state_dict_metadata
    except Exception as error:  # whatever a damaged header makes of three libraries
        raise CheckpointError(f"{folder} is damaged and cannot be resumed: {_first_line(error)}") from None
    return {name: tuple(getattr(entry, "size", ())) for name, entry in entries.items()}


def read_tensors(folder: Path, into: dict[str, Tensor]) -> None:
    """Fill the tensors of `into`, whole or laid out over the processes, with those of the same names in `folder`.

    Raises `CheckpointError` when one is missing, has another shape or the files are damaged.
    """
    shapes = tensor_shapes(folder)
    for name, tensor in into.items():
        if shapes.get(name) != tuple(tensor.shape):
            raise CheckpointError(
                f"{folder} has {name!r} of shape {shapes.get(name, 'none')}; the model wants {tuple(tensor.shape)}."
            )
    try:
        with _quietly():
            load(into, storage_reader=_reader(folder), no_dist=not dist.is_initialized())
    except Exception as error:  # as above
        raise CheckpointError(f"{folder} is damaged and cannot be resumed: {_first_line(error)}") from None


def _write_tensors(folder: Path, tensors: Mapping[str, Tensor], processes: Processes) -> None:
    if processes.sharded:
        with _quietly():
            save(dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    elif processes.is_main:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        arrays = ((name, tensor.detach().cpu().numpy()) for name, tensor in tensors.items())
        with (folder / "tensors.safetensors").open("wb") as f:
            write_safetensors(f, shapes, arrays)


def _flush(folder: Path) -> None:
    """Have the disk hold the folder and everything in it."""
    for path in folder.iterdir():
        _flush_entry(path)
    _flush_entry(folder)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reader(folder: Path) -> HuggingFaceStorageReader:
    return HuggingFaceStorageReader(str(folder))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what torch warns of here: that a single process is a single process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

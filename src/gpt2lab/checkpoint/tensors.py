"""What every reader returns: a configuration and float32 arrays by name, read only when asked for.

Knows no file format. Names and layout are those of transformers' GPT2LMHeadModel; linear weights are (in, out).
"""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpt2lab.checkpoint.identity import Identity
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

Array = npt.NDArray[np.float32]

HEAD, EMBEDDING = "lm_head.weight", "transformer.wte.weight"


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file: its shape, and the function that reads it as C-contiguous float32 of that shape."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


class LazyTensors(Mapping[str, Array]):
    """Name -> float32 array, read at each access and not kept.

    An array that the file already holds as float32 is a view of a private memory map: writing to it never reaches the
    file, but later accesses may see it, so copy before you write.
    """

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self._stored = dict(stored)

    def __getitem__(self, name: str) -> Array:
        return self._stored[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __repr__(self) -> str:
        return f"LazyTensors({len(self)} tensors)"


@dataclass(frozen=True)
class Checkpoint:
    """A model as it lies on disk.

    `tensors` has exactly the names and shapes of `config.tensor_shapes()`; each access gives a C-contiguous float32
    array. `tokenizer` is None where the files hold none. `generation` is the content of generation_config.json, or {}.
    `source` says in words what was read; `path` is the file or folder; `identity` describes the files the tensors are
    read from, as they were before the first of them was opened.
    """

    config: GPT2Config
    tensors: Mapping[str, Array]
    tokenizer: Tokenizer | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    path: Path = Path()
    identity: Identity | None = None


def fit(config: GPT2Config, stored: Mapping[str, Stored], where: str) -> tuple[GPT2Config, LazyTensors]:
    """Match what a file holds with what `config` needs; `where` names the file in errors.

    Of two tied matrices either may be absent. When both are there and differ, the head is untied, as transformers does;
    the configuration returned says so. A missing, unexpected or misshapen tensor is a `CheckpointError`.
    """
    check_depth(config, len(stored), where)
    found = dict(stored)
    if config.tie_word_embeddings and HEAD in found:
        head = found.pop(HEAD)
        if EMBEDDING not in found:
            found[EMBEDDING] = head
        elif head.shape != found[EMBEDDING].shape or not _equal(head.read(), found[EMBEDDING].read()):
            found[HEAD] = head
            config = dataclasses.replace(config, tie_word_embeddings=False)
    wanted = config.tensor_shapes()
    _check(found, wanted, where)
    return config, LazyTensors({name: found[name] for name in wanted})


def check_depth(config: GPT2Config, count: int, where: str) -> None:
    """Raise a `CheckpointError` when `count` tensors are too few for the layers, before any list of names is made."""
    if config.n_layer > count:
        raise CheckpointError(f"{where} holds {count} tensors, too few for n_layer = {config.n_layer:,}.")


def check_arrays(config: GPT2Config, tensors: Mapping[str, Any], where: str) -> None:
    """Raise a `CheckpointError` unless `tensors` (anything with `.shape`) has the names and shapes that `config` needs.

    Reads every array of a lazy mapping once, so it is for what is about to be written anyway.
    """
    shapes = {name: tuple(tensors[name].shape) for name in tensors}
    _check({name: Stored(shape, _nothing) for name, shape in shapes.items()}, config.tensor_shapes(), where)


def _check(found: Mapping[str, Stored], wanted: Mapping[str, tuple[int, ...]], where: str) -> None:
    wrong = [name for name in wanted if name in found and found[name].shape != wanted[name]]
    missing = [name for name in wanted if name not in found]
    unexpected = sorted(name for name in found if name not in wanted)
    if not (wrong or missing or unexpected):
        return
    if missing:
        problem = f"has no tensor {missing[0]!r} of shape {wanted[missing[0]]}"
    elif wrong:
        problem = (
            f"holds {wrong[0]!r} with shape {found[wrong[0]].shape} where its configuration wants {wanted[wrong[0]]}"
        )
    else:
        problem = (
            f"holds {unexpected[0]!r} of shape {found[unexpected[0]].shape}, which its configuration does not know"
        )
    more = len(wrong) + len(missing) + len(unexpected) - 1
    rest = f", and {more} more {'tensors do' if more > 1 else 'tensor does'} not fit" if more else ""
    raise CheckpointError(f"{where} {problem}{rest}; its weights and its configuration must belong together.")


def _equal(a: Array, b: Array) -> bool:
    same = a.ctypes.data == b.ctypes.data and a.shape == b.shape and a.strides == b.strides
    return same or bool(np.array_equal(a, b))


def _nothing() -> Array:
    raise AssertionError("only the shape is known")


def map_file(path: Path) -> mmap.mmap:
    """Map a file privately: torch can wrap arrays of it without a copy, and writing to them never reaches the file."""
    with path.open("rb") as f:
        try:
            return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError:  # the system promises no private pages for a file larger than the memory
            return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


def bfloat16_to_float32(bits: npt.NDArray[np.uint16]) -> Array:
    """Widen bfloat16, given as its 16 bits, to float32 exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float32_to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """Round float32 to bfloat16 (nearest, ties to even; NaN stays NaN), returned as its 16 bits."""
    bits = np.asarray(values, dtype=np.float32, order="C").view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    nan = np.isnan(values)
    return np.where(nan, ((bits >> 16) | 0x40).astype(np.uint16), rounded) if nan.any() else rounded


def float32_to_float16(values: Array) -> npt.NDArray[np.float16]:
    """Round float32 to float16; a finite number that is too large for it is a `CheckpointError`."""
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.asarray(values, dtype=np.float32).astype(np.float16)
    if bool((np.isinf(half) & np.isfinite(values)).any()):
        raise CheckpointError("The weights hold numbers beyond 65504, which float16 cannot hold; choose another dtype.")
    return half

"""How much memory a run will need, said before it starts, and an allocator that keeps what it has been given.

The estimate counts what a step holds at its two high points: the end of the forward pass (every activation) and the end
of the backward pass (every gradient). Shapes and bytes only; tests hold it against what the system measured.

Legend: B rows, T positions, C n_embd, F inner width, H heads, V vocabulary, L layers.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gpt2lab.model.config import GPT2Config
from gpt2lab.train.recipe import Recipe

_STATES = {"adamw": 2.0, "adam": 2.0, "muon": 1.0, "sgd": 1.0, "adafactor": 0.01}
"""Numbers that an optimizer keeps for each number it updates; with Muon, AdamW's part is counted apart."""

_CHUNK = 512
"""Rows of logits that exist at once (train/loss.py)."""

_SLACK = 1.03
"""What an allocator loses between the pieces it hands out."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes at a run's peak in one process, by what they are for. `present` is what the process had before."""

    present: int
    gradients: int
    optimizer: int
    activations: int
    other: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.present + self.gradients + self.optimizer + self.activations + self.other

    def sentence(self) -> str:
        """Return the estimate in words."""
        parts = ", ".join(
            f"{name} {size(value)}"
            for name, value in (
                ("activations", self.activations),
                ("gradients", self.gradients),
                ("optimizer", self.optimizer),
            )
        )
        return f"about {size(self.total)} of memory ({parts})"


def size(count: float) -> str:
    """Return bytes in the unit that suits them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def estimate(model: nn.Module, config: GPT2Config, recipe: Recipe, *, half: bool, processes: int = 1) -> MemoryEstimate:
    """Return what one of `processes` processes will hold at most, `model` being there already.

    `half` says that products are computed in bfloat16.
    """
    loop, optimizer = recipe.train, recipe.optimizer
    part = processes if loop.parallel == "fsdp" else 1
    trained = [(n, p.numel()) for n, p in model.named_parameters() if p.requires_grad]
    count = sum(n for _, n in trained)
    inside = sum(n for name, n in trained if optimizer.name == "muon" and ".h." in name)
    states = _STATES[optimizer.name] * inside + 2 * (count - inside) if inside else _STATES[optimizer.name] * count
    rows = -(-loop.batch_size // processes)
    tokens = rows * config.n_positions
    activations = 4 * tokens * _floats(config, recipe, frozen=_frozen_blocks(model), half=half)
    head = 4 * config.vocab_size * config.n_embd
    gradients = 4 * count // part
    logits = (6 if half else 4) * min(_CHUNK, tokens) * config.vocab_size
    block = 4 * tokens * (4 * config.n_embd + 2 * config.inner)  # what one block's backward pass makes and drops
    forward_end, backward_end = activations + head + logits, max(gradients, head) + block
    peak = int(max(forward_end, backward_end) * _SLACK)
    return MemoryEstimate(
        present=resident(),
        gradients=min(gradients, peak),
        optimizer=int(4 * states * _SLACK) // part,
        activations=int(activations),
        other=max(0, peak - min(gradients, peak) - int(activations)),
    )


def _frozen_blocks(model: nn.Module) -> int:
    """Return how many of the first blocks need no gradient, so that nothing is kept for them."""
    transformer = next((m for m in model.modules() if type(m).__name__ == "Transformer"), None)
    if transformer is None or any(p.requires_grad for p in transformer.wte.parameters()):  # type: ignore[union-attr]
        return 0
    if any(p.requires_grad for p in transformer.wpe.parameters()):  # type: ignore[union-attr]
        return 0
    frozen = 0
    for block in transformer.h:  # type: ignore[union-attr]
        if any(p.requires_grad for p in block.parameters()):
            break
        frozen += 1
    return frozen


def _floats(config: GPT2Config, recipe: Recipe, *, frozen: int, half: bool) -> float:
    """Return how many floats a position keeps for the backward pass."""
    c, f = config.n_embd, config.inner
    inside: float = 8 * c + 2 * f  # x, ln_1, q k v, y, x', ln_2, c_fc, its activation
    if half:  # inputs of products are kept in bfloat16, layer norms' in float32
        inside = 2 * c + c + (6 * c + 2 * f) / 2
    if recipe.model.dropout:
        inside += 2 * c + 3 * config.n_head * config.n_positions  # masks; attention's own weights, kept with them
    layers = config.n_layer - frozen
    ends = 3 * c  # the embeddings' sum, ln_f, the head's gradient
    if recipe.train.checkpoint_activations:
        return layers * c + inside + ends
    return layers * inside + ends


def resident() -> int:
    """Return the bytes of memory that this process holds now; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return 0
    return int(statm.read_text(encoding="ascii").split()[1]) * 4096


def available(device: torch.device) -> int | None:
    """Return the bytes that could still be had on `device`; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    for line in meminfo.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def advice(need: MemoryEstimate, room: int, recipe: Recipe) -> str:
    """Return a sentence when more is needed than `room` bytes, with what would help; "" when it fits."""
    missing = need.total - need.present - room
    if missing <= 0:
        return ""
    ways = []
    if not recipe.train.checkpoint_activations and need.activations > missing / 2:
        ways.append("train.checkpoint_activations = true")
    if recipe.train.batch_size > 1 and need.activations > missing / 2:
        half = recipe.train.batch_size // 2
        ways.append(f"train.batch_size = {half} with train.accumulate = {2 * recipe.train.accumulate}")
    if recipe.optimizer.name in ("adamw", "adam"):
        ways.append('optimizer.name = "adafactor"')
    ways.append("a smaller model")
    return f"This will not fit: {size(missing)} are missing. Try {', or '.join(ways)}."


@contextlib.contextmanager
def steady_memory() -> Iterator[None]:
    """Have glibc keep freed memory for the next step instead of returning it to the system and asking again.

    A step frees and takes gigabytes in large pieces; each fresh page costs a fault and a fill with zeros. Elsewhere
    than on Linux with glibc this does nothing. Afterwards what is free is given back.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    trim, top, mappings = -1, -2, -4  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX of malloc.h
    try:
        for option, value in ((mappings, 0), (trim, 2**31 - 1), (top, 64 << 20)):
            libc.mallopt(option, value)
        yield
    finally:
        for option, value in ((mappings, 65536), (trim, 128 << 10), (top, 0)):
            libc.mallopt(option, value)
        libc.malloc_trim(0)

"""How much memory a run will need, said before it starts, and an allocator that keeps what it has been given.

The estimate counts the bytes of the tensors that a step holds at each of its high points: when the loss is computed,
when the last block's backward pass begins, at the end of the backward pass (every gradient) and in the update. To these
it adds what was measured: the holes in the allocator's heap, and what the libraries keep. A test holds it to within
15 % of what the system measured, above what the process held before.

Legend: C n_embd, H heads, V vocabulary.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import Attention, Transformer
from gpt2lab.model.relative import BLOCK
from gpt2lab.train.loss import CHUNK_BYTES, PRODUCT_ROWS, keep_buffers
from gpt2lab.train.recipe import Recipe

_STATES = {"adamw": 2.0, "adam": 2.0, "muon": 1.0, "sgd": 1.0, "adafactor": 0.01}
"""Numbers that an optimizer keeps for each number it updates; with Muon, AdamW's part is counted apart."""

_HOLES, _HOLES_OF_GRADIENTS = 0.1, 0.3
_HOLES_OF_PORTIONS = {False: 0.2, True: 0.4}  # by whether gradients of earlier portions lie between activations
_HOLES_OF_ONE_PORTION = 0.35  # its gradients and the optimizer's numbers lie where the next step's activations go
_HOLES_OF_LOGITS = {2: 0.25, 4: 0.75}  # by the bytes of a number: float32's products have buffers of their own
"""What the allocator cannot use between the pieces it has handed out, as shares of activations, of gradients, of
activations once more, for several portions or for one, and of logits. Measured, with glibc 2.36: a
hole that a tensor leaves is a little too small for another of its size, since torch asks for aligned memory."""

_LIBRARIES = 50_000_000
"""What the first step loads and keeps: code, threads and their buffers. Measured."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes in one process. `present` is what it had before, `step` the most that a step adds to the optimizer's.

    Activations and gradients are parts of `step` that need not exist at the same time.
    """

    present: int
    optimizer: int
    step: int
    activations: int
    gradients: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.present + self.optimizer + self.step

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


def estimate(
    model: nn.Module,
    config: GPT2Config,
    recipe: Recipe,
    *,
    half: bool,
    processes: int = 1,
    window: int | None = None,
) -> MemoryEstimate:
    """Return what one of `processes` processes will hold at most, `model` being there already.

    `half` says that products are computed in bfloat16; rows are `window` tokens long (None: the model's positions).
    """
    loop, name = recipe.train, recipe.optimizer.name
    part = processes if loop.parallel == "fsdp" else 1
    trained = [(n, p.numel()) for n, p in model.named_parameters() if p.requires_grad]
    count = sum(n for _, n in trained)
    inside = sum(n for path, n in trained if name == "muon" and ".h." in path)
    states = _STATES[name] * inside + 2 * (count - inside) if inside else _STATES[name] * count
    again = loop.checkpoint_activations
    ranks = sum(p.shape[1] for n, p in model.named_parameters() if n.endswith("lora_a"))
    step = _Step(
        config,
        tokens=-(-loop.batch_size // processes) * (window or config.n_positions),
        window=window or config.n_positions,
        half=half,
        drops=config.resid_pdrop > 0,
        drops_ends=config.embd_pdrop > 0,
        drops_weights=config.attn_pdrop > 0 and not (half and _has_native_attention(model)),
        head_learns=any(n.endswith(("wte.weight", "lm_head.weight")) for n, _ in trained),
        inputs_only=not (again or ranks or loop.compile or loop.precision == "int8"),
    )
    layers = [step.of(layer) for layer in range(_frozen_blocks(model), config.n_layer)]
    adapters = step.element * step.tokens * ranks // config.n_layer
    largest = max((layer.block + adapters for layer in layers), default=0)
    inside = len(layers) * 4 * step.tokens * config.n_embd if again else sum(x.block + adapters for x in layers)
    kept = step.ends + inside  # when the loss is computed
    activations = kept + (largest if again else 0)
    gradients, early = 4 * count // part, loop.accumulate > 1 or processes > part
    twice = step.head_gradient if config.tie_word_embeddings else 0  # it comes from both ends of the model
    peak = max(
        kept + step.head + (gradients if early else 0),
        activations + step.head_gradient + max((x.backward for x in layers), default=0) + (gradients if early else 0),
        gradients + twice + (step.head_gradient if early else 0) + 2 * step.ends,
        gradients + _update_bytes(name, trained) // part,
    )
    peak += step.buffers
    packed = 2 * 12 * config.n_layer * config.n_embd**2 if loop.precision == "int8" else 0
    holes = _HOLES * activations + _HOLES_OF_GRADIENTS * gradients + _HOLES_OF_LOGITS[step.element] * step.logits
    left = [layer.attention_holes for layer in layers]
    holes += max(0, (max(left, default=0) if again else sum(left)) - gradients)  # gradients fill them
    if loop.accumulate > 1:
        holes += _HOLES_OF_PORTIONS[processes > 1] * activations
    elif step.inputs_only and not any(layer.pairs for layer in layers):
        holes += _HOLES_OF_ONE_PORTION * activations
    return MemoryEstimate(
        present=resident(),
        optimizer=int(4 * states) // part,
        step=peak + packed + int(holes) + _LIBRARIES,
        activations=activations,
        gradients=gradients,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """The bytes of one portion's tensors, in a block with full attention; `of` makes those of others."""

    config: GPT2Config
    tokens: int
    window: int
    half: bool
    drops: bool
    drops_ends: bool
    drops_weights: bool
    """Whether dropout of attention is PyTorch's, which holds matrices of all pairs of positions."""
    head_learns: bool
    inputs_only: bool
    """Whether of norms and GELU only what goes in is kept (train/recompute.py)."""
    kind: str = "full"

    def of(self, layer: int) -> _Step:
        """Return this for a block with the attention of `layer`."""
        return dataclasses.replace(self, kind=self.config.attention_of(layer))

    @property
    def pairs(self) -> bool:
        """Whether matrices of all pairs of positions that see each other are held."""
        return self.drops_weights and not self.by_queries

    @property
    def element(self) -> int:
        """Bytes of a number in a product."""
        return 2 if self.half else 4

    @property
    def by_queries(self) -> bool:
        """Whether attention is computed some queries at a time (model/relative.py, model/long.py)."""
        return self.config.max_relative_position > 0 or self.kind == "compressed"

    @property
    def scores(self) -> bool:
        """Whether the scores of some queries are held: not where PyTorch has a kernel, which it has without dropout."""
        return self.by_queries and (self.kind != "compressed" or self.config.attn_pdrop > 0)

    @property
    def reach(self) -> int:
        """How many keys a row of scores has."""
        if self.kind == "compressed":
            return self.window // self.config.attention_compression + min(BLOCK, self.window)
        return min(self.config.attention_block, self.window) if self.kind == "local" else self.window

    @property
    def ends(self) -> int:
        """What goes into the last norm, and with dropout the mask of the embeddings."""
        return self.tokens * 4 * self.config.n_embd * (2 if self.drops_ends else 1)

    @property
    def outputs(self) -> int:
        """What comes out of a block's norms and GELU, for a token."""
        return self.element * (2 * self.config.n_embd + self.config.inner)

    @property
    def block(self) -> int:
        """What one block keeps for its backward pass."""
        config, c, e = self.config, self.config.n_embd, self.element
        inside = 8 * c + e * (4 * c + config.inner)  # x and x' in float32; q k v, y, c_fc
        inside += 0 if self.inputs_only else self.outputs
        inside += 4 * config.n_head + 16  # attention's sums of exponentials, the means and deviations of the norms
        if self.drops:  # masks
            inside += 2 * e * c
        if self.pairs:  # attention in float32 with its weights, their mask and what that leaves of them
            inside += (12 - 3 * e) * c + 12 * config.n_head * self.reach
        if self.scores and self.window <= BLOCK:
            inside += (2 if self.drops else 1) * e * config.n_head * self.reach  # the weights, and what dropout leaves
        if self.kind == "compressed":
            inside += e * (4 * c + 2 * c // config.attention_compression)  # what is filled up, read and compressed
            if not self.scores:  # for some queries at a time, what they see: keys, values and a mask of float
                inside += e * (2 * c + BLOCK) * (self.reach + BLOCK) // 2 // BLOCK
        return self.tokens * inside + self.copies

    @property
    def backward(self) -> int:
        """What the backward pass of a block makes and drops."""
        config, c, e = self.config, self.config.n_embd, self.element
        feed_forward = (2 if self.inputs_only else 1) * e * config.inner + 6 * c
        attention = 4 * config.n_head * self.reach - 2 * e * config.inner - (e + 4) * c if self.pairs else 0
        if self.scores:  # of some queries, moved and not, their softmax, each one's gradient
            number = 12 if self.kind == "compressed" else 10  # with their mask
            attention = number * e * config.n_head * min(self.window, BLOCK) * self.reach // self.window
        return self.tokens * max(feed_forward, attention)

    @property
    def attention_holes(self) -> int:
        """What matrices of all pairs of positions leave behind in a block and nothing smaller fills. Measured."""
        if not self.pairs:
            return 0
        pairs = self.tokens * self.config.n_head * self.reach
        dropped = self.tokens * self.outputs if self.inputs_only else 0
        return max(0, 9 * pairs - (self.block + dropped - 12 * pairs - self.copies))

    @property
    def copies(self) -> int:
        """What is kept of a block's weights in the type of the products."""
        c = self.config.n_embd
        kept = c * c if self.inputs_only else 4 * c * c + 2 * c * self.config.inner
        return 2 * kept if self.half else 0

    @property
    def head_gradient(self) -> int:
        """The gradient of the head's weights, which also exists at the beginning of the backward pass."""
        return 4 * self.config.vocab_size * self.config.n_embd if self.head_learns else 0

    @property
    def head(self) -> int:
        """What the loss holds beside the activations (train/loss.py)."""
        config, c, e = self.config, self.config.n_embd, self.element
        hidden = self.tokens * c * (4 + e + (e if self.half else 0))
        part = min(PRODUCT_ROWS, config.vocab_size)
        products = 6 * part * c if self.half and self.head_learns else 0  # one in each type, to be added
        return hidden + products + self.head_gradient

    @property
    def buffers(self) -> int:
        """What the loss keeps from portion to portion: its logits and the head in the type of products."""
        copies = 2 * self.config.vocab_size * self.config.n_embd if self.half else 0
        return self.logits + copies

    @property
    def logits(self) -> int:
        """The buffer of logits."""
        return min(CHUNK_BYTES, self.element * self.tokens) * self.config.vocab_size


def _update_bytes(name: str, trained: Sequence[tuple[str, int]]) -> int:
    """Return what an optimizer makes and drops while it updates the largest matrix it has."""
    largest = max((n for path, n in trained if name != "muon" or ".h." in path), default=0)
    return {"muon": 16, "adafactor": 4}.get(name, 0) * largest


def _has_native_attention(model: nn.Module) -> bool:
    return any(isinstance(module, Attention) and module.attend is not None for module in model.modules())


def _frozen_blocks(model: nn.Module) -> int:
    """Return how many of the first blocks need no gradient, so that nothing is kept for them."""
    transformer = next((m for m in model.modules() if isinstance(m, Transformer)), None)
    if transformer is None or transformer.wte.weight.requires_grad or transformer.wpe.weight.requires_grad:
        return 0
    learning = (any(p.requires_grad for p in block.parameters()) for block in transformer.h)
    return next((i for i, learns in enumerate(learning) if learns), len(transformer.h))


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
    """Have the loss keep its buffers, and glibc freed memory for the next step instead of returning it to the system.

    A step frees and takes gigabytes in large pieces; each fresh page costs a fault and a fill with zeros. Other systems
    than Linux with glibc are left to their ways. Afterwards what is free is given back. Nor does Python search the
    objects that are there by now, those of all of torch, for garbage at every step.
    """
    with contextlib.ExitStack() as stack:
        gc.freeze()
        stack.callback(gc.unfreeze)
        stack.enter_context(keep_buffers())
        if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
            stack.enter_context(_no_mappings())
        yield


@contextlib.contextmanager
def _no_mappings() -> Iterator[None]:
    """Have glibc take all memory from its heap and give none back."""
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

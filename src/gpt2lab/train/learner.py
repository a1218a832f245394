"""One optimizer step: portions in, gradients, an update. The arithmetic of training and nothing else.

Knows a task, a model and the processes of the run, not files, clocks or progress. What is random in a portion follows
from (seed, step, portion, process) alone, so nothing random has to be saved.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from gpt2lab.errors import ConfigError, DataError
from gpt2lab.model.gpt import Block, Transformer
from gpt2lab.train.operations import use_native
from gpt2lab.train.optim import build_optimizers
from gpt2lab.train.parallel import Processes
from gpt2lab.train.precision import autocast_type, can_compile
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.recompute import recompute_inputs
from gpt2lab.train.task import Batch, Task

if TYPE_CHECKING:
    from gpt2lab.train.int8 import Int8Linear


class StepLoss(NamedTuple):
    """What a step's gradients say: the mean loss in nats a target, the number of targets, the gradients' norm."""

    mean: float
    targets: float
    norm: float


class _LossOf(nn.Module):
    """A task's loss of a model as a module's forward pass, which is what DDP and FSDP wrap."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._task = task

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of targets."""
        return self._task.loss(self.model, batch)


class _SumOfPortions:
    """The gradients of a model in one piece of memory that is there before the first portion and stays.

    Made one by one in the first portion's backward pass, they would lie between the memory of activations, and what
    the next portion takes would not fit into the holes: two fifths of the activations more.
    """

    def __init__(self, model: nn.Module) -> None:
        self._learning = [p for p in model.parameters() if p.requires_grad]
        self._whole = torch.zeros(
            sum(p.numel() for p in self._learning), dtype=self._learning[0].dtype, device=self._learning[0].device
        )
        self._touched: set[int] = set()
        for parameter in self._learning:
            parameter.register_post_accumulate_grad_hook(lambda p: self._touched.add(id(p)))  # type: ignore[no-untyped-call]
        self._hand_out()

    def leave_touched(self) -> None:
        """Take the gradients away from parameters that had no part in the loss, which no optimizer must move."""
        for parameter in self._learning:
            if id(parameter) not in self._touched:
                parameter.grad = None

    def clear(self) -> None:
        """Begin anew at zero."""
        self._touched.clear()
        self._whole.zero_()
        self._hand_out()

    def _hand_out(self) -> None:
        parts: Sequence[Tensor] = torch.split(self._whole, [p.numel() for p in self._learning])
        for parameter, part in zip(self._learning, parts, strict=True):
            parameter.grad = part.view_as(parameter)


class Learner:
    """A model that learns a task, with its optimizers. Raises `ConfigError` for what cannot be done here."""

    def __init__(self, task: Task, model: nn.Module, recipe: Recipe, processes: Processes) -> None:
        loop = recipe.train
        if loop.batch_size % processes.count:
            raise ConfigError(
                f"train.batch_size = {loop.batch_size} must be a multiple of the {processes.count} processes."
            )
        self._task, self._recipe, self._processes = task, recipe, processes
        self.model = model.to(processes.device)
        for module in model.modules():
            if isinstance(module, Transformer):
                module.checkpoint_activations = loop.checkpoint_activations
        self.compiled = loop.compile and can_compile(processes.device)
        if self.compiled:
            for module in model.modules():
                if isinstance(module, Block):
                    module.compile()  # one block's code serves all of them
        self._type = autocast_type(loop.precision, processes.device)
        self._packed: list[Int8Linear] = []
        if loop.precision == "int8":
            from gpt2lab.train.int8 import use_int8

            self._packed = use_int8(model, processes.device)
        if not self.compiled:
            use_native(model, processes.device, self._type)
            if not loop.checkpoint_activations:
                recompute_inputs(model)
        self._module = _LossOf(task, self.model)
        processes.shard(self._module)
        self.optimizers = build_optimizers(self.model, recipe.optimizer, self._type)
        self._shared = processes.share_gradients(self._module)
        self._scale = 0.0
        self._sums = _SumOfPortions(self.model) if loop.accumulate > 1 and processes.count == 1 else None

    @property
    def precision(self) -> str:
        """The type of the products: "fp32", "bf16" or "int8"."""
        if self._recipe.train.precision == "int8":
            return "int8"
        return "fp32" if self._type is None else "bf16"

    def gradients(self, step: int) -> StepLoss:
        """Compute the gradients of step `step` from the next portions of the stream; nothing is updated yet."""
        self.model.train()
        for factors in self._packed:
            factors.forget()
        sums = torch.zeros(2, dtype=torch.float64, device=self._processes.device)
        portions = self._recipe.train.accumulate
        for portion in range(portions):
            batch = self._share_of(next(self._task.stream))
            torch.manual_seed(_seed(self._recipe.train.seed, step, portion, self._processes.rank))
            with self._processes.portion(self._shared, last=portion == portions - 1):
                with self._autocast():
                    nats, count = self._shared(*batch)
                nats.backward()
            sums += torch.stack([nats.detach().double(), count.double()])
        if self._sums is not None:
            self._sums.leave_touched()
        total, targets = self._processes.total(sums.tolist())
        if not targets:
            raise DataError(f"No target of step {step} counts: all of them are masked. Give other data.")
        self._scale = self._processes.count / targets  # DDP and FSDP average over the processes; a sum is wanted
        norm = torch.nn.utils.get_total_norm(self._gradients())
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return StepLoss(total / targets, targets, whole.item() * self._scale)

    def update(self, loss: StepLoss, rate: float) -> None:
        """Clip the gradients of `loss` and move every parameter, at `rate` times its peak learning rate."""
        clip = min(1.0, self._recipe.optimizer.clip / (loss.norm + 1e-6))
        torch._foreach_mul_(self._gradients(), self._scale * clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            optimizer.step()
        self.forget()

    def forget(self) -> None:
        """Drop the gradients."""
        if self._sums is not None:
            self._sums.clear()
            return
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def finite(self) -> bool:
        """Whether every parameter is a number still, in every process. All of them ask together."""
        norm = torch.nn.utils.get_total_norm([p.detach() for p in self.model.parameters()])
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return bool(torch.isfinite(whole))

    def release(self) -> None:
        """Drop what shares gradients between processes; only validation is possible afterwards.

        DDP's reducer holds the group of processes. Were it the last to hold it, the group would be taken down with the
        interpreter's lock held, while one of its threads may be waiting for that lock: a deadlock.
        """
        self._shared = self._module
        gc.collect()

    @torch.no_grad()
    def evaluate(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """Return the summed loss of `batches` in nats and the number of their targets, over all processes."""
        self.model.eval()
        nats, targets = 0.0, 0.0
        for batch in batches:
            share = self._share_of(batch)
            empty = not len(share[0])  # a process without rows still takes part, since all compute together
            with self._autocast():
                loss, count = self._module(*(self._tensors(batch, slice(0, 1)) if empty else share))
            nats, targets = (nats, targets) if empty else (nats + loss.item(), targets + float(count))
        total_nats, total_targets = self._processes.total([nats, targets])
        return total_nats, total_targets

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def _share_of(self, batch: Batch) -> tuple[Tensor, ...]:
        return self._tensors(batch, self._processes.rows(len(batch[0])))

    def _tensors(self, batch: Batch, rows: slice) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array[rows]).to(self._processes.device) for array in batch)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._type is None:
            return contextlib.nullcontext()
        # without the cache, which would hold the halves of all weights until the loss is there: each is used once
        return torch.autocast(self._processes.device.type, dtype=self._type, cache_enabled=False)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])

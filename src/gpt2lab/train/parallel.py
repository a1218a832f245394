"""The processes of a run: one, or those that torchrun started, which share gradients (DDP) or all they hold (FSDP2).

Knows modules and tensors, not tasks or recipes. Every process draws the same batches and keeps its share of the rows,
so the global batch does not depend on how many there are. With one process nothing here computes anything.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined] # they come from C++
from torch.distributed.rendezvous import rendezvous

from gpt2lab.errors import ConfigError, Gpt2labError
from gpt2lab.model.gpt import Block

Sharing = Literal["ddp", "fsdp"]


class Processes:
    """This process among those of the run: `rank` of `count`, computing on `device`."""

    def __init__(self, device: str, sharing: Sharing) -> None:
        self.rank, self.count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.sharing: Sharing = sharing
        if self.count > 1 and device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        self.device = usable_device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self._root: nn.Module | None = None  # what FSDP has cut
        self.opened = self.count > 1 and not dist.is_initialized()
        if self.opened:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            store, *_ = next(rendezvous("env://"))
            store = fresh_store(store, self.rank, self.count)
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.count)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether a process holds only its part of the parameters."""
        return self.count > 1 and self.sharing == "fsdp"

    def close(self) -> None:
        """Leave the group of processes, if it was opened here."""
        if self.opened and dist.is_initialized():
            dist.destroy_process_group()

    def rows(self, total: int) -> slice:
        """Return which of `total` rows of a global batch are this process's."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def total(self, values: list[float]) -> list[float]:
        """Return the sums of `values` over all processes, the same numbers in each."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        summed: list[float] = tensor.tolist()
        return summed

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            dist.barrier()

    def shard(self, model: nn.Module) -> None:
        """With FSDP, leave each process its rows of every parameter of `model`, block by block."""
        if not self.sharded:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.count,))
        for module in model.modules():
            if isinstance(module, Block):
                fully_shard(module, mesh=mesh)
        fully_shard(model, mesh=mesh)
        self._root = model

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Within it, every process has every parameter, so that the model can be used like any other.

        All processes enter and leave it together. What is changed in the parameters is forgotten.
        """
        if self._root is None:
            yield
            return
        from torch.distributed.fsdp import FSDPModule

        parts = [module for module in self._root.modules() if isinstance(module, FSDPModule)]
        for part in parts:
            part.unshard()
        # FSDP frees its own memory afterwards, which would fail, or leave arrays of nothing, once NumPy has seen it
        gathered = [(parameter, parameter.data) for parameter in self._root.parameters()]
        for parameter, own in gathered:
            parameter.data = own.clone()
        try:
            yield
        finally:
            for parameter, own in gathered:
                parameter.data = own
            for part in parts:
                part.reshard()

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """Return `module` as it is to be called in training: with DDP, gradients are averaged in the last backward."""
        if self.count == 1:
            return module
        if self.sharded:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, gradient_as_bucket_view=True)

    @contextlib.contextmanager
    def portion(self, module: nn.Module, *, last: bool) -> Iterator[None]:
        """Within it, gradients of one portion of a step are computed; they are shared in the `last` one."""
        with contextlib.ExitStack() as stack:
            if self.count > 1 and not self.sharded and not last:
                stack.enter_context(module.no_sync())  # type: ignore[operator]
            yield


def fresh_store(store: Store, rank: int, count: int, *, patience: float = 1800.0) -> Store:
    """Return a part of `store` that is empty and the same for all `count` processes of this start of the run.

    torchrun keeps one store while it starts a run again and again, so the addresses at which dead processes listened
    are still in it, and others would wait for those (pytorch issue 135712); its count of restarts differs between
    machines. So process 0 names the part, and says the name to everyone who asks under a name of his own, for which
    there can be no old answer. An old question is answered too, in vain: process 0 goes on when all have heard it.
    Raises `Gpt2labError` when they have not within `patience` seconds.
    """
    own, waiting = uuid.uuid4().hex, list(range(1, count))
    if rank:
        store.set(f"gpt2lab/question/{rank}", own)
        name = store.get(f"gpt2lab/answer/{own}").decode()
        store.set(f"gpt2lab/heard/{name}/{rank}", "")
        return PrefixStore(name, store)
    deadline = time.monotonic() + patience
    while waiting := [other for other in waiting if not store.check([f"gpt2lab/heard/{own}/{other}"])]:
        for other in waiting:
            if store.check([f"gpt2lab/question/{other}"]):
                store.set(f"gpt2lab/answer/{store.get(f'gpt2lab/question/{other}').decode()}", own)
        if time.monotonic() > deadline:
            raise Gpt2labError(
                f"Of {count} processes {len(waiting)} did not come within {patience:.0f} seconds; start the run again."
            )
        time.sleep(0.01)
    return PrefixStore(own, store)


def usable_device(name: str) -> torch.device:
    """Return the device of that name. Raises `ConfigError` when it is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either for hardware that is not there
        why = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"train.device = {name!r} cannot be used here: {why}. 'cpu' always can.") from None
    return device

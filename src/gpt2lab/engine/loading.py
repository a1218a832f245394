"""From a checkpoint to the backend that computes it; for the native one, packed weights are mapped, or made and kept.

The only place that knows both what a checkpoint's files contain and where packed weights lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import gpt2lab._native as _native
from gpt2lab.checkpoint.identity import READING_VERSION, Identity
from gpt2lab.checkpoint.tensors import Array, Checkpoint
from gpt2lab.engine.native import Format, NativeBackend, choose_precision, choose_threads
from gpt2lab.engine.packed import Octets, PackedCache, Wanted
from gpt2lab.engine.protocol import Backend
from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config

SMALLEST = 16_000_000
"""Parameters from which on packed weights are kept; smaller models, such as the embedded one, are packed at once."""


def load_backend(
    found: Checkpoint,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    threads: int | None = None,
    cache: PackedCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Backend:
    """Return the native backend of a checkpoint for "cpu", and PyTorch's for any other device.

    A model with local or compressed attention is PyTorch's on "cpu" too, in float32, on `threads` threads of torch,
    which are the process's. `cache` and `progress` are `load_native`'s. Raises what the backends raise, and
    `ConfigError` for a precision that PyTorch's does not have.
    """
    if device == "cpu" and not found.config.is_long:
        return load_native(found, precision=precision, threads=threads, cache=cache, progress=progress)
    if device == "cpu" and choose_precision(precision) != "fp32" and precision != "auto":
        raise ConfigError(
            f"precision = {precision!r} is the native engine's, which does not compute this model's attention_layers; "
            "use 'fp32' or 'auto'."
        )
    from gpt2lab.engine.torch_backend import TorchBackend  # only here is torch needed

    backend = TorchBackend(found.config, found.tensors, device=device)
    if device == "cpu" and threads is not None:
        import torch

        torch.set_num_threads(choose_threads(threads))
    return backend


def load_native(
    found: Checkpoint,
    *,
    precision: str = "fp32",
    cache_precision: str = "auto",
    threads: int | None = None,
    cache: PackedCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NativeBackend:
    """Return the native backend of a checkpoint, from packed weights in `cache` where they are there.

    Otherwise they are packed from the checkpoint's tensors, and kept in `cache` for the next process. Without `cache`,
    and for weights that do not come from files, they are packed at every call. `progress(done, total)` counts the bytes
    of float32 that were packed. Raises what `NativeBackend` raises.
    """
    tensors = found.tensors if progress is None else _Counted(found.tensors, found.config, progress)

    def backend(packed: Octets | None) -> NativeBackend:
        return NativeBackend(
            found.config, tensors, precision=precision, cache_precision=cache_precision, threads=threads,
            packed=packed,
        )  # fmt: skip

    if cache is None or cache.limit == 0 or found.identity is None or found.config.parameter_count() < SMALLEST:
        return backend(None)
    wanted = _wanted(found.config, choose_precision(precision), found.identity, cache)
    if wanted is None:
        return backend(None)
    packed = cache.find(wanted)
    if packed is not None:
        try:
            return backend(packed)
        except ValueError:  # of another size: not what its header says
            pass
    made = backend(None)
    if found.identity.unchanged():
        cache.store(wanted, made.packed, str(found.path.absolute()))
    return made


class _Counted(Mapping[str, Array]):
    """Tensors that tell how far one has come when the next one is asked for."""

    def __init__(self, tensors: Mapping[str, Array], config: GPT2Config, progress: Callable[[int, int], None]) -> None:
        self._tensors, self._progress = tensors, progress
        self._done, self._total = 0, 4 * config.parameter_count()

    def __getitem__(self, name: str) -> Array:
        self._progress(self._done, self._total)
        tensor = self._tensors[name]
        self._done += 4 * tensor.size
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _wanted(config: GPT2Config, precision: Format, identity: Identity, cache: PackedCache) -> Wanted | None:
    """Return the name of the packed weights; None when the files cannot be read or are changing."""
    try:
        signature = identity.signature()
        content = cache.content_of(signature)
        if content is None:
            content = identity.content()
            if not identity.unchanged():
                return None
            cache.remember(signature, content)
    except OSError:
        return None
    return Wanted(
        content=content,
        shape=_shape_digest(config),
        precision=precision,
        packing=f"{_native.packing_version}.{READING_VERSION}",
    )


def _shape_digest(config: GPT2Config) -> str:
    """Return a digest of all that decides how many numbers there are and where each lies."""
    from hashlib import blake2b

    shapes = config.tensor_shapes()
    return blake2b(repr((shapes, config.n_head)).encode(), digest_size=4).hexdigest()

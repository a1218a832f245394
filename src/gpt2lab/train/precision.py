"""What the hardware is good at: the type of the products, and whether a compiler is there."""

from __future__ import annotations

import os
import shutil

import torch

from gpt2lab.errors import ConfigError


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type that products are computed in, None for float32. "auto" is bfloat16 where it is the faster one.

    Raises `ConfigError` when a GPU is asked for bfloat16 and has none.
    """
    if precision in ("fp32", "int8"):
        return None
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        if precision == "bf16" and not fast:
            raise ConfigError('train.precision = "bf16" is not what this GPU can compute; set "fp32".')
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bf16" or _cpu_multiplies_bf16() else None


def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has units for bfloat16 products; without them they are many times slower than float32."""
    known = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    return known and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can make code for `device`: for a CPU it needs a C++ compiler."""
    if device.type != "cpu":
        return True
    wanted = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return any(name and shutil.which(name) for name in wanted)

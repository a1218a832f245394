"""PyTorch for training, and how long its threads look out for work before they sleep: decided before it is loaded."""

from __future__ import annotations

import os
import sys

from gpt2lab.errors import MissingExtraError

SPINS = "1000"
"""Some microseconds. What GCC's OpenMP does by itself, some milliseconds, keeps the processors from the threads of the
native kernels, with which PyTorch's operations take turns in training: 4 % of a step on two cores."""

_DECIDE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def wait_briefly() -> None:
    """Have OpenMP's threads in this process wait briefly, unless the user's environment or a loaded torch decides."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _DECIDE):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def load_torch(purpose: str = "Training") -> None:
    """Load what trains, whose threads wait briefly then. Raises `MissingExtraError` where it is not installed."""
    wait_briefly()
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(purpose, "train") from None

"""Has MKL choose its vector functions once, in one thread, before anything depends on them.

On Intel processors torch computes exp, log, sqrt and others of float tensors by MKL's vector functions, a share in each
thread. MKL up to 2024.2 chooses a function's routine in its first call; while one thread chooses, another may compute
its share of that call by the least precise routine, with errors of thousands of units in the last place
(pytorch/pytorch, issue 188792). What follows is right again, so that two runs of one program differ once in a while.
"""

from __future__ import annotations

from functools import cache
from threading import Lock

import torch

FUNCTIONS = (
    "acos", "asin", "atan", "cos", "cosh", "erf", "erfc", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2",
    "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip
"""Functions of torch that are, or have been, computed that way."""

_ONE_AT_A_TIME = Lock()


def settle() -> None:
    """Call every function on one number, which no second thread takes part in; once in a process."""
    with _ONE_AT_A_TIME:
        _settled()


@cache
def _settled() -> None:
    for dtype in (torch.float32, torch.float64):
        number = torch.full((1,), 0.5, dtype=dtype, device="cpu")
        for name in FUNCTIONS:
            getattr(torch, name)(number)

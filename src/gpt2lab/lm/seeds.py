"""Where a seed comes from when a call does not give one.

After `set_seed(s)` the k-th such call uses a number that is a function of (s, k) alone; before it, a random one.
"""

from __future__ import annotations

import itertools
import secrets
import threading

from gpt2lab.errors import RequestError

_lock = threading.Lock()
_calls: itertools.count[int] | None = None
_base = 0


def set_seed(seed: int) -> None:
    """Make every later call without a seed of its own reproducible; the same calls after it give the same texts."""
    global _calls, _base  # the one process-wide state, as the name promises
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise RequestError(f"seed = {seed!r} must be a whole number from 0 to 2**64 - 1.")
    with _lock:
        _calls, _base = itertools.count(), seed


def next_seed() -> int:
    """Return the seed for a call that gave none."""
    with _lock:
        if _calls is None:
            return secrets.randbits(63)
        return _mixed(_base, next(_calls))


def _mixed(seed: int, call: int) -> int:
    """Return a well-spread 64-bit number for a pair (Steele, Lea & Flood 2014, the SplitMix64 finaliser)."""
    z = (seed + (call + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)

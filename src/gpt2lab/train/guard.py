"""Watches the losses of a run for the moment at which it goes wrong: no number any more, or far above what it was.

Pure arithmetic. A spike is a loss more than `spike` standard deviations, and more than a tenth, above the mean of the
last `WINDOW`; before half of those are known, nothing is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

WINDOW = 128
"""How many losses are remembered."""


class DivergenceGuard:
    """Remembers the last losses. `spike` = 0: only what is no number counts as divergence."""

    def __init__(self, spike: float, losses: Sequence[float] = ()) -> None:
        self._spike, self._losses = spike, list(losses)[-WINDOW:]

    @property
    def losses(self) -> list[float]:
        """What is remembered, to be saved with the run."""
        return list(self._losses)

    def verdict(self, loss: float, norm: float) -> str:
        """Return what is wrong with a step of this loss and gradient norm, as the start of a sentence; "" if nothing.

        A sound loss is remembered.
        """
        if not math.isfinite(loss):
            return f"The loss became {loss}"
        if not math.isfinite(norm):
            return f"The gradients became {norm}"
        if self._spike and len(self._losses) >= WINDOW // 2:
            mean = sum(self._losses) / len(self._losses)
            deviation = math.sqrt(sum((x - mean) ** 2 for x in self._losses) / len(self._losses))
            if loss > mean * 1.1 and loss > mean + self._spike * deviation:
                return f"The loss jumped from about {mean:.3f} to {loss:.3f}"
        self._losses = [*self._losses, loss][-WINDOW:]
        return ""

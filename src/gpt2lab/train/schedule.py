"""The learning rate as a share of its peak. Pure functions of the step and of how much of the run is over.

WSD (warm-up, stable, decay): Hu et al., "MiniCPM" (2024); Hägele et al. (2024).
"""

from __future__ import annotations

import math

from gpt2lab.train.recipe import LoopRecipe, ScheduleRecipe


def run_share(recipe: LoopRecipe, step: int, seconds: float) -> float:
    """Return how much of the run is over, 0 to 1: by steps done or by training time, whichever is further."""
    by_steps = step / recipe.steps if recipe.steps else 0.0
    by_time = seconds / (60 * recipe.max_minutes) if recipe.max_minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def rate_share(recipe: ScheduleRecipe, step: int, share: float) -> float:
    """Return the learning rate of step `step` (from 0), when `share` of the run is over, as a share of the peak."""
    if step < recipe.warmup_steps:
        return (step + 1) / (recipe.warmup_steps + 1)
    if recipe.name == "constant":
        fall = 0.0
    elif recipe.name == "cosine":
        fall = 0.5 - 0.5 * math.cos(math.pi * share)
    elif recipe.name == "linear":
        fall = share
    else:
        fall = max(0.0, (share - (1 - recipe.decay_share)) / recipe.decay_share)
    return 1 - fall * (1 - recipe.final_share)

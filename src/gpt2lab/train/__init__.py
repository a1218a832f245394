"""The one training loop and its recipes. Imports no torch until something runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.errors import ConfigError, MissingExtraError
from gpt2lab.train.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from gpt2lab.train.loop import Callback, Trainer

__all__ = ["Recipe", "load_recipe", "run"]


def run(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trainer:
    """Train by a recipe (a TOML file or a table) to its end and return the run.

    With `resume`, a run's folder, that run is taken up where it was saved; its own recipe serves unless one is given,
    and `overrides` ("key.name=value") apply to either. Raises `ConfigError` and `DataError` before anything is
    computed, `MissingExtraError` without torch.
    """
    try:
        from gpt2lab.train.loop import Trainer
        from gpt2lab.train.state import load_state
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("Training", "train") from None
    if recipe is None:
        if resume is None:
            raise ConfigError("There is nothing to train: give a recipe, or the folder of a run to resume.")
        recipe = load_state(resume).recipe
    out = [f"out={json.dumps(str(resume))}"] if resume is not None else []
    trainer = Trainer(load_recipe(recipe, [*overrides, *out]), callbacks=callbacks, resume=resume is not None)
    trainer.fit()
    return trainer

"""The one training loop and its recipes. Imports no torch until something runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.errors import ConfigError
from gpt2lab.train.origin import COMMANDS, Kind, check_kind
from gpt2lab.train.recipe import Recipe, load_recipe
from gpt2lab.train.waiting import load_torch

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.train.log import Progress
    from gpt2lab.train.loop import Callback, Every, Trainer
    from gpt2lab.train.task import Task

__all__ = ["Recipe", "load_recipe", "run", "trainer"]


def run(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    callbacks: Sequence[Callback | Every] = (),
) -> Trainer:
    """Train a language model by a recipe (a TOML file or a table) to its end and return the run.

    With `resume`, a run's folder, that run is taken up where it was saved; its own recipe serves unless one is given,
    and `overrides` ("key.name=value") apply to either. A process that torchrun started again takes up by itself what
    the one before it saved. Texts are written on the way by `gpt2lab.lm.training.train`, not here. Raises
    `ConfigError` and `DataError` before anything is computed, `MissingExtraError` without torch.
    """
    trained = trainer(recipe, overrides=overrides, resume=resume, callbacks=callbacks)
    if trained.recipe.train.sample_every:
        trained.tell("No samples are written here: train.sample_every is for `gpt2lab train` and gpt2lab.lm.training.")
    try:
        trained.fit()
    finally:
        trained.close()
    return trained


def trainer(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    callbacks: Sequence[Callback | Every] = (),
    progress: Progress | None = None,
    build: Callable[[Recipe], tuple[Task, nn.Module]] | None = None,
    kind: Kind | None = None,
) -> Trainer:
    """Return what `run` would train, before its first step.

    `build` makes the task and the new model of a recipe (None: a language model of text, `language_modelling`), and a
    run of another `kind` is not resumed by it.
    """
    load_torch()
    import torch

    from gpt2lab.train.legacy import has_saved, saved_recipe
    from gpt2lab.train.loop import Trainer
    from gpt2lab.train.records import begun_by, job_name
    from gpt2lab.train.state import run_folder

    if resume is not None:
        saved = saved_recipe(resume)
        if kind is not None or build is None:
            check_kind(saved, run_folder(resume), kind or "text")
        recipe = saved if recipe is None else recipe
    if recipe is None:
        raise ConfigError("There is nothing to train: give a recipe, or the folder of a run to resume.")
    out = [f"out={json.dumps(str(run_folder(resume)))}"] if resume is not None else []
    loaded = load_recipe(recipe, [*overrides, *out])
    # torchrun counts failures on this machine only: after one on another, or with other machines, it says nothing
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    restarted |= job_name() is not None and begun_by(Path(loaded.out)) == job_name()
    if restarted and resume is None and has_saved(loaded.out):
        resume = loaded.out
    if loaded.train.threads is not None:
        torch.set_num_threads(loaded.train.threads)
    task, model = (build or language_modelling)(loaded)
    return Trainer(loaded, task, model, callbacks=callbacks, progress=progress, resume=resume)


def language_modelling(recipe: Recipe) -> tuple[Task, nn.Module]:
    """Return the task and the new model of a recipe of text. Raises `ConfigError` when it is one of something else."""
    import torch

    from gpt2lab.data import Corpus
    from gpt2lab.model.gpt import GPT
    from gpt2lab.train.task import LanguageModelling

    if recipe.task:
        kind = recipe.task.get("kind")
        known = next((f"; give it to {command}" for name, command in COMMANDS.items() if name == kind), "")
        raise ConfigError(f"The recipe {recipe.name} trains no model of text: its table [task] is for {kind!r}{known}.")
    corpus = Corpus(recipe.data)
    config = recipe.model.config(vocab_size=corpus.manifest.vocab_size, end_of_text_id=corpus.manifest.end_of_text_id)
    model = GPT(config, torch.Generator().manual_seed(recipe.train.seed))
    return LanguageModelling(corpus, recipe, config), model

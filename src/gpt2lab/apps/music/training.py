"""Training on music by the one loop: a recipe with a table [task], and the corpus that it names or that is made now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.apps.music.settings import music_recipe
from gpt2lab.apps.music.vocabulary import vocabulary
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.train.log import Progress
    from gpt2lab.train.loop import Callback, Every, Trainer
    from gpt2lab.train.recipe import Recipe
    from gpt2lab.train.task import Task


def trainer(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    callbacks: Sequence[Callback | Every] = (),
    progress: Progress | None = None,
) -> Trainer:
    """Return a run that learns music, before its first step. Raises what `gpt2lab.train.trainer` raises."""
    from gpt2lab import train

    return train.trainer(
        recipe, overrides=overrides, resume=resume, callbacks=callbacks, progress=progress, build=build, kind="music"
    )


def build(recipe: Recipe) -> tuple[Task, nn.Module]:
    """Return the task and the new model of a recipe of music. Raises `ConfigError` when it is not one."""
    import torch

    from gpt2lab.apps.music.task import MusicModelling
    from gpt2lab.data import Corpus
    from gpt2lab.data.shards import MANIFEST
    from gpt2lab.model.gpt import GPT

    settings = music_recipe(recipe.task)
    music = vocabulary(settings.vocabulary)
    if not (Path(recipe.data) / MANIFEST).is_file():
        raise DataError(
            f"{recipe.data} holds no music to learn; encode some into it with --midi, or with gpt2lab music encode "
            f"FILES --vocabulary {music.name} --out {recipe.data}."
        )
    corpus = Corpus(recipe.data)
    if corpus.manifest.vocab_size != music.size or corpus.manifest.end_of_text_id != music.end_id:
        raise ConfigError(
            f"{recipe.data} was not encoded with the vocabulary {music.name!r}, which task.vocabulary names; encode "
            "the music again or name the other."
        )
    config = recipe.model.config(vocab_size=music.size, end_of_text_id=music.end_id)
    task = MusicModelling(corpus, music, settings, recipe, config)
    return task, GPT(config, torch.Generator().manual_seed(recipe.train.seed))

"""A discriminator's run of the one training loop: examples in, weights of model and head out. Needs torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gpt2lab.checkpoint import Checkpoint
from gpt2lab.model.gpt import GPT
from gpt2lab.train.examples import Example
from gpt2lab.train.heads import Headed, HeadTask
from gpt2lab.train.log import Progress
from gpt2lab.train.loop import Trainer
from gpt2lab.train.recipe import LoopRecipe, ModelRecipe, OptimizerRecipe, Recipe, ScheduleRecipe
from gpt2lab.train.state import is_begun

if TYPE_CHECKING:
    from gpt2lab.apps.detect.discriminator import Labelled, Learning


def fit_head(
    base: Checkpoint,
    texts: Sequence[Labelled],
    held_out: Sequence[Labelled],
    learning: Learning,
    *,
    run: str | Path,
    progress: Progress | None,
) -> tuple[dict[str, Any], Any, Any]:
    """Train to the end and return the tensors of the GPT-2 by name, and the head's weight (2, C) and bias (2,).

    A run that was stopped in `run` goes on.
    """
    if learning.threads is not None:
        torch.set_num_threads(learning.threads)
    begun = is_begun(run, "discriminator")
    generator = torch.Generator().manual_seed(learning.seed)
    config = dataclasses.replace(base.config, embd_pdrop=learning.dropout, resid_pdrop=learning.dropout, attn_pdrop=0.0)
    gpt = GPT(config, generator)
    gpt.load_state_dict({name: torch.from_numpy(np.array(base.tensors[name])) for name in base.tensors})
    task = HeadTask(config, "tags", _examples(texts), _examples(held_out), rows=learning.batch_size, seed=learning.seed)
    trainer = Trainer(
        _recipe(base, len(texts), learning, run), task, Headed(gpt, "tags", 2, generator),
        progress=progress, resume=run if begun else None,
    )  # fmt: skip
    try:
        trainer.fit()
    finally:
        trainer.close()
    tensors = {name: t.detach().float().cpu() for name, t in trainer.model.state_dict().items()}
    plain = {name: t.numpy() for name, t in task.exported(tensors).items()}
    return plain, tensors["head.weight"].numpy(), tensors["head.bias"].numpy()


def _examples(texts: Sequence[Labelled]) -> list[Example]:
    return [Example((ids,), labels) for ids, labels in texts]


def _recipe(base: Checkpoint, texts: int, learning: Learning, run: str | Path) -> Recipe:
    config = base.config
    steps = max(math.ceil(learning.epochs * texts / learning.batch_size), 1)
    return Recipe(
        name="discriminator",
        data=str(base.path),
        out=str(run),
        task={"kind": "discriminator"},
        model=dataclasses.replace(
            ModelRecipe.of(config), embd_pdrop=learning.dropout, resid_pdrop=learning.dropout, attn_pdrop=0.0
        ),
        optimizer=OptimizerRecipe(name="adamw", lr=learning.learning_rate, weight_decay=0.01, betas=(0.9, 0.999)),
        schedule=ScheduleRecipe(name="linear", warmup_steps=max(steps // 20, 1)),
        train=LoopRecipe(
            steps=steps, batch_size=learning.batch_size, seed=learning.seed, validate_every=max(steps // 8, 1),
            keep_best=False, tensorboard=False, device=learning.device, threads=learning.threads,
        ),
    )  # fmt: skip

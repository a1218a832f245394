"""Training on pairs by the one loop: a recipe with a table [task] in, the folder of a model out.

Knows files of pairs, checkpoints and the loop. torch is imported when something is trained, not before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.apps.seq2seq.codec import Codec, with_tokens
from gpt2lab.apps.seq2seq.pairs import Pair, divided, read_pairs
from gpt2lab.apps.seq2seq.settings import Seq2SeqRecipe, seq2seq_recipe
from gpt2lab.checkpoint import Checkpoint, load
from gpt2lab.checkpoint.extend import with_tokenizer
from gpt2lab.errors import CheckpointError, ConfigError
from gpt2lab.tokenizer import Tokenizer, train_tokenizer
from gpt2lab.train.recipe import MODEL

if TYPE_CHECKING:
    from torch import nn

    from gpt2lab.model.config import GPT2Config
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
    """Return a run that learns pairs, before its first step. Raises what `gpt2lab.train.trainer` raises."""
    from gpt2lab import train

    run = train.trainer(
        recipe, overrides=overrides, resume=resume, callbacks=callbacks, progress=progress, build=build,
        kind="seq2seq",
    )  # fmt: skip
    task = _task(run)
    rows = f"{task.stream.pairs_in_a_row:.1f} pairs in a row" if task.settings.packing else "a pair in a row"
    run.tell(f"{len(task.rows)} pairs, {rows}: {100 * task.stream.filled:.1f} % of the positions are filled.")
    for side in ("source", "target"):
        if cut := sum(getattr(row, f"cut_{side}") > 0 for row in task.rows):
            rule = {
                "source": f"the first {task.codec.window - task.codec.room} tokens are read",
                "target": "the beginning that fits is learnt, without an end",
            }
            run.tell(f"{cut} of {len(task.rows)} {side}s are too long for the window: {rule[side]}.")
    if task.settings.score_every is not None:
        from gpt2lab.apps.seq2seq.scores import Scores
        from gpt2lab.train.loop import Every

        run.add(Every(task.settings.score_every, Scores(run, task)))
    return run


def finish(run: Trainer) -> Path:
    """Train to the end and return the folder of the finished model. Ctrl-C leaves one too."""
    from gpt2lab.train.export import fit_and_export

    return fit_and_export(run, lambda: export_model(run))


def export_model(run: Trainer) -> Path:
    """Write the model of a run for use, the mean of its last states where the recipe says so, and return its folder."""
    from gpt2lab.train.export import export

    task = _task(run)
    return export(
        run.folder, run.folder / MODEL, tokenizer=task.codec.tokenizer, average=task.settings.average,
        generation=task.generation(), overwrite=True,
    )  # fmt: skip


def build(recipe: Recipe) -> tuple[Task, nn.Module]:
    """Return the task and the new model of a recipe of pairs. Raises `ConfigError` when it is not one."""
    import numpy as np
    import torch

    from gpt2lab.apps.seq2seq.task import PairTask
    from gpt2lab.model.gpt import GPT

    settings = seq2seq_recipe(recipe.task)
    training, held_out = _pairs(recipe, settings)
    base = None if settings.model is None else _extended(load(settings.model), settings, seed=recipe.train.seed)
    tokenizer = _learnt(training, settings) if base is None else base.tokenizer
    assert tokenizer is not None
    config = _config(recipe, tokenizer, base)
    codec = Codec(tokenizer, window=config.n_positions, room=settings.target_tokens)
    model = GPT(config, torch.Generator().manual_seed(recipe.train.seed))
    if base is not None and settings.weights == "pretrained":
        model.load_state_dict({n: torch.from_numpy(np.array(t)) for n, t in base.tensors.items()})
    return PairTask(config, codec, settings, recipe, training, held_out), model


def _pairs(recipe: Recipe, settings: Seq2SeqRecipe) -> tuple[list[Pair], list[Pair]]:
    def read(names: Sequence[str]) -> list[Pair]:
        folder = Path(recipe.data).expanduser()
        return read_pairs([folder / name for name in names], source=settings.source, target=settings.target)

    if settings.validation:
        return read(settings.train), read(settings.validation)
    return divided(read(settings.train), settings.validation_share)


def _learnt(pairs: Sequence[Pair], settings: Seq2SeqRecipe) -> Tokenizer:
    """Return a vocabulary of both sides; the same pairs give the same one, so nothing of it has to be saved."""
    texts = iter([text for pair in pairs for text in pair])
    made = train_tokenizer(
        texts, vocab_size=settings.vocab_size, special_tokens=(settings.end, settings.delimiter)
    )  # fmt: skip
    return with_tokens(made, delimiter=settings.delimiter, end=settings.end)


def _extended(base: Checkpoint, settings: Seq2SeqRecipe, *, seed: int) -> Checkpoint:
    """Return a model that has the two tokens: itself, or the same with rows for them behind those it had."""
    if base.tokenizer is None:
        raise CheckpointError(f"{base.source} has no tokenizer, so text cannot be turned into its tokens.")
    known = with_tokens(base.tokenizer, delimiter=settings.delimiter, end=settings.end)
    return with_tokenizer(base, known, seed=seed)


def _config(recipe: Recipe, tokenizer: Tokenizer, base: Checkpoint | None) -> GPT2Config:
    end = tokenizer.eos_id
    assert end is not None
    new = recipe.model.config(vocab_size=tokenizer.vocab_size, end_of_text_id=end)
    if base is None:
        return new
    if recipe.model.attention_layers:
        raise ConfigError(
            f"model.attention_layers is of a new model, but task.model = {base.source!r} is one that exists, with the "
            "attention it has learnt; leave one of them out."
        )
    return dataclasses.replace(
        base.config, eos_token_id=end, resid_pdrop=new.resid_pdrop, embd_pdrop=new.embd_pdrop,
        attn_pdrop=new.attn_pdrop,
    )  # fmt: skip


def _task(run: Trainer) -> Any:
    from gpt2lab.apps.seq2seq.task import PairTask

    assert isinstance(run.task, PairTask)
    return run.task

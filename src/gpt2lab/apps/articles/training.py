"""Teaching a model articles: records and any GPT-2 in, a run of the one training loop, a model that knows fields out.

Knows checkpoints, records and the loop. torch is imported when something is trained, not before. A run's folder holds
the loop's own files and `model`, which writes articles.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2lab.apps.articles.codec import Codec, with_fields
from gpt2lab.apps.articles.options import ArticleOptions
from gpt2lab.apps.articles.records import Article
from gpt2lab.apps.articles.rows import ArticleRows, Rows, digest, encoded, fixed_batches
from gpt2lab.checkpoint import Checkpoint, load
from gpt2lab.checkpoint.extend import with_tokenizer
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.model.config import GPT2Config
from gpt2lab.train.origin import THIS_CALL
from gpt2lab.train.recipe import MODEL
from gpt2lab.train.waiting import load_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gpt2lab.train.log import Progress
    from gpt2lab.train.loop import Callback, Every, Trainer
    from gpt2lab.train.recipe import Recipe

TRAIN, VALIDATION = "train", "val"
"""What RealNews's records say under `split`."""


class ArticleTask:
    """Predicting every next token of articles whose fields stand in ever new orders."""

    def __init__(
        self, config: GPT2Config, codec: Codec, options: ArticleOptions, articles: Sequence[Article],
        held_out: Sequence[Article],
    ) -> None:  # fmt: skip
        self._config, self._codec, self._options = config, codec, options
        window = options.window or config.n_positions
        pieces = encoded(articles, codec)
        self._digest = digest(pieces)
        self._stream = ArticleRows(
            pieces, codec, rows=options.batch_size, window=window, seed=options.seed, sliding=options.sliding
        )
        self._held_out = fixed_batches(encoded(held_out, codec), codec, rows=options.batch_size, window=window)

    @property
    def config(self) -> GPT2Config:
        """The shape of the model, field tokens included."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The articles as token ids, and how rows are made of them."""
        options = self._options
        window = options.window or self._config.n_positions
        return {"set of articles": self._digest, "window": window, "sliding": options.sliding}

    @property
    def stream(self) -> ArticleRows:
        """Rows in random order."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of targets (B, T) behind inputs (B, T), and their number."""
        from gpt2lab.train.task import next_token_loss

        return next_token_loss(model, batch)

    def validation(self) -> Sequence[Rows]:
        """Return the held-out articles in canonical order, their beginnings."""
        return self._held_out

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return nothing more: what each field costs is measured afterwards (losses.py)."""
        return {}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return `tensors`: the trained model is a plain GPT-2."""
        return tensors


class ArticleTraining:
    """One call of `gpt2lab article train`: `fit` runs it to its end, or on to it, and returns the model's folder.

    `base` names a model as `gpt2lab.checkpoint.load` takes it. Raises what loading and the loop raise, and `DataError`
    where there is nothing to learn or to hold out, before anything is trained.
    """

    def __init__(
        self,
        articles: Sequence[Article],
        base: str | Path = "tiny",
        options: ArticleOptions | None = None,
        *,
        models_dir: str | Path | None = None,
        callbacks: Sequence[Callback | Every] = (),
        progress: Progress | None = None,
    ) -> None:
        load_torch()
        import torch

        from gpt2lab.model.gpt import GPT
        from gpt2lab.train.loop import Trainer
        from gpt2lab.train.state import is_begun

        self.options = options = options or ArticleOptions()
        self.folder = Path(options.out)
        begun = is_begun(self.folder, "article")
        self.base = knowing_fields(load(base, models_dir=models_dir), seed=options.seed)
        config = self.base.config
        if options.window is not None and options.window > config.n_positions:
            raise ConfigError(f"window = {options.window} is longer than the model's {config.n_positions} positions.")
        assert self.base.tokenizer is not None
        self.training, self.held_out = divided(articles, options.val_share)
        dropped = dataclasses.replace(
            config, resid_pdrop=options.dropout, embd_pdrop=options.dropout, attn_pdrop=options.dropout
        )
        self.task = ArticleTask(dropped, Codec(self.base.tokenizer), options, self.training, self.held_out)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        model = GPT(dropped, torch.Generator().manual_seed(options.seed))
        model.load_state_dict({n: torch.from_numpy(np.array(t)) for n, t in self.base.tensors.items()})
        self.trainer: Trainer = Trainer(
            _recipe(options, dropped), self.task, model, callbacks=callbacks, progress=progress,
            resume=self.folder if begun else None,
        )  # fmt: skip

    def fit(self) -> Path:
        """Train to the end and return the folder of the finished model. Ctrl-C leaves one too."""
        from gpt2lab.train.export import fit_and_export

        return fit_and_export(self.trainer, self.export)

    def export(self) -> Path:
        """Write the model of the best validation for use, and return its folder."""
        from gpt2lab.train.export import export

        return export(self.folder, self.folder / MODEL, tokenizer=self.base.tokenizer, overwrite=True)


def knowing_fields(base: Checkpoint, *, seed: int = 0) -> Checkpoint:
    """Return a model that has the field tokens: itself, or the same with rows for them behind those it had."""
    if base.tokenizer is None:
        raise CheckpointError(f"{base.source} has no tokenizer, so text cannot be turned into its tokens.")
    return with_tokenizer(base, with_fields(base.tokenizer), seed=seed)


def divided(articles: Sequence[Article], val_share: float) -> tuple[list[Article], list[Article]]:
    """Return what is learnt and what is held out.

    Where articles say by `split`, "val" is held out, "train" learnt, and what says anything else is left out of both.
    Where none does, the share `val_share` is held out, chosen by a hash of each article's body and title, so that the
    same ones are held out whatever their order.
    """
    if any(a.split for a in articles):
        held_out = [a for a in articles if a.split == VALIDATION]
        training = [a for a in articles if a.split == TRAIN]
    else:
        ranked = sorted(articles, key=_hash)
        count = max(round(len(ranked) * val_share), 1)
        chosen = {id(a) for a in ranked[:count]}
        held_out = ranked[:count]
        training = [a for a in articles if id(a) not in chosen]
    for found, what in ((training, "to learn"), (held_out, "to hold out")):
        if not found:
            raise DataError(
                f"Of {len(articles)} articles none is left {what}; give more of them, or a split of train and val."
            )
    return training, held_out


def _hash(article: Article) -> str:
    return hashlib.blake2b("\0".join(article.texts().values()).encode()).hexdigest()


def _recipe(options: ArticleOptions, config: GPT2Config) -> Recipe:
    from gpt2lab.train.recipe import LoopRecipe, ModelRecipe, OptimizerRecipe, Recipe, ScheduleRecipe

    return Recipe(
        name="articles",
        data=THIS_CALL,
        out=options.out,
        task={"kind": "article"},
        model=ModelRecipe.of(config, dropout=options.dropout),
        optimizer=OptimizerRecipe(
            name=options.optimizer, lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.999)
        ),
        schedule=ScheduleRecipe(name=options.schedule, warmup_steps=options.warmup_steps),
        train=LoopRecipe(
            steps=options.steps, max_minutes=options.max_minutes, batch_size=options.batch_size,
            accumulate=options.accumulate, seed=options.seed, validate_every=options.val_every,
            patience=options.patience, threads=options.threads, device=options.device, precision=options.precision,
        ),
    )  # fmt: skip

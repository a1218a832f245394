"""Training a model further on one's own text: data, base weights and options in, a run of the one loop out.

Knows checkpoints, corpora and the loop; samples and everything else that needs an engine arrive as callbacks. A run's
folder holds `corpus` (the text as token ids), the loop's own files, and `model`, which generates.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpt2lab.checkpoint import Checkpoint, load
from gpt2lab.config import from_dict
from gpt2lab.data import Batches, Corpus, CorpusRecipe, prepare, spread_windows
from gpt2lab.data.batches import IntArray, TokenStream
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train.export import export, trained_tensors
from gpt2lab.train.layers import check_depth, freeze
from gpt2lab.train.log import Progress
from gpt2lab.train.loop import Callback, Every, Trainer
from gpt2lab.train.lora import LowRank
from gpt2lab.train.options import FineTuneOptions
from gpt2lab.train.origin import check_kind
from gpt2lab.train.recipe import MODEL, LoopRecipe, ModelRecipe, OptimizerRecipe, Recipe, ScheduleRecipe
from gpt2lab.train.state import CHECKPOINTS, STATE, find_state, read_state, run_folder, steps
from gpt2lab.train.task import Batch, next_token_loss

CORPUS, VALIDATION = "corpus", "validation"
"""What lies in a run's folder beside the loop's files."""

WITHOUT_END = 10**9
"""Steps of a run that nobody ends."""


class Repeated:
    """A short text over and over, so that it fills windows; each time its documents' ends stand between."""

    def __init__(self, stream: TokenStream, length: int) -> None:
        self._ids, self._length = stream.read(0, len(stream)), length

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, length: int) -> IntArray:
        """Return the ids at [start, start + length)."""
        return np.take(self._ids, np.arange(start, start + length), mode="wrap")


def filling(stream: TokenStream, least: int, what: str) -> TokenStream:
    """Return `stream`, repeated up to `least` tokens where it is shorter, with a warning."""
    if not len(stream):
        raise DataError(f"There is no text {what}.")
    if len(stream) >= least:
        return stream
    warnings.warn(
        f"The text {what} has only {len(stream)} tokens and is read over and over to fill windows; it will soon be "
        "known by heart. A smaller window, or more text, is better.",
        stacklevel=4,
    )
    return Repeated(stream, least)


class FineTuning:
    """The task: predicting every next token of one's own text, with whichever weights may change."""

    def __init__(
        self,
        config: GPT2Config,
        options: FineTuneOptions,
        corpus: Corpus,
        held_out: TokenStream | None,
        adapter: LowRank | None,
    ) -> None:
        self._config, self._options, self._corpus, self._adapter = config, options, corpus, adapter
        window = self.window
        text = filling(corpus.train, 2 * window + 1, "to train on")
        self._stream = Batches(text, rows=options.batch_size, window=window, seed=options.seed)
        self._held_out: tuple[IntArray, IntArray] | None = None
        if held_out is not None:
            count = options.val_batch_count * options.val_batch_size
            self._held_out = spread_windows(filling(held_out, window + 1, "held out"), count=count, window=window)

    @property
    def window(self) -> int:
        """Tokens that are read at once."""
        return self._options.window or self._config.n_positions

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The vocabulary, the text, and what of the model may change."""
        options = self._options
        frozen = [options.freeze_layers, options.only_train_transformer_layers]
        return {
            "tokenizer_sha256": self._corpus.manifest.tokenizer_sha256,
            "text": [shard.sha256 for shard in self._corpus.manifest.train.shards],
            "window": self.window,
            "trained": json.dumps([frozen, dataclasses.asdict(self._adapter) if self._adapter else None]),
        }

    @property
    def stream(self) -> Batches:
        """Windows of the text in random order."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of targets (B, T) behind inputs (B, T), and their number."""
        return next_token_loss(model, batch)

    def validation(self) -> Sequence[Batch]:
        """Return windows spread evenly over the held-out text; none without one."""
        if self._held_out is None:
            return []
        inputs, targets = self._held_out
        rows = self._options.val_batch_size
        return [(inputs[i : i + rows], targets[i : i + rows]) for i in range(0, len(inputs), rows)]

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return bits per byte of the held-out text."""
        assert self._held_out is not None
        text_bytes = int(np.take(self._corpus.token_bytes, self._held_out[1]).sum())
        return {"bits_per_byte": nats / math.log(2) / text_bytes}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the tensors of a plain GPT-2, adapters added in."""
        return self._adapter.merged(tensors) if self._adapter is not None else tensors


class FineTune:
    """One call of `gpt2lab finetune`: `fit` runs it, `export` writes the model, which an interruption does too.

    `model` names the base as `gpt2lab.checkpoint.load` takes it; None is what the run was begun with, or "tiny".
    Raises what loading, preparing and the loop raise, before anything is trained.
    """

    def __init__(
        self,
        dataset: str | Path | Sequence[str | Path],
        model: str | Path | None = None,
        options: FineTuneOptions | None = None,
        *,
        models_dir: str | Path | None = None,
        callbacks: Sequence[Callback | Every] = (),
        progress: Progress | None = None,
    ) -> None:
        self.options = options = options or FineTuneOptions()
        self._progress = progress or Progress()
        self.folder = Path(options.checkpoint_dir) / options.run_name
        there = _holds_run(self.folder)
        begun = there and options.restore_from == "latest"
        state = read_state(find_state(self.folder)) if begun else None
        if state is not None:
            check_kind(state.recipe, self.folder, "finetune")
        self.base = self._base(model, models_dir, begun=begun)
        config = dataclasses.replace(
            self.base.config, resid_pdrop=options.dropout, embd_pdrop=options.dropout, attn_pdrop=options.dropout
        )
        self.base = dataclasses.replace(self.base, config=config)
        _check_against(options, config)
        if self.base.tokenizer is None:
            raise CheckpointError(f"{self.base.source} has no tokenizer, so text cannot be turned into its tokens.")
        if there and not begun and options.overwrite:
            shutil.rmtree(self.folder)
            there = False
        corpus, held_out = self._corpora(dataset, self.base.tokenizer)
        self._adapter = _adapter(options)
        self.task = FineTuning(config, options, corpus, held_out, self._adapter)
        goes_on = (
            state is not None
            and state.identity == dict(self.task.identity)
            and state.recipe["optimizer"]["name"] == options.optimizer
        )
        if there and not goes_on:
            if begun:
                self._progress.line("Other text or settings than before: only the weights of the run are taken up.")
            self._set_aside()
        done = state.step if state is not None and goes_on else 0
        self.trainer = Trainer(
            self._recipe(corpus, done),
            self.task,
            _begin(self.base, options, self._adapter),
            callbacks=callbacks,
            progress=self._progress,
            resume=self.folder if goes_on else None,
        )

    def fit(self) -> Path:
        """Train to the end and return the folder of the finished model. Ctrl-C leaves one too."""
        try:
            self.trainer.fit()
        except KeyboardInterrupt:
            self.export()
            raise
        return self.export()

    def export(self) -> Path:
        """Write the model as it was last saved (or at the best validation) for use, and return its folder."""
        return export(
            self.folder,
            self.folder / MODEL,
            tokenizer=self.base.tokenizer,
            exported=self.task.exported,
            generation=self.base.generation,
            overwrite=True,
        )

    def tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the weights of now as a plain GPT-2's, for samples on the way."""
        plain = self.task.exported({name: t.detach() for name, t in self.trainer.model.state_dict().items()})
        return {name: tensor.float().cpu().numpy() for name, tensor in plain.items()}

    # ---- what a run begins with ------------------------------------------------------------------------------

    def _base(self, model: str | Path | None, models_dir: str | Path | None, *, begun: bool) -> Checkpoint:
        options = self.options
        if options.restore_from not in ("latest", "fresh"):
            place = Path(options.restore_from)
            return saved_model(place) if _holds_run(place) else load(place, models_dir=models_dir)
        if not begun:
            return load(model if model is not None else "tiny", models_dir=models_dir)
        found = saved_model(self.folder)
        if model is not None:
            given = load(model, models_dir=models_dir).config
            if given.tensor_shapes() != found.config.tensor_shapes():
                raise ConfigError(
                    f"{self.folder} holds a run of another model ({_shape(found.config)}) than {model} "
                    f"({_shape(given)}). Give its own model, another run_name, or restore_from = 'fresh'."
                )
        return found

    def _set_aside(self) -> None:
        """Give the run that is in the way another name; the text that was just prepared stays."""
        number = 1
        while (aside := self.folder.with_name(f"{self.folder.name}.before-{number}")).exists():
            number += 1
        self.folder.rename(aside)
        self.folder.mkdir()
        for part in (CORPUS, VALIDATION):
            if (aside / part).is_dir():
                (aside / part).rename(self.folder / part)
        self._progress.line(f"The run that was in {self.folder} is now {aside}.")

    def _corpora(
        self, dataset: str | Path | Sequence[str | Path], tokenizer: Tokenizer
    ) -> tuple[Corpus, TokenStream | None]:
        """Return the training corpus and the text held out."""
        options = self.options
        inputs = [dataset] if isinstance(dataset, (str, Path)) else list(dataset)
        with tempfile.TemporaryDirectory(prefix="gpt2lab-") as place:
            tokenizer.save(Path(place) / "tokenizer")
            recipe = CorpusRecipe(
                tokenizer=str(Path(place) / "tokenizer"),
                column=options.column,
                template=options.template,
                validation_share=options.val_share,
            )
            prepare(inputs, self.folder / CORPUS, recipe, overwrite=True)
            corpus = Corpus(self.folder / CORPUS)
            if options.val_dataset is None:
                return corpus, corpus.validation if options.val_share else None
            whole = dataclasses.replace(recipe, validation_share=0.0)
            try:
                prepare([options.val_dataset], self.folder / VALIDATION, whole, overwrite=True)
            except DataError as error:
                raise DataError(f"The text to validate on cannot be used: {error}") from None
            return corpus, Corpus(self.folder / VALIDATION).train

    def _recipe(self, corpus: Corpus, done: int) -> Recipe:
        options, config = self.options, self.base.config
        return Recipe(
            name=options.run_name,
            data=str(corpus.folder),
            out=str(self.folder),
            task={"kind": "finetune"},
            model=ModelRecipe.of(config, dropout=options.dropout),
            optimizer=OptimizerRecipe(
                name=options.optimizer, lr=options.learning_rate, weight_decay=options.weight_decay,
                betas=(0.9, 0.999),
            ),
            schedule=ScheduleRecipe(name=options.schedule, warmup_steps=options.warmup_steps),
            train=LoopRecipe(
                steps=done + options.steps if options.steps is not None else WITHOUT_END,
                batch_size=options.batch_size, accumulate=options.accumulate_gradients, seed=options.seed,
                validate_every=options.val_every, patience=options.patience,
                checkpoint_every=options.save_every, max_checkpoints=options.max_checkpoints,
                threads=options.threads, device=options.device, precision=options.precision,
                checkpoint_activations=options.use_memory_saving_gradients,
            ),
        )  # fmt: skip


def _shape(config: GPT2Config) -> str:
    return f"{config.n_layer} layers of {config.n_embd}, {config.vocab_size} tokens"


def _check_against(options: FineTuneOptions, config: GPT2Config) -> None:
    check_depth(options.freeze_layers, config)
    if options.window is not None and options.window > config.n_positions:
        raise ConfigError(f"window = {options.window} is longer than the model's {config.n_positions} positions.")


def _adapter(options: FineTuneOptions) -> LowRank | None:
    if not options.lora_rank:
        return None
    alpha = options.lora_alpha if options.lora_alpha is not None else 2.0 * options.lora_rank
    return LowRank(rank=options.lora_rank, alpha=alpha, matrices=options.lora_matrices)


def _begin(base: Checkpoint, options: FineTuneOptions, adapter: LowRank | None) -> GPT:
    """Return the base model with what may not change frozen."""
    generator = torch.Generator().manual_seed(options.seed)
    model = GPT(base.config, generator)
    model.load_state_dict({name: torch.from_numpy(np.array(base.tensors[name])) for name in base.tensors})
    if adapter is not None:
        adapter.add(model, generator)
        return model
    freeze(model, options.freeze_layers)
    if options.only_train_transformer_layers:
        for module in (model.transformer.wte, model.transformer.wpe, model.transformer.ln_f, model.lm_head):
            if module is not None:
                module.requires_grad_(False)
    return model


def _holds_run(folder: Path) -> bool:
    return (folder / STATE).is_file() or bool(steps(folder / CHECKPOINTS))


def saved_model(run: str | Path) -> Checkpoint:
    """Return the model of a training run as it was last saved, adapters added in.

    Raises `CheckpointError` when there is none, or when its tokenizer is gone.
    """
    state_folder = find_state(run)
    state = read_state(state_folder)
    tensors: Mapping[str, Tensor] = trained_tensors(state_folder)
    trained = json.loads(state.identity.get("trained", "[null, null]"))[1]
    if trained is not None:
        tensors = from_dict(LowRank, trained).merged(tensors)
    places = (run_folder(run) / CORPUS, Path(state.recipe["data"]))
    tokenizer = next((Tokenizer.from_folder(p / "tokenizer") for p in places if (p / "tokenizer").is_dir()), None)
    return Checkpoint(
        config=GPT2Config(**state.config),
        tensors={name: tensor.numpy() for name, tensor in tensors.items()},
        tokenizer=tokenizer,
        source=f"the run in {run}",
        path=Path(run),
    )

"""Training by transfer: a recipe in, a run of the one training loop, a model with its head and a report of it out.

torch is imported when something is trained, not before. A run's folder holds the loop's own files, `model`,
`report.json` and the predictions on what was held out.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2lab.apps.transfer.decide import Said, decide, judged, plain
from gpt2lab.apps.transfer.encode import TOKENS, with_tokens
from gpt2lab.apps.transfer.examples import Files, Part, part_of, read_files, reading_of
from gpt2lab.apps.transfer.model import TransferModel, write_about
from gpt2lab.apps.transfer.settings import TransferRecipe, transfer_recipe
from gpt2lab.checkpoint import Checkpoint, load
from gpt2lab.checkpoint.extend import with_tokenizer
from gpt2lab.checkpoint.heads import CLASSES, Head, holds_head, load_with_head, save_with_head
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.files import atomic_write, write_json
from gpt2lab.metrics.predictions import require
from gpt2lab.train.recipe import MODEL, Recipe, load_recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gpt2lab.train.heads import HeadTask
    from gpt2lab.train.log import Progress
    from gpt2lab.train.loop import Callback, Every, Trainer
    from gpt2lab.train.lora import LowRank

REPORT = "report.json"
"""What is written into a run's folder at its end; predictions are `predictions-validation.jsonl` and `…-test.jsonl`."""


class Transfer:
    """One call of `gpt2lab transfer train`: `fit` runs it to its end and returns the model's folder.

    `recipe` and `overrides` are those of `gpt2lab.train.run`; with `resume` a run's folder is taken up. `epochs` says
    train.steps by how often all examples are read. Raises `ConfigError` and `DataError` before anything is trained,
    `MissingExtraError` without torch or what measures predictions.
    """

    def __init__(
        self,
        recipe: str | Path | Mapping[str, Any] | None = None,
        *,
        overrides: Sequence[str] = (),
        resume: str | Path | None = None,
        epochs: float | None = None,
        models_dir: str | Path | None = None,
        callbacks: Sequence[Callback | Every] = (),
        progress: Progress | None = None,
    ) -> None:
        from gpt2lab import train

        require()
        self._models_dir = models_dir
        self._files: Files | None = None
        if epochs is not None:
            if recipe is None or not 0 < epochs < math.inf:
                raise ConfigError(f"epochs = {epochs} must be positive, and goes with a recipe.")
            overrides = [*overrides, f"train.steps={self._steps(recipe, overrides, epochs)}"]
        self.trainer: Trainer = train.trainer(
            recipe, overrides=overrides, resume=resume, callbacks=callbacks, progress=progress, build=self._build,
            kind="transfer",
        )  # fmt: skip
        self.folder = self.trainer.folder
        if self.held_out.items:
            self.trainer.add(self._measured)

    def fit(self) -> Path:
        """Train to the end, write the model and what it is worth, and return its folder. Ctrl-C leaves a model too."""
        from gpt2lab.train.export import fit_and_export

        made = fit_and_export(self.trainer, self.export)
        if self.trainer.processes.is_main:
            self.report(TransferModel.load(made, threads=self.trainer.recipe.train.threads))
        return made

    def export(self) -> Path:
        """Write the model as it was last saved (or at the best validation, where that was kept), and return where."""
        from gpt2lab.train.export import trained_tensors
        from gpt2lab.train.state import BEST, find_state, steps

        best = steps(self.folder / BEST)
        tensors = trained_tensors(best[-1] if best else find_state(self.folder))
        body = {name: tensor.numpy() for name, tensor in self._plain(self.task.exported(tensors)).items()}
        bias = tensors.get("head.bias")
        head = Head(
            self.settings.head, tensors["head.weight"].numpy(), None if bias is None else bias.numpy(),
            self.reading.labels,
        )  # fmt: skip
        made = save_with_head(
            self.folder / MODEL, self.task.config, body, head, self.base.tokenizer, overwrite=True
        )  # fmt: skip
        write_about(made, dataclasses.replace(self.settings, window=self.window), self.reading)
        return made

    def report(self, model: TransferModel) -> dict[str, Any]:
        """Judge a model on what was held out, and write `REPORT`, which is returned, and the predictions into the run's
        folder."""
        recipe, settings = self.trainer.recipe, self.settings
        made: dict[str, Any] = {
            "name": recipe.name, "shape": settings.shape, "model": settings.model, "weights": settings.weights,
            "seed": recipe.train.seed, "steps": self.trainer.step, "examples": len(self.training.examples),
            "window": self.window, "cut": self.training.cut, "labels": list(self.reading.labels),
        }  # fmt: skip
        for name, part in (("validation", self.held_out), ("test", self.test)):
            if not part.items:
                continue
            said = model.said(part.items)
            made[name] = {
                "examples": len(part.items), "cut": part.cut,
                **judged(self.settings, part.items, said, self.reading),
            }  # fmt: skip
            with atomic_write(self.folder / f"predictions-{name}.jsonl", "w") as f:
                for one, item in zip(said, part.items, strict=True):
                    f.write(json.dumps(plain(one, item, settings, self.reading), ensure_ascii=False) + "\n")
        write_json(self.folder / REPORT, made)
        return made

    # ---- what a run begins with ------------------------------------------------------------------------------

    def _steps(self, recipe: str | Path | Mapping[str, Any], overrides: Sequence[str], epochs: float) -> int:
        loaded = load_recipe(recipe, [*overrides, "train.steps=1"])
        self._files = read_files(transfer_recipe(loaded.task), loaded.data)
        rows = loaded.train.batch_size * loaded.train.accumulate
        return max(math.ceil(epochs * len(self._files.training) / rows), 1)

    def _build(self, recipe: Recipe) -> tuple[HeadTask, nn.Module]:
        """Return the task and the new model of a recipe."""
        from gpt2lab.model.config import GPT2Config
        from gpt2lab.train.heads import HeadTask
        from gpt2lab.train.recipe import ModelRecipe

        self.settings = settings = transfer_recipe(recipe.task)
        if recipe.model != ModelRecipe():
            raise ConfigError("The table [model] says nothing of a transfer: the model is the one of task.model.")
        self.base, given = base_of(settings, self._models_dir, seed=recipe.train.seed)
        positions = self.base.config.n_positions
        if settings.window is not None and settings.window > positions:
            raise ConfigError(f"task.window = {settings.window} is longer than the model's {positions} positions.")
        if settings.freeze_layers > self.base.config.n_layer:
            raise ConfigError(
                f"task.freeze_layers = {settings.freeze_layers}, but the model has {self.base.config.n_layer} layers."
            )
        self.window = settings.window or positions
        files: Files = self._files or read_files(settings, recipe.data)
        self.reading = reading_of(settings, files)
        assert self.base.tokenizer is not None
        self.training, self.held_out, self.test = (
            part_of(items, settings, self.base.tokenizer, self.window, self.reading) for items in files
        )
        if not self.training.examples:
            raise DataError(f"Of no example of {recipe.data} the answer fits a window of {self.window} tokens.")
        config: GPT2Config = dataclasses.replace(
            self.base.config, resid_pdrop=settings.dropout, embd_pdrop=settings.dropout, attn_pdrop=settings.dropout
        )
        trained = [settings.freeze_layers, settings.lora_rank, settings.lora_alpha]
        self.task = HeadTask(
            config, settings.head, self.training.examples, self.held_out.examples, rows=recipe.train.batch_size,
            seed=recipe.train.seed, language=settings.language,
            identity={"trained": json.dumps(trained), "labels": list(self.reading.labels)},
        )  # fmt: skip
        return self.task, self._model(config, given, recipe.train.seed)

    def _model(self, config: Any, given: Head | None, seed: int) -> nn.Module:
        import torch

        from gpt2lab.model.gpt import GPT
        from gpt2lab.train.heads import Headed
        from gpt2lab.train.layers import NewRows, freeze

        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        gpt = GPT(config, generator)
        if settings.weights == "pretrained":
            gpt.load_state_dict({n: torch.from_numpy(np.array(self.base.tensors[n])) for n in self.base.tensors})
        outputs = {"value": 1, "choice": 1, "span": 2}.get(settings.head) or len(self.reading.labels)
        model = Headed(
            gpt, settings.head, outputs, generator, bias=CLASSES[settings.head].bias is not None,
            dropout=settings.dropout,
        )  # fmt: skip
        if given is not None and (given.kind, given.labels) == (settings.head, self.reading.labels):
            model.head.weight.data.copy_(torch.from_numpy(np.array(given.weight)))
            if given.bias is not None:
                model.head.bias.data.copy_(torch.from_numpy(np.array(given.bias)))
        freeze(gpt, settings.freeze_layers)
        if (adapter := self._adapter()) is not None:
            adapter.add(gpt, generator)
        if settings.freeze_layers or settings.lora_rank:
            NewRows.add(gpt, config.vocab_size - min(self._token_ids()))
        return model

    def _token_ids(self) -> list[int]:
        assert self.base.tokenizer is not None
        return [self.base.tokenizer.id_of(name) for name in TOKENS]

    def _adapter(self) -> LowRank | None:
        from typing import get_args

        from gpt2lab.train.lora import LowRank
        from gpt2lab.train.options import Matrix

        rank, alpha = self.settings.lora_rank, self.settings.lora_alpha
        if not rank:
            return None
        return LowRank(rank=rank, alpha=2.0 * rank if alpha is None else alpha, matrices=get_args(Matrix))

    def _plain(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the tensors of a GPT-2 with adapters and new rows put in."""
        from gpt2lab.train.layers import with_new_rows

        adapter = self._adapter()
        return with_new_rows(adapter.merged(tensors) if adapter is not None else tensors)

    def _measured(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Return the measures of a model as it is now on what is held out: a callback of the loop."""
        found = judged(self.settings, self.held_out.items, self.said_now(model, self.held_out), self.reading)
        self.trainer.tell("  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in found.items()))
        return found

    def said_now(self, model: nn.Module, part: Part, rows: int | None = None) -> list[Said]:
        """Return what a model in training says of a part, `rows` examples at a time (None: as many as a step)."""
        import torch

        from gpt2lab.train.examples import in_batches

        rows = rows or self.trainer.recipe.train.batch_size
        before, device = model.training, next(model.parameters()).device
        examples, window = [one.example(None) for one in part.encoded], self.trainer.task.config.n_positions
        logits: list[Any] = []
        model.eval()
        with torch.no_grad():
            for ids, last, _ in in_batches(examples, rows, window=window):
                found = model(torch.from_numpy(ids).to(device), torch.from_numpy(last).to(device))
                logits += list(found.cpu().double().numpy())
        model.train(before)
        if self.settings.head == "choice":
            logits = [one[: len(encoded.sequences)] for one, encoded in zip(logits, part.encoded, strict=True)]
        return [
            decide(self.settings, one, encoded, item, self.reading)
            for one, encoded, item in zip(logits, part.encoded, part.items, strict=True)
        ]


def base_of(settings: TransferRecipe, models_dir: str | Path | None, *, seed: int) -> tuple[Checkpoint, Head | None]:
    """Return the model to begin with, with rows for the three tokens, and its head where it has one already."""
    place, head = Path(settings.model).expanduser(), None
    if holds_head(place / MODEL):
        place = place / MODEL
    if holds_head(place):
        base, head = load_with_head(place)
    else:
        base = load(settings.model, models_dir=models_dir)
    if base.tokenizer is None:
        raise CheckpointError(f"{base.source} has no tokenizer, so text cannot be turned into its tokens.")
    return with_tokenizer(base, with_tokens(base.tokenizer), seed=seed), head

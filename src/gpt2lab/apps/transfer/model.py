"""A model that was trained by transfer, or one of transformers' with a head: items in, predictions out. No torch.

The native engine computes each sequence alone, so nothing depends on what else is asked at the same time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt2lab.apps.transfer.decide import Array, Reading, Said, decide
from gpt2lab.apps.transfer.encode import Encoded, Encoder
from gpt2lab.apps.transfer.items import Item, check_labels, items_of
from gpt2lab.apps.transfer.settings import Shape, TransferRecipe
from gpt2lab.apps.transfer.table import Row
from gpt2lab.checkpoint import Checkpoint
from gpt2lab.checkpoint.heads import Head, HeadKind, holds_head, load_with_head
from gpt2lab.checkpoint.hf import CONFIG
from gpt2lab.config import from_dict, to_dict
from gpt2lab.engine.loading import load_backend
from gpt2lab.errors import CheckpointError, ConfigError
from gpt2lab.files import read_json, write_json
from gpt2lab.train.recipe import MODEL

ABOUT = "transfer.json"
"""What lies in a model's folder beside transformers' files."""

_SHAPES: dict[HeadKind, Shape] = {
    "classes": "classification", "value": "classification", "choice": "choice", "tags": "tags", "span": "span",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a model's folder says of its task: the recipe's table, and how values are read."""

    task: dict[str, Any]
    mean: float = 0.0
    spread: float = 1.0


class TransferModel:
    """A GPT-2 with a head that says something of items."""

    def __init__(
        self, base: Checkpoint, head: Head, recipe: TransferRecipe, reading: Reading, *, threads: int | None = None
    ) -> None:
        if base.tokenizer is None:
            raise CheckpointError(f"{base.source} has no tokenizer, so text cannot be turned into its tokens.")
        self.recipe, self.reading, self.head = recipe, reading, head
        window = min(recipe.window or base.config.n_positions, base.config.n_positions)
        self.encoder = Encoder(base.tokenizer, recipe.shape, window)
        self._backend = load_backend(base, threads=threads)

    @classmethod
    def load(
        cls, folder: str | Path, *, task: Mapping[str, Any] | None = None, threads: int | None = None
    ) -> TransferModel:
        """Load a run's folder, a model's, or one of transformers' with a head.

        `task` replaces values of what the folder says of its task, as a recipe's table [task] does; a folder of
        transformers says nothing but the kind of its head. Raises `CheckpointError` and `ConfigError`.
        """
        place = Path(folder).expanduser()
        if holds_head(place / MODEL):
            place = place / MODEL
        if not (place / CONFIG).is_file():
            raise CheckpointError(
                f"{folder} is no model with a head; give a run of gpt2lab transfer train, or a folder of transformers."
            )
        base, head = load_with_head(place)
        about = About(task={"kind": "transfer", "shape": _SHAPES[head.kind]})
        if head.kind == "value":
            about.task["target"] = "value"
        if (place / ABOUT).is_file():
            values = read_json(place / ABOUT)
            try:
                about = from_dict(About, values if isinstance(values, Mapping) else {})
            except ConfigError as error:
                raise CheckpointError(f"{place / ABOUT} is damaged: {error}") from None
        recipe = from_dict(TransferRecipe, {**about.task, **(task or {})}, where="task")
        if recipe.head != head.kind:
            raise ConfigError(f"task.shape = {recipe.shape!r} does not go with {place}, whose head is for {head.kind}.")
        return cls(base, head, recipe, Reading(head.labels, about.mean, about.spread), threads=threads)

    def items(self, rows: Sequence[Row], *, targets: bool = False) -> list[Item]:
        """Return rows as items; their labels must be those of the training. Raises `DataError`."""
        found = items_of(rows, self.recipe, targets=targets)
        if self.recipe.head in ("classes", "tags"):
            check_labels(found, self.reading.labels)
        return found

    def said(self, items: Sequence[Item], progress: Callable[[int, int], None] | None = None) -> list[Said]:
        """Return what the model says of every item, in order."""
        made = []
        for i, (item, encoded) in enumerate(zip(items, self.encoder.encode(items), strict=True), start=1):
            made.append(decide(self.recipe, self.logits(encoded), encoded, item, self.reading))
            if progress is not None:
                progress(i, len(items))
        return made

    def logits(self, encoded: Encoded) -> Array:
        """Return the logits of one item: (K,) of its classes, (S,) of its choices, (T, K) of its tokens."""
        layers = self._backend.config.n_layer
        states = [self._backend.hidden(ids.astype(np.int32), layers) for ids in encoded.sequences]  # S of (T, C)
        if self.head.kind in ("tags", "span"):
            return self.head.logits(states[0])
        ends = np.stack([one[-1] for one in states])  # (S, C)
        if self.head.kind == "choice":
            return self.head.logits(ends)[:, 0]
        return self.head.logits(ends.sum(0))


def write_about(folder: Path, recipe: TransferRecipe, reading: Reading) -> None:
    """Write beside a model what it was trained for."""
    kept = ("kind", "shape", "format", "header", "columns", "target", "positive", "count_from", "window")
    task = {name: value for name, value in to_dict(recipe).items() if name in kept}
    write_json(folder / ABOUT, to_dict(About(task=task, mean=reading.mean, spread=reading.spread)))

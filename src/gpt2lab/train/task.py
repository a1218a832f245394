"""What is learnt: the seam between the one training loop and everything it trains.

A `Task` says where batches come from, what one costs and which fixed ones it is judged by. The loop knows nothing else
of it: pretraining, fine-tuning, sequence to sequence, classifiers and music are tasks, never a second loop. Here are
the protocol and language modelling; other tasks stand where their data does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from gpt2lab.data import Batches, Corpus, spread_windows
from gpt2lab.data.batches import IGNORE
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.loss import cross_entropy_sum
from gpt2lab.train.recipe import Recipe

Batch = tuple[npt.NDArray[Any], ...]
"""Arrays whose first axis is the rows. Of several processes each gets its share of the rows, as tensors."""


class Stream(Protocol):
    """Endless training batches, of `train.batch_size` rows each, that can be taken up anywhere."""

    def __next__(self) -> Batch: ...

    def state_dict(self) -> dict[str, Any]:
        """Return the position as plain values that JSON can hold."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position that `state_dict` returned. Raises `DataError` when it is one of other data."""
        ...


LOOKED_AT = 64
"""Batches that `longest_row` reads."""


def longest_row(stream: Stream) -> int:
    """Return how many positions the longest rows of the next batches have; the stream stays where it is.

    Where batches differ in length, the first one says little of what a run will need.
    """
    place = stream.state_dict()
    longest = max(next(stream)[0].shape[1] for _ in range(LOOKED_AT))
    stream.load_state_dict(place)
    return int(longest)


class Task(Protocol):
    """What the loop must know of what it trains. Every process of a run has one of its own, made alike."""

    @property
    def config(self) -> GPT2Config:
        """The shape of the GPT-2 that is trained or built upon."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """Plain values that a saved run must share to be resumed with this task, such as the vocabulary's hash."""
        ...

    @property
    def stream(self) -> Stream:
        """The training batches: the same object every time."""
        ...

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of a batch in nats and how many targets it is the sum of.

        The gradient of a step is that of the sum over all its batches and processes, divided by the number of all
        their targets, so batches may differ in how many they hold; a target that does not count (`IGNORE`, a masked
        sequence) is left out of both. At least one target of a step must count.
        """
        ...

    def validation(self) -> Sequence[Batch]:
        """Return the fixed batches that the run is judged by, of any number of rows; none: it is not judged."""
        ...

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return what else follows from the validation's summed loss and number of targets, by name."""
        ...

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the tensors of a plain GPT-2 (`config.tensor_shapes()`) made of the trained model's own."""
        ...


def next_token_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of a batch's targets (B, T) behind its inputs (B, T), and how many count.

    This is the loss of every task that predicts next tokens; `model` is a `GPT`.
    """
    assert isinstance(model, GPT)
    inputs, targets = batch
    hidden = model.hidden(inputs)  # (B, T, C)
    nats = cross_entropy_sum(hidden.flatten(0, 1), model.head_weight, targets.flatten())
    return nats, (targets != IGNORE).sum()


class LanguageModelling:
    """Predicting every next token of a corpus: the task when nothing else is said."""

    def __init__(self, corpus: Corpus, recipe: Recipe, config: GPT2Config) -> None:
        self.corpus, self._config, self._loop = corpus, config, recipe.train
        self._stream = Batches(
            corpus.train, rows=recipe.train.batch_size, window=config.n_positions, seed=recipe.train.seed
        )
        self._held_out = spread_windows(
            corpus.validation, count=recipe.train.validation_windows, window=config.n_positions
        )

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The vocabulary; another text in the same vocabulary is another position, which the stream refuses."""
        return {"tokenizer_sha256": self.corpus.manifest.tokenizer_sha256}

    @property
    def stream(self) -> Batches:
        """Windows of the training text in random order."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of targets (B, T) behind inputs (B, T), and their number."""
        return next_token_loss(model, batch)

    def validation(self) -> Sequence[Batch]:
        """Return windows spread evenly over the held-out text, `train.batch_size` at a time."""
        inputs, targets = self._held_out
        rows = self._loop.batch_size
        return [(inputs[i : i + rows], targets[i : i + rows]) for i in range(0, len(inputs), rows)]

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return bits per byte of the text that the targets stand for."""
        text_bytes = int(np.take(self.corpus.token_bytes, self._held_out[1]).sum())
        return {"bits_per_byte": nats / math.log(2) / text_bytes}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return `tensors`: the trained model is a plain GPT-2 already."""
        return tensors

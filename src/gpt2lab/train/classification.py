"""Texts into classes: a linear head on the last token's hidden state, learnt together with the model below it.

The method of GPT-1 (Radford et al. 2018, section 3.2) and of Grover's discriminator (Zellers et al. 2019, section 4): a
text ends in a token of its own, whose state the head reads. Knows token ids and labels, not what they mean.

Axes: B rows, T tokens, C n_embd, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt2lab.errors import DataError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.task import Batch

Ids = npt.NDArray[np.int64]
_BODY = "gpt."


class Classifier(nn.Module):
    """A GPT-2 with a head of K classes in the place of the one of V tokens."""

    def __init__(self, gpt: GPT, classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.gpt = gpt
        self.head = nn.Linear(gpt.config.n_embd, classes)
        nn.init.normal_(self.head.weight, std=gpt.config.initializer_range, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, last: Tensor) -> Tensor:
        """Return the logits (B, K) of rows of ids (B, T) that end at `last` (B,); what is behind counts nothing."""
        states = self.gpt.hidden(ids)  # (B, T, C)
        ends = states[torch.arange(len(ids), device=ids.device), last]  # (B, C)
        logits: Tensor = self.head(ends)
        return logits


class Examples:
    """Endless batches (ids (B, T), last (B,), labels (B,)) in an order that follows from (seed, epoch).

    T is that of the longest text of a batch; shorter ones are filled with zeros, which no state before them can see.
    """

    def __init__(self, texts: Sequence[Ids], labels: Sequence[int], *, rows: int, seed: int) -> None:
        self._texts, self._labels, self._rows, self._seed = texts, np.asarray(labels, np.int64), rows, seed
        self._epoch, self._index = 0, 0
        self._order = self._shuffle()

    def __next__(self) -> Batch:
        chosen = []
        for _ in range(self._rows):
            if self._index == len(self._order):
                self._epoch, self._index = self._epoch + 1, 0
                self._order = self._shuffle()
            chosen.append(int(self._order[self._index]))
            self._index += 1
        return padded([self._texts[i] for i in chosen], self._labels[chosen])

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index, "texts": len(self._texts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises `DataError` when there are more or fewer texts now."""
        if state["texts"] != len(self._texts):
            raise DataError(
                f"There are {len(self._texts)} texts, but the run began with {state['texts']}; give the same ones."
            )
        self._epoch, self._index = state["epoch"], state["index"]
        self._order = self._shuffle()

    def _shuffle(self) -> Ids:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._texts))


def padded(texts: Sequence[Ids], labels: npt.NDArray[np.int64]) -> Batch:
    """Return one batch of texts and their labels."""
    ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return ids, np.asarray([len(text) - 1 for text in texts], np.int64), labels


class Classification:
    """The task: the right class of every text, by cross-entropy.

    Raises `DataError` for texts that are empty or longer than the window.
    """

    def __init__(
        self,
        config: GPT2Config,
        texts: Sequence[Ids],
        labels: Sequence[int],
        held_out: tuple[Sequence[Ids], Sequence[int]] = ((), ()),
        *,
        rows: int,
        seed: int,
    ) -> None:
        if not texts or any(not 0 < len(text) <= config.n_positions for text in (*texts, *held_out[0])):
            raise DataError(f"Every text must have from 1 to {config.n_positions} tokens, and there must be one.")
        self._config, self._rows = config, rows
        self._stream = Examples(texts, labels, rows=rows, seed=seed)
        self._held_out = held_out
        digest = hashlib.sha256(np.asarray(labels, np.int64).tobytes())
        for text in texts:
            digest.update(np.asarray(text, np.int64).tobytes())
        self._texts_sha256 = digest.hexdigest()

    @property
    def config(self) -> GPT2Config:
        """The shape of the model below the head."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The texts and their labels."""
        return {"texts_sha256": self._texts_sha256}

    @property
    def stream(self) -> Examples:
        """The texts in random order."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy in nats and the number of texts."""
        ids, last, labels = batch
        logits = model(ids, last).float()
        return F.cross_entropy(logits, labels, reduction="sum"), torch.tensor(len(labels), device=labels.device)

    def validation(self) -> Sequence[Batch]:
        """Return the held-out texts, as many at a time as a step reads."""
        texts, labels = self._held_out
        known = np.asarray(labels, np.int64)
        return [padded(texts[i : i + self._rows], known[i : i + self._rows]) for i in range(0, len(texts), self._rows)]

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return nothing besides the loss."""
        return {}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the GPT-2 below the head."""
        return {name.removeprefix(_BODY): tensor for name, tensor in tensors.items() if name.startswith(_BODY)}

"""Learning music: passages of pieces, varied anew at every reading, as a task of the one training loop.

What is read follows from (seed, epoch, place) alone, so the position in the data is two numbers. Validation reads every
held-out piece from its beginning to its end in windows that overlap by half, and counts each token once.

Legend: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from gpt2lab.apps.music.performance import stretch_ids, transpose_ids
from gpt2lab.apps.music.settings import MusicRecipe
from gpt2lab.apps.music.vocabulary import MusicVocabulary
from gpt2lab.config import to_dict
from gpt2lab.data import Corpus
from gpt2lab.data.batches import IGNORE, TokenStream
from gpt2lab.data.npz import documents_of
from gpt2lab.errors import DataError
from gpt2lab.model.config import GPT2Config
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.task import Batch, next_token_loss

IntArray = npt.NDArray[np.int64]

_SPARE = 1.1  # tokens read for a passage that stretching may shorten


class Passages:
    """Endless batches of passages of pieces: inputs and targets (B, T), what lies behind a piece's end is ignored.

    In an epoch every piece gives a passage for each `window` of its tokens, beginning anywhere that `align` allows.
    Each passage is read behind the token before it: the end token, at the beginning of a piece.
    """

    def __init__(
        self, pieces: Sequence[IntArray], music: MusicVocabulary, settings: MusicRecipe, *, rows: int, window: int,
        seed: int,
    ) -> None:  # fmt: skip
        if not pieces:
            raise DataError("There is no piece to train on: the corpus is empty.")
        self._pieces, self._music, self._settings = list(pieces), music, settings
        self._rows, self._window, self._seed = rows, window, seed
        self._counts = [max(1, round(len(piece) / window)) for piece in self._pieces]
        self._epoch, self._index = 0, 0
        self._order = self._shuffled()

    def __next__(self) -> tuple[IntArray, IntArray]:
        """Return inputs and targets, each (B, T)."""
        rows = [self._next_passage() for _ in range(self._rows)]
        inputs = np.full((self._rows, self._window), self._music.end_id, np.int64)
        targets = np.full((self._rows, self._window), IGNORE, np.int64)
        for row, passage in enumerate(rows):
            inputs[row, : len(passage) - 1] = passage[:-1]
            targets[row, : len(passage) - 1] = passage[1:]
        return inputs, targets

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index, "tokens": sum(map(len, self._pieces))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises `DataError` when it is one of other pieces."""
        if state["tokens"] != sum(map(len, self._pieces)):
            raise DataError("The pieces are not those that the run began with; give its own corpus.")
        self._epoch, self._index = int(state["epoch"]), int(state["index"])
        self._order = self._shuffled()

    def _shuffled(self) -> IntArray:
        places = np.repeat(np.arange(len(self._pieces)), self._counts)
        return np.random.default_rng((self._seed, self._epoch)).permutation(places)

    def _next_passage(self) -> IntArray:
        """Return the token before a passage and the passage."""
        if self._index == len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._shuffled()
        chance = np.random.default_rng((self._seed, self._epoch, self._index, 1))
        piece = self._pieces[int(self._order[self._index])]
        self._index += 1
        choices = max(0, len(piece) - self._window) // self._settings.align + 1
        start = int(chance.integers(choices)) * self._settings.align
        passage = piece[start : start + int(self._window * _SPARE) + 1]
        low, high = self._settings.transpose
        passage = transpose_ids(passage, int(chance.integers(low, high + 1)), self._music)
        passage = stretch_ids(passage, float(chance.choice(self._settings.stretch)), self._music)
        before = self._music.end_id if start == 0 else int(piece[start - 1])
        return np.concatenate([[before], passage[: self._window]])


def windows_of(piece: IntArray, end: int, window: int) -> list[tuple[IntArray, IntArray]]:
    """Return (inputs, targets), each (T,), that count every token of `piece` but its last, the end, once.

    A window after the first begins half a window before what it counts.
    """
    found = []
    stride = max(1, window // 2)
    whole = np.concatenate([[end], piece[:-1]])  # every token behind the one before it
    counted = 0
    while counted < len(piece) - 1:
        start = 0 if counted == 0 else counted - (window - stride)
        stop = min(start + window, len(piece) - 1)
        inputs = np.full(window, end, np.int64)
        targets = np.full(window, IGNORE, np.int64)
        inputs[: stop - start] = whole[start:stop]
        targets[counted - start : stop - start] = whole[counted + 1 : stop + 1]
        found.append((inputs, targets))
        counted = stop
    return found


class MusicModelling:
    """Predicting every next event of a piece. The validation loss is in nats an event, ends of pieces not counted."""

    def __init__(
        self, corpus: Corpus, music: MusicVocabulary, settings: MusicRecipe, recipe: Recipe, config: GPT2Config
    ) -> None:
        self._corpus, self._config, self._settings = corpus, config, settings
        loop = recipe.train
        self._stream = Passages(
            _pieces(corpus.train, music.end_id), music, settings, rows=loop.batch_size, window=config.n_positions,
            seed=loop.seed,
        )  # fmt: skip
        held_out = [w for piece in _pieces(corpus.validation, music.end_id) for w in windows_of(
            piece, music.end_id, config.n_positions
        )]  # fmt: skip
        count = min(loop.validation_windows, len(held_out))
        self._held_out = [held_out[i * len(held_out) // count] for i in range(count)]
        self._rows = loop.batch_size

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The vocabulary and how pieces are varied."""
        varied = {k: v for k, v in to_dict(self._settings).items() if k in ("transpose", "stretch", "align")}
        return {"tokenizer_sha256": self._corpus.manifest.tokenizer_sha256, "music": varied}

    @property
    def stream(self) -> Passages:
        """Passages of the training pieces."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of targets (B, T) behind inputs (B, T), and how many count."""
        return next_token_loss(model, batch)

    def validation(self) -> Sequence[Batch]:
        """Return windows of the held-out pieces, in their order."""
        batches: list[Batch] = []
        for start in range(0, len(self._held_out), self._rows):
            rows = self._held_out[start : start + self._rows]
            batches.append((np.stack([inputs for inputs, _ in rows]), np.stack([targets for _, targets in rows])))
        return batches

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return nothing more: the loss is in nats an event already."""
        return {}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return `tensors`: the trained model is a GPT-2 as it is."""
        return tensors


def _pieces(stream: TokenStream, end: int) -> list[IntArray]:
    """Return every piece with the end that closes it."""
    return [np.concatenate([ids, [end]]) for ids in documents_of(stream, end)]

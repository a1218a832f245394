"""Learning pairs: the target behind its source and a delimiter, as a task of the one training loop.

Legend: B rows, T positions, C n_embd, V vocabulary, N targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.apps.seq2seq.batches import PairBatches, digest, fixed_batches
from gpt2lab.apps.seq2seq.codec import Codec
from gpt2lab.apps.seq2seq.pairs import Pair
from gpt2lab.apps.seq2seq.settings import Seq2SeqRecipe
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.model.pieces import Pieces
from gpt2lab.train.loss import cross_entropy_sum, smoothing_sum
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.task import Batch


class PairTask:
    """Predicting targets, and with a `source_weight` the sources too.

    The validation loss is in nats a token of the target, its end included, without smoothing, of a pair a row. Raises
    `ConfigError` for settings that exclude each other.
    """

    def __init__(
        self,
        config: GPT2Config,
        codec: Codec,
        settings: Seq2SeqRecipe,
        recipe: Recipe,
        training: Sequence[Pair],
        held_out: Sequence[Pair],
    ) -> None:
        if settings.packing and recipe.train.compile:
            raise ConfigError(
                "task.packing = true and train.compile = true exclude each other: which texts share a row, and so what "
                "would be compiled, changes from batch to batch. Leave one of them out."
            )
        self.codec, self.settings, self.held_out = codec, settings, held_out
        self._config = config
        self.rows = codec.rows([p.source for p in training], [p.target for p in training])
        self._digest = digest(self.rows)
        size = recipe.train.batch_size
        self._stream = PairBatches(
            self.rows, size=size, filling=codec.end, seed=recipe.train.seed, noise=settings.noise,
            drawn=codec.tokenizer.vocab_size, window=codec.window, packing=settings.packing,
        )  # fmt: skip
        judged = held_out[: recipe.train.validation_windows]
        rows = codec.rows([p.source for p in judged], [p.target for p in judged])
        self._validation = fixed_batches(rows, size=size, filling=codec.end, window=codec.window)

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The pairs as token ids."""
        return {"set of pairs": self._digest}

    @property
    def stream(self) -> PairBatches:
        """Pairs in random order: near in length within a batch, or several in a row."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch (batches.py) and its weight: the number of targets, sources as they count.

        Pairs that share a row are read as if each had one of its own.
        """
        assert isinstance(model, GPT)
        inputs, targets, places, *rest = batch
        if rest:
            (positions,) = rest  # (B, T), from 0 at each pair
            hidden, behind = model.hidden(inputs, pieces=Pieces(positions)), positions >= places
        else:
            hidden = model.hidden(inputs)
            behind = torch.arange(inputs.shape[1], device=inputs.device) >= places[:, None]  # (B, T)
        hidden = hidden.flatten(0, 1)  # (B T, C)
        counts = targets != IGNORE  # (B, T)
        nats = self._nats(model, hidden, targets, counts & behind)
        number = (counts & behind).sum()
        if not model.training or not self.settings.source_weight:
            return nats, number
        weight = self.settings.source_weight
        sources = counts & ~behind
        return nats + weight * self._nats(model, hidden, targets, sources), number + weight * sources.sum()

    def _nats(self, model: GPT, hidden: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
        """Return the summed loss of the chosen places of (B, T)."""
        places = chosen.flatten().nonzero().squeeze(1)  # (N,)
        states, wanted = hidden.index_select(0, places), targets.flatten()[places]
        nats = cross_entropy_sum(states, model.head_weight, wanted)
        if model.training and self.settings.label_smoothing:
            nats = nats + self.settings.label_smoothing * smoothing_sum(states, model.head_weight, wanted)
        return nats

    def validation(self) -> Sequence[Batch]:
        """Return the held-out pairs, the longest first."""
        return self._validation

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return nothing more: what the texts are worth is measured by decoding them (scores.py)."""
        return {}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return `tensors`: the trained model is a plain GPT-2."""
        return tensors

    def generation(self) -> dict[str, Any]:
        """Return what generation_config.json is to say: end, room for the target, beams."""
        return {
            "eos_token_id": self.codec.end, "max_new_tokens": self.codec.room, "num_beams": self.settings.beams,
            "length_penalty": self.settings.length_penalty,
        }  # fmt: skip

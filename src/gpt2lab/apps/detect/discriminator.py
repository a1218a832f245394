"""A discriminator: our model with a head that tells machine from human, learnt on pairs (Zellers et al. 2019, 4).

Grover's head reads the last token of a text. Ours learns at every token, from what stands before it: a text of 500
tokens teaches 500 times, parts of texts are known as well as whole ones, and neither its length nor its end can tell
it. Learning is the one training loop's (torch); judging needs the native engine alone. A folder holds the model as any
other (Hugging Face's format), `head.safetensors` and `discriminator.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpt2lab import checkpoint
from gpt2lab.apps.detect.reading import flattened
from gpt2lab.checkpoint.safetensors import read_safetensors, write_safetensors
from gpt2lab.config import from_dict, to_dict
from gpt2lab.data.batches import IGNORE
from gpt2lab.engine.protocol import Ids
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.files import atomic_write, read_json, write_json
from gpt2lab.lm.model import LanguageModel
from gpt2lab.train.waiting import load_torch

if TYPE_CHECKING:
    from gpt2lab.apps.detect.pairs import Pair
    from gpt2lab.tokenizer import Tokenizer
    from gpt2lab.train.log import Progress

HEAD, ABOUT = "head.safetensors", "discriminator.json"
HUMAN, MACHINE = 0, 1

Array = npt.NDArray[np.float64]
Labelled = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Ids, and for each whose text it is, `IGNORE` where nothing is learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a discriminator is called, how many tokens it reads at once, and what it was trained on.

    format: 2; one that lacks it is from before the head read every token.
    """

    format: int = 1
    name: str
    window: int
    layout: bool = False
    trained: dict[str, Any]


_FORMAT = 2
_LEAST = 32  # tokens that say nothing yet: a rest of no more is not read, and nothing is learnt at them


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a discriminator is learnt. Raises `ConfigError` for values that are impossible.

    epochs: how often every text is read; window: tokens that are read at once, at most the model's; dropout: of the
    model's embeddings and of what its layers add.
    """

    epochs: float = 2.0
    batch_size: int = 16
    learning_rate: float = 3e-4
    window: int = 512
    dropout: float = 0.1
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} = {getattr(self, name)} must be positive.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout = {self.dropout} must be from 0 to below 1.")
        for name, least in (("batch_size", 1), ("window", 2), ("threads", 1)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)} must be at least {least}.")


class Discriminator:
    """A model and a head on its last hidden state: (C, 2) weights and 2 biases."""

    def __init__(self, lm: LanguageModel, weight: Array, bias: Array, about: About) -> None:
        self.lm, self.about = lm, about
        self._weight, self._bias = weight, bias

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Discriminator:
        """Load a folder; `options` are `LanguageModel.load`'s. Raises `CheckpointError` for one that holds none."""
        place = Path(folder)
        if not (place / HEAD).is_file():
            raise CheckpointError(f"{place} holds no discriminator: it has no {HEAD}.")
        stored = read_safetensors(place / HEAD)
        values = read_json(place / ABOUT)
        try:
            about = from_dict(About, values if isinstance(values, Mapping) else {})
        except ConfigError as error:
            raise CheckpointError(f"{place / ABOUT} is damaged: {error}") from None
        if about.format != _FORMAT:
            raise CheckpointError(
                f"{place} is a discriminator of format {about.format}, not {_FORMAT}; train it again with "
                "gpt2lab detect train."
            )
        lm = LanguageModel.load(place, **options)
        shapes = {name: s.shape for name, s in stored.items()}
        if shapes != {"weight": (2, lm.config.n_embd), "bias": (2,)}:
            raise CheckpointError(f"{place / HEAD} does not fit the model beside it.")
        weight, bias = (stored[name].read().astype(np.float64) for name in ("weight", "bias"))
        return cls(lm, weight, bias, about)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.about.name

    def scores(self, texts: Sequence[str]) -> Array:
        """Return the log-odds that each text is a machine's: what stands at the last token of each piece, on average
        over the tokens."""
        assert self.lm.tokenizer is not None
        made = []
        for text in texts:
            parts = pieces(self.lm.tokenizer, text, self.about.window, self.about.layout)
            odds = [self._odds(ids) for ids in parts]
            made.append(np.average(odds, weights=[len(ids) for ids in parts]))
        return np.asarray(made)

    def _odds(self, ids: Ids) -> float:
        state = self.lm.backend.hidden(ids, self.lm.config.n_layer)[-1].astype(np.float64)
        logits = self._weight @ state + self._bias
        return float(logits[MACHINE] - logits[HUMAN])


def pieces(tokenizer: Tokenizer, text: str, window: int, layout: bool = False) -> list[Ids]:
    """Return the ids of a text as a discriminator reads it: in pieces of at most `window`, the end token before each.

    What is left over of a long text is read where it has enough tokens to say something.
    """
    ids = tokenizer.encode(text if layout else flattened(text)[0])
    end = tokenizer.eos_id
    if end is None:
        raise CheckpointError("A discriminator needs a vocabulary with an end token.")
    size = window - 1
    starts = [at for at in range(0, len(ids), size) if len(ids) - at > min(_LEAST, size // 2)] or [0]
    return [np.asarray([end, *ids[at : at + size]], np.int32) for at in starts]


def train_discriminator(
    base: str | Path,
    pairs: Sequence[Pair],
    out: str | Path,
    learning: Learning | None = None,
    *,
    run: str | Path,
    name: str,
    layout: bool = False,
    trained: dict[str, Any] | None = None,
    held_out: Sequence[Pair] = (),
    models_dir: Path | None = None,
    progress: Progress | None = None,
) -> Discriminator:
    """Learn a discriminator on both texts of every pair, write it to the folder `out` and return it.

    `base` names the model it begins with. `run` is the folder of the training run; the same call goes on with one that
    was stopped. The loss on `held_out` pairs is told on the way. Raises `MissingExtraError` without torch, `DataError`
    and `ConfigError` before anything is trained.
    """
    learning = learning or Learning()
    found = checkpoint.load(base, models_dir=models_dir)
    if found.tokenizer is None:
        raise CheckpointError(f"{found.source} has no tokenizer, so text cannot be turned into its tokens.")
    window = min(learning.window, found.config.n_positions)
    texts = _examples(found.tokenizer, pairs, window, layout)
    if not texts:
        raise DataError("There is no pair to learn from.")
    load_torch("Training a discriminator")
    from gpt2lab.apps.detect.head_training import fit_head

    tensors, weight, bias = fit_head(
        found, texts, _examples(found.tokenizer, held_out, window, layout), learning, run=run, progress=progress
    )
    place = checkpoint.save_hf(out, found.config, tensors, found.tokenizer, found.generation, overwrite=True)
    with atomic_write(place / HEAD) as f:
        write_safetensors(f, {"weight": weight.shape, "bias": bias.shape}, [("weight", weight), ("bias", bias)])
    write_json(
        place / ABOUT, to_dict(About(format=_FORMAT, name=name, window=window, layout=layout, trained=trained or {}))
    )
    return Discriminator.load(place)


def _examples(tokenizer: Tokenizer, pairs: Sequence[Pair], window: int, layout: bool) -> list[Labelled]:
    """Return the pieces of all texts, each text once; of a pair both have as many tokens of which is learnt."""
    known: dict[str, list[Labelled]] = {}
    for pair in pairs:
        both = [pieces(tokenizer, text, window, layout) for text in (pair.human, pair.machine)]
        for text, parts, others, label in zip(
            (pair.human, pair.machine), both, reversed(both), (HUMAN, MACHINE), strict=True
        ):
            known.setdefault(text, [_labelled(a[: len(b)], label) for a, b in zip(parts, others, strict=False)])
    return [example for examples in known.values() for example in examples]


def _labelled(ids: Ids, label: int) -> Labelled:
    labels = np.full(len(ids), label, np.int64)
    labels[: min(_LEAST, len(ids) // 2)] = IGNORE
    return ids.astype(np.int64), labels

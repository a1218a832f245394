"""What a recipe's table [task] says of learning pairs of texts. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gpt2lab.apps.seq2seq.pairs import SOURCE, TARGET
from gpt2lab.config import from_dict
from gpt2lab.errors import ConfigError
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT

DELIMITER = "<|delimiter|>"
"""The token between source and target, unless another is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2SeqRecipe:
    """Which pairs are learnt, and how. Raises `ConfigError` when a value is impossible.

    train, validation: one .tsv or .jsonl file or two files of lines, below the recipe's `data`; without `validation`
    the share `validation_share` is held out, chosen by a hash of each source. source, target: keys or columns.

    model: the model to begin with, whose vocabulary gets the tokens `delimiter` and `end`; of the table [model] only
    dropout counts then. None: a new model, with a vocabulary of `vocab_size` tokens learnt from both sides. weights:
    "pretrained" are the model's own; of "random" ones its shape and vocabulary alone are taken.

    target_tokens: so much of the window is kept free for the target and its end (None: half of it); a longer source
    loses its end. source_weight: how much a token of the source counts in the loss, where one of the target counts 1.
    label_smoothing: so much of each target's probability is asked for all tokens alike (Szegedy et al. 2016). noise:
    this share of the tokens that are read, on both sides, is replaced by others drawn at random, anew at every visit
    (SwitchOut, Wang et al. 2018); what is to be predicted stays.

    packing: a row is as long as the window and holds several pairs, none of which sees another; else each pair has one
    of its own, and `train.batch_size` counts pairs.

    average: the model that is written is the mean of so many last saved states (0: the weights of the best validation).
    Every `score_every` steps (None: never) the first `score_pairs` held-out sources are decoded with `beams` and
    `length_penalty`, and `metric` is measured; the last two are the model's own settings afterwards.
    """

    kind: Literal["seq2seq"] = "seq2seq"
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    validation_share: float = 0.05
    source: str = SOURCE
    target: str = TARGET
    model: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    vocab_size: int = 8000
    delimiter: str = DELIMITER
    end: str = END_OF_TEXT
    target_tokens: int | None = None
    source_weight: float = 0.0
    label_smoothing: float = 0.0
    noise: float = 0.0
    packing: bool = False
    average: int = 0
    score_every: int | None = None
    score_pairs: int = 100
    metric: Literal["bleu", "rouge"] = "bleu"
    beams: int = 5
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, low in (("target_tokens", 2), ("score_every", 1), ("score_pairs", 1), ("beams", 1), ("average", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"task.{name} = {value} must be at least {low}.")
        for name, most in (("label_smoothing", 1.0), ("noise", 1.0)):
            if not 0 <= getattr(self, name) < most:
                raise ConfigError(f"task.{name} = {getattr(self, name)} must be in [0, {most:g}).")
        if self.weights == "random" and self.model is None:
            raise ConfigError(
                "task.weights = 'random' takes the shape and the vocabulary of task.model, and none is named; name one "
                "or leave task.weights out: a new model begins with random weights."
            )
        if self.source_weight < 0:
            raise ConfigError(f"task.source_weight = {self.source_weight} must not be negative.")
        if not 0 < self.validation_share < 0.5:
            raise ConfigError(f"task.validation_share = {self.validation_share} must be between 0 and 0.5.")
        if not self.delimiter or not self.end or self.delimiter == self.end:
            raise ConfigError(
                f"task.delimiter = {self.delimiter!r} and task.end = {self.end!r} must be two different tokens."
            )


def seq2seq_recipe(task: Mapping[str, Any]) -> Seq2SeqRecipe:
    """Return what a recipe's table [task] says. Raises `ConfigError` when it is not about pairs, or wrong."""
    if task.get("kind") != "seq2seq":
        raise ConfigError('The recipe is not one of pairs of texts: its table [task] must say kind = "seq2seq".')
    return from_dict(Seq2SeqRecipe, task, where="task")

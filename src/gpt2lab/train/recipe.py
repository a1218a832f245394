"""What a training run is, as frozen tables read from TOML; `recipes/*.toml` are the shipped ones.

No torch here. Every value is checked when the recipe is read, before anything runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gpt2lab.config import from_dict, override, read_toml
from gpt2lab.data import CorpusRecipe
from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config

MODEL = "model"
"""The folder of the finished model in a run's folder."""


SEEDS = 2**63
"""Seeds are below this, as PyTorch's are."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """The shape of a new model; the vocabulary is the corpus's.

    `dropout` is that of all three places of GPT-2, unless `embd_pdrop`, `resid_pdrop` or `attn_pdrop` says otherwise.

    `max_relative_position` distances between positions are told apart by relative attention; 0: none.

    `attention_layers` are the layers' kinds of attention in their order, "full", "local" or "compressed", begun anew
    when there are more layers; none: full. A block of local attention has `attention_block` positions; compressed
    attention makes `attention_compression` positions one (model/long.py).
    """

    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02
    dropout: float = 0.0
    embd_pdrop: float | None = None
    resid_pdrop: float | None = None
    attn_pdrop: float | None = None
    max_relative_position: int = 0
    attention_layers: tuple[str, ...] = ()
    attention_block: int = 256
    attention_compression: int = 3

    @classmethod
    def of(cls, config: GPT2Config, *, dropout: float = 0.0) -> ModelRecipe:
        """Return the recipe of a model that exists, to be trained further with this dropout."""
        return cls(
            n_positions=config.n_positions, n_embd=config.n_embd, n_layer=config.n_layer, n_head=config.n_head,
            n_inner=config.n_inner, activation_function=config.activation_function,
            tie_word_embeddings=config.tie_word_embeddings, dropout=dropout,
            max_relative_position=config.max_relative_position, attention_layers=config.attention_layers,
            attention_block=config.attention_block, attention_compression=config.attention_compression,
        )  # fmt: skip

    def config(self, *, vocab_size: int, end_of_text_id: int) -> GPT2Config:
        """Return the full configuration for a vocabulary. Raises `ConfigError` for an impossible shape."""
        return GPT2Config(
            vocab_size=vocab_size,
            n_positions=self.n_positions,
            n_embd=self.n_embd,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_inner=self.n_inner,
            activation_function=self.activation_function,
            tie_word_embeddings=self.tie_word_embeddings,
            initializer_range=self.initializer_range,
            bos_token_id=end_of_text_id,
            eos_token_id=end_of_text_id,
            resid_pdrop=self.dropout if self.resid_pdrop is None else self.resid_pdrop,
            embd_pdrop=self.dropout if self.embd_pdrop is None else self.embd_pdrop,
            attn_pdrop=self.dropout if self.attn_pdrop is None else self.attn_pdrop,
            max_relative_position=self.max_relative_position,
            attention_layers=tuple(itertools.islice(itertools.cycle(self.attention_layers), self.n_layer)),
            attention_block=self.attention_block,
            attention_compression=self.attention_compression,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerRecipe:
    """Who updates the parameters. "muon" is for the matrices inside the blocks; AdamW at `adam_lr` has the rest.

    "adam" is Adam without weight decay, "sgd" has `momentum`, "adafactor" keeps one row and one column a matrix where
    AdamW keeps two matrices. `adam_lr` defaults to `lr`. Every layer learns at `layer_decay` times the rate of the one
    above it, the embeddings at the lowest; 1: all alike.
    """

    name: Literal["adamw", "muon", "adam", "sgd", "adafactor"] = "adamw"
    lr: float = 1e-3
    adam_lr: float | None = None
    betas: tuple[float, ...] = (0.9, 0.95)
    eps: float = 1e-8
    momentum: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        _require(self.lr > 0, f"optimizer.lr = {self.lr} must be positive.")
        _require(self.adam_lr is None or self.adam_lr > 0, f"optimizer.adam_lr = {self.adam_lr} must be positive.")
        _require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            f"optimizer.betas = {list(self.betas)} must be two numbers in [0, 1).",
        )
        _require(0 <= self.momentum < 1, f"optimizer.momentum = {self.momentum} must be in [0, 1).")
        _require(self.weight_decay >= 0, f"optimizer.weight_decay = {self.weight_decay} must not be negative.")
        _require(self.clip > 0, f"optimizer.clip = {self.clip} must be positive; a large number clips nothing.")
        _require(0 < self.layer_decay <= 1, f"optimizer.layer_decay = {self.layer_decay} must be in (0, 1].")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecipe:
    """How the learning rate goes: `warmup_steps` up, then along the named shape down to `final_share` of the peak.

    "wsd" stays at the peak and falls in a straight line over the last `decay_share` of the run.
    """

    name: Literal["wsd", "cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = 100
    decay_share: float = 0.2
    final_share: float = 0.0

    def __post_init__(self) -> None:
        _require(self.warmup_steps >= 0, f"schedule.warmup_steps = {self.warmup_steps} must not be negative.")
        _require(0 < self.decay_share <= 1, f"schedule.decay_share = {self.decay_share} must be in (0, 1].")
        _require(0 <= self.final_share <= 1, f"schedule.final_share = {self.final_share} must be in [0, 1].")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRecipe:
    """How long, in what portions, and on what.

    One step reads `accumulate` times `batch_size` windows, whatever the number of processes. The run ends after `steps`
    steps or `max_minutes` of training, whichever comes first, and the schedule follows the one that is nearer its end;
    only `steps` alone makes a run that repeats bit for bit. It also ends when `patience` validations in a row brought
    nothing better.

    A state to resume from is saved every `checkpoint_minutes` and, if given, every `checkpoint_every` steps;
    `max_checkpoints` of them are kept. With `keep_best` the weights of the best validation are kept besides.

    `precision` "bf16" computes the products in bfloat16 (the weights stay float32); "auto" does so where the hardware
    has units for it; "int8" rounds the factors of most products, on a CPU (train/int8.py). `checkpoint_activations`
    computes the inside of each block twice to hold it once. `parallel` says
    what several processes share: only gradients ("ddp"), or weights and optimizer too ("fsdp").

    When the loss is no number, or lies `spike` standard deviations above what it was lately (0: never), the run goes
    back to its last saved state with half the learning rate ("rollback", three times at most), or ends ("stop").

    Every `sample_every` steps `sample_num` texts of `sample_length` tokens behind `sample_prompt` are written by the
    model as it is then; who runs the loop adds this (lm/training.py), since the loop knows no text.
    """

    steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 16
    accumulate: int = 1
    seed: int = 0
    validate_every: int = 100
    validation_windows: int = 200
    patience: int | None = None
    keep_best: bool = True
    checkpoint_minutes: float = 5.0
    checkpoint_every: int | None = None
    max_checkpoints: int = 1
    threads: int | None = None
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    compile: bool = False
    checkpoint_activations: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    on_divergence: Literal["rollback", "stop"] = "rollback"
    spike: float = 8.0
    tensorboard: bool = True
    sample_every: int | None = None
    sample_num: int = 1
    sample_length: int = 100
    sample_prompt: str = ""

    def __post_init__(self) -> None:
        _require(
            self.steps is not None or self.max_minutes is not None,
            "The run has no end: set train.steps, train.max_minutes or both.",
        )
        for name in (
            "steps", "batch_size", "accumulate", "validate_every", "validation_windows", "patience",
            "checkpoint_every", "max_checkpoints", "threads", "sample_every", "sample_num", "sample_length",
        ):  # fmt: skip
            value = getattr(self, name)
            _require(value is None or value >= 1, f"train.{name} = {value} must be at least 1.")
        _require(
            self.max_minutes is None or self.max_minutes > 0,
            f"train.max_minutes = {self.max_minutes} must be positive.",
        )
        for name in ("checkpoint_minutes", "seed", "spike"):
            value = getattr(self, name)
            _require(value >= 0, f"train.{name} = {value} must not be negative.")
        _require(self.seed < SEEDS, f"train.seed = {self.seed} must be below 2**63.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole run: the prepared corpus it reads (`data`), the folder it writes (`out`), and how.

    `task` is for what trains something else than a language model of text, such as `gpt2lab music train`: that checks
    it. Its "kind" says whose it is.
    """

    name: str
    data: str
    out: str
    corpus: CorpusRecipe = field(default_factory=CorpusRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    train: LoopRecipe
    task: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(
            not (self.optimizer.name == "adafactor" and self.train.parallel == "fsdp"),
            'optimizer.name = "adafactor" needs whole matrices and train.parallel = "fsdp" cuts them; set "ddp", or '
            "another optimizer.",
        )


def load_recipe(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file or a table, with "key.name=value" overrides applied. Raises `ConfigError`."""
    values = source if isinstance(source, Mapping) else read_toml(source)
    return from_dict(Recipe, override(values, overrides))

"""What the training of an article model may be asked for, as one frozen table. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gpt2lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleOptions:
    """How a model learns articles. Raises `ConfigError` when a value is impossible.

    The run lies in the folder `out` and ends after `steps` steps or `max_minutes`, whichever comes first; called again
    with the same settings, it goes on where it was stopped. window: tokens that are read at once, the model's own when
    None. sliding: of an article longer than that the beginning, the end or any part is read, else always the beginning.
    val_share: so much is held back where the articles themselves do not say by `split`; patience: so many validations
    in a row without a better one end the run. The defaults of the rate and its decay are for fine-tuning small models.
    """

    out: str = "runs/articles"
    steps: int = 1000
    max_minutes: float | None = None
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 3e-4
    optimizer: Literal["adamw", "adam", "sgd", "adafactor", "muon"] = "adamw"
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    warmup_steps: int = 50
    weight_decay: float = 0.1
    dropout: float = 0.0
    window: int | None = None
    sliding: bool = True
    val_share: float = 0.05
    val_every: int = 100
    patience: int | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "window", "val_every", "patience", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value} must be at least 1.")
        for name in ("warmup_steps", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)} must not be negative.")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate = {self.learning_rate} must be positive.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout = {self.dropout} must be in [0, 1).")
        if not 0 < self.val_share < 0.5:
            raise ConfigError(f"val_share = {self.val_share} must be between 0 and 0.5.")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ConfigError(f"max_minutes = {self.max_minutes} must be positive.")

"""What a fine-tuning may be asked for, as one frozen table. No torch here.

Names and meanings are those of gpt-2-simple where it has the option; what it lacks stands in the second half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpt2lab.errors import ConfigError
from gpt2lab.train.recipe import SEEDS

Matrix = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
"""The matrices of a block, as checkpoints name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneOptions:
    """How a model is trained further on one's own text. Raises `ConfigError` when a value is impossible.

    steps: optimizer steps of this call, on top of those that a run taken up has behind it; None: until it is stopped.
    restore_from: "latest" goes on with the run of that name if there is one, "fresh" begins at the base model, anything
    else is the folder of a run or a model to begin at. overwrite: a run that is in the way is removed; otherwise it is
    set aside under another name. only_train_transformer_layers: embeddings and the last layer norm stay as they are.
    use_memory_saving_gradients: compute the inside of each block twice instead of keeping it. window: tokens that are
    read at once, the model's own window when None.

    freeze_layers: embeddings and so many of the first blocks stay as they are. lora_rank: learn corrections of that
    rank instead of the weights (train/lora.py); 0: the weights. Validation: every `val_every` steps on `val_dataset`,
    or on the last `val_share` of every text, over `val_batch_count` batches of `val_batch_size` windows; `patience` of
    them without a better one end the run. column, template: as in `gpt2lab prepare`.
    """

    steps: int | None = 1000
    batch_size: int = 1
    learning_rate: float = 1e-4
    accumulate_gradients: int = 5
    restore_from: str = "latest"
    run_name: str = "run1"
    checkpoint_dir: str = "checkpoint"
    save_every: int = 1000
    max_checkpoints: int = 1
    use_memory_saving_gradients: bool = False
    only_train_transformer_layers: bool = False
    optimizer: Literal["adam", "adamw", "sgd", "adafactor", "muon"] = "adam"
    overwrite: bool = False

    schedule: Literal["constant", "linear", "cosine", "wsd"] = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    window: int | None = None
    dropout: float = 0.0
    freeze_layers: int = 0
    lora_rank: int = 0
    lora_alpha: float | None = None
    lora_matrices: tuple[Matrix, ...] = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    val_dataset: str | None = None
    val_share: float = 0.0
    val_every: int = 100
    val_batch_count: int = 40
    val_batch_size: int = 2
    patience: int | None = None
    column: str | None = None
    template: str | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        for name in (
            "steps", "batch_size", "accumulate_gradients", "save_every", "max_checkpoints", "window", "val_every",
            "val_batch_count", "val_batch_size", "patience",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value} must be at least 1.")
        for name in ("warmup_steps", "freeze_layers", "lora_rank", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)} must not be negative.")
        if self.seed >= SEEDS:
            raise ConfigError(f"seed = {self.seed} must be below 2**63.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout = {self.dropout} must be in [0, 1).")
        if self.learning_rate <= 0:
            raise ConfigError(f"learning_rate = {self.learning_rate} must be positive.")
        if not 0 <= self.val_share < 0.5:
            raise ConfigError(f"val_share = {self.val_share} must be between 0 and 0.5.")
        if self.val_dataset is not None and self.val_share:
            raise ConfigError("Give val_dataset or val_share, not both.")
        if self.patience is not None and not self.validates:
            raise ConfigError("patience needs something to judge by: give val_dataset or val_share.")
        if self.lora_rank and (self.freeze_layers or self.only_train_transformer_layers):
            raise ConfigError("lora_rank freezes all weights by itself: leave freeze_layers and the like out.")
        if not self.run_name or self.run_name in (".", "..") or "/" in self.run_name:
            raise ConfigError(f"run_name = {self.run_name!r} must be the plain name of a folder.")

    @property
    def validates(self) -> bool:
        """Whether there is text to validate on."""
        return self.val_dataset is not None or self.val_share > 0

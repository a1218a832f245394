"""What a recipe's table [task] says of a transfer: the shape of its examples, their files, what learns. No torch.

Shapes: Radford et al. 2018 (GPT-1), section 3.3 and figure 1; tags and spans are those of transformers' classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from gpt2lab.checkpoint.heads import HeadKind
from gpt2lab.config import from_dict
from gpt2lab.errors import ConfigError, nearest

Shape = Literal["classification", "entailment", "similarity", "choice", "tags", "span"]
Format = Literal["tsv", "csv", "jsonl"]

ROLES: dict[Shape, tuple[str, ...]] = {
    "classification": ("text",),
    "entailment": ("premise", "hypothesis"),
    "similarity": ("first", "second"),
    "choice": ("context", "choices"),
    "tags": ("words",),
    "span": ("question", "context"),
}
"""What is read of a row."""

TARGET: dict[Shape, str] = {**dict.fromkeys(ROLES, "label"), "tags": "tags", "span": "answer"}
"""What is learnt of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecipe:
    """What is learnt from which table. Raises `ConfigError` for what is impossible.

    `model` names the one to begin with; of "random" `weights` its shape and vocabulary alone are taken. Paths of the
    recipe's `data`, of `validation` and of `test` are relative to `folder`. `columns` says which column is what, by
    name (or number from "1", without a `header`), or as a template such as "{a} {b}"; several are a list of choices.
    `target` "value" learns a number instead of a class. `positive` is the class whose F1 is told, the last one when
    None. A choice is a number that counts from `count_from`. `format` is that of all files (None: as their names end).

    `validation_share` of the examples is held out where no file is. `language` weighs the loss of the next tokens
    beside the task's. `window` tokens are read at most. The first `freeze_layers` blocks and the embeddings stay as
    they are, or with `lora_rank` all weights do and corrections of that rank are learnt.
    """

    kind: Literal["transfer"] = "transfer"
    shape: Shape
    model: str = "tiny"
    weights: Literal["pretrained", "random"] = "pretrained"
    folder: str = ""
    format: Format | None = None
    header: bool = True
    columns: dict[str, Any] = field(default_factory=dict)
    target: Literal["class", "value"] = "class"
    positive: str | None = None
    count_from: int = 0
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    validation_share: float = 0.0
    window: int | None = None
    language: float = 0.5
    dropout: float = 0.1
    freeze_layers: int = 0
    lora_rank: int = 0
    lora_alpha: float | None = None

    def __post_init__(self) -> None:
        roles = (*ROLES[self.shape], TARGET[self.shape])
        for role, column in self.columns.items():
            if role not in roles:
                raise ConfigError(
                    f"task.columns.{role} is nothing of the shape {self.shape!r}.{nearest(role, roles)} Its columns "
                    f"are {', '.join(roles)}."
                )
            several = isinstance(column, list) and column and all(isinstance(c, str) and c for c in column)
            if not (isinstance(column, str) and column) and not (several and role == "choices"):
                raise ConfigError(f"task.columns.{role} = {column!r} must be the name of a column, or a template.")
        if self.target == "value" and self.shape not in ("classification", "entailment", "similarity"):
            raise ConfigError(f"task.target = 'value' does not go with the shape {self.shape!r}.")
        for name in ("freeze_layers", "lora_rank", "language", "count_from"):
            if getattr(self, name) < 0:
                raise ConfigError(f"task.{name} = {getattr(self, name)} must not be negative.")
        if self.lora_alpha is not None and self.lora_alpha <= 0:
            raise ConfigError(f"task.lora_alpha = {self.lora_alpha} must be positive.")
        if self.window is not None and self.window < 8:
            raise ConfigError(f"task.window = {self.window} must be at least 8.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"task.dropout = {self.dropout} must be in [0, 1).")
        if not 0 <= self.validation_share < 0.5:
            raise ConfigError(f"task.validation_share = {self.validation_share} must be from 0 to below 0.5.")
        if self.validation_share and self.validation:
            raise ConfigError("Give task.validation or task.validation_share, not both.")
        if self.lora_rank and self.freeze_layers:
            raise ConfigError("task.lora_rank freezes all weights by itself: leave task.freeze_layers out.")

    @property
    def head(self) -> HeadKind:
        """The kind of head that learns it."""
        if self.shape in ("choice", "tags", "span"):
            return self.shape
        return "value" if self.target == "value" else "classes"

    def column(self, role: str) -> str | list[str]:
        """Return the column, the template or the columns of a role; by default it is called so."""
        found: str | list[str] = self.columns.get(role, role)
        return found

    def path(self, name: str) -> Path:
        """Return where a file of the recipe lies."""
        return Path(self.folder).expanduser() / Path(name).expanduser()


def transfer_recipe(task: Mapping[str, Any]) -> TransferRecipe:
    """Return what a recipe's table [task] says. Raises `ConfigError` when it is not about transfer, or wrong."""
    if task.get("kind") != "transfer":
        raise ConfigError('The recipe is not one of a transfer: its task.kind must be "transfer".')
    if "shape" not in task:
        raise ConfigError(f"The recipe says no task.shape; it is one of {', '.join(get_args(Shape))}.")
    return from_dict(TransferRecipe, task, where="task")

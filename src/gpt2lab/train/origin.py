"""Which command made a run, and how it goes on: every kind of run has one command that can take it up.

Knows what a run was saved with, not how it is trained. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gpt2lab.errors import ConfigError

Kind = Literal["text", "seq2seq", "transfer", "music", "article", "finetune", "discriminator"]

COMMANDS: dict[Kind, str] = {
    "text": "gpt2lab train",
    "seq2seq": "gpt2lab seq2seq train",
    "transfer": "gpt2lab transfer train",
    "music": "gpt2lab music train",
    "article": "gpt2lab article train",
    "finetune": "gpt2lab finetune",
    "discriminator": "gpt2lab detect train",
}
"""What makes a run of each kind; a recipe's `task.kind` says it, "text" is without one."""

THIS_CALL = "this call"
"""What stands for the data of a run whose examples were given to a call."""


def kind_of(recipe: Mapping[str, Any]) -> Kind | None:
    """Return the kind of the run that was saved with this recipe; None for a task of somebody's own."""
    task = recipe.get("task") or {}
    if task:
        return next((kind for kind in COMMANDS if kind == task.get("kind")), None)
    data, out = str(recipe.get("data")), str(recipe.get("out"))  # runs that were begun before these said their kind
    if data == THIS_CALL:
        return "article"
    if Path(data) == Path(out) / "corpus":
        return "finetune"
    return "discriminator" if recipe.get("name") == "discriminator" and out.endswith(".run") else "text"


def goes_on_by(kind: Kind | None, run: str | Path) -> str:
    """Return what to call to go on with the run in a folder."""
    folder = Path(run)
    if kind == "article":
        return f"{COMMANDS[kind]} FILE... --out {folder}, with its own files"
    if kind == "finetune":
        place = f"--checkpoint-dir {folder.parent} --run-name {folder.name}"
        return f"{COMMANDS[kind]} DATA... {place}, with its own text"
    if kind == "discriminator":
        out = str(folder).removesuffix(".run")
        return f"{COMMANDS[kind]} PAIRS... --kind discriminator --out {out}, with its own pairs"
    return f"{COMMANDS[kind]} --resume {folder}" if kind is not None else f"--resume {folder}"


def check_kind(recipe: Mapping[str, Any], run: str | Path, wanted: Kind) -> None:
    """Raise `ConfigError` where the run in a folder, saved with this recipe, is one that another command made."""
    kind = kind_of(recipe)
    if kind is not None and kind != wanted:
        raise ConfigError(
            f"The run in {run} was made by {COMMANDS[kind]}, not by {COMMANDS[wanted]}. Go on with: "
            f"{goes_on_by(kind, run)}."
        )

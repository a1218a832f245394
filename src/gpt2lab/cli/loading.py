"""Load a model for a command, with a progress bar while it is fetched and while it is packed."""

from __future__ import annotations

import os

from gpt2lab.cli.progress import ProgressBar
from gpt2lab.lm.model import LanguageModel


def expanded(folder: str | None) -> str | None:
    """Return a folder's name with ~ and $VARIABLES replaced, as OpenAI's --models_dir has it."""
    return None if folder is None else os.path.expanduser(os.path.expandvars(folder))  # noqa: PTH111 - a name may be relative


def load_model(
    name: str,
    *,
    models_dir: str | None,
    offline: bool,
    precision: str,
    device: str,
    threads: int | None,
) -> LanguageModel:
    """Load a model as `LanguageModel.load` does."""
    fetching, packing = (ProgressBar(f"{doing} {name}", unit="bytes") for doing in ("fetching", "packing"))

    def packed(done: int, total: int) -> None:
        fetching.close()
        packing.update(done, total)

    with fetching, packing:
        return LanguageModel.load(
            name,
            precision=precision,
            device=device,
            threads=threads,
            models_dir=expanded(models_dir),
            offline=offline,
            progress=fetching.update,
            packing=packed,
        )

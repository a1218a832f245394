"""Which models there are and where: the embedded one, the four published sizes, and what lies in a models folder.

Looks at the disk only, never at the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt2lab.checkpoint import hub
from gpt2lab.checkpoint.downloads import default_models_dir, repo_of
from gpt2lab.checkpoint.hf import CONFIG, is_hf_folder, read_config
from gpt2lab.checkpoint.openai import read_sizes
from gpt2lab.checkpoint.resolve import EMBEDDED, in_models_dir
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import ALIASES, PRESETS, GPT2Config, canonical_name

Where = Literal["embedded", "models folder", "downloaded", "not here"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One row of the list: `where` it is, its `folder` and `bytes` there (None and 0 when it is not here)."""

    name: str
    aliases: tuple[str, ...]
    parameters: int
    n_layer: int
    n_embd: int
    n_head: int
    where: Where
    folder: Path | None
    bytes: int


def known_models(models_dir: str | Path | None = None) -> list[KnownModel]:
    """Return the embedded models, the published sizes, then every other model in `models_dir`.

    Raises `CheckpointError` where that is no folder.
    """
    place = Path(models_dir).expanduser() if models_dir is not None else None
    if place is not None and not place.is_dir():
        what = "is a file" if place.exists() else "does not exist"
        raise CheckpointError(f"{models_dir} {what}; --models-dir is the folder in which models lie, each in its own.")
    return list(_rows(place))


def _rows(models_dir: Path | None) -> Iterator[KnownModel]:
    for name, embedded in EMBEDDED.items():
        if is_hf_folder(embedded):
            yield _row(name, read_config(embedded / CONFIG), "embedded", embedded)
    for name, config in PRESETS.items():
        where, folder = _find(name, models_dir)
        yield _row(name, config, where, folder)
    for folder in sorted(models_dir.iterdir()) if models_dir is not None else ():
        if canonical_name(folder.name) in PRESETS or not folder.is_dir():
            continue
        try:  # a broken folder is no model that could be listed
            config = read_config(folder / CONFIG) if is_hf_folder(folder) else read_sizes(folder)
        except CheckpointError:
            continue
        yield _row(folder.name, config, "models folder", folder)


def _find(name: str, models_dir: Path | None) -> tuple[Where, Path | None]:
    if (folder := in_models_dir(name, models_dir)) is not None:
        return "models folder", folder
    folder = in_models_dir(name, default_models_dir()) or hub.cached(repo_of(name))
    return ("downloaded", folder) if folder is not None else ("not here", None)


def _row(name: str, config: GPT2Config, where: Where, folder: Path | None) -> KnownModel:
    return KnownModel(
        name=name,
        aliases=tuple(alias for alias, hub_name in ALIASES.items() if hub_name == name),
        parameters=config.parameter_count(),
        n_layer=config.n_layer,
        n_embd=config.n_embd,
        n_head=config.n_head,
        where=where,
        folder=folder,
        bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder is not None else 0,
    )

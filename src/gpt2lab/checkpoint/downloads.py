"""Fetch published models: from the Hugging Face hub, or in OpenAI's own layout from where OpenAI put them.

`download` never fetches what is there already and complete. Sources: huggingface.co; github.com/openai/gpt-2,
download_model.py (the seven files and their address).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gpt2lab.checkpoint import hub
from gpt2lab.checkpoint.hf import is_hf_folder
from gpt2lab.checkpoint.http_fetch import ask, check_space, fetch
from gpt2lab.checkpoint.hub import Progress, is_hub_id
from gpt2lab.checkpoint.tf_bundle import Bundle
from gpt2lab.errors import CheckpointError, DownloadError, nearest
from gpt2lab.files import cache_folder
from gpt2lab.model.config import ALIASES, PRESETS, canonical_name

OPENAI_URL = "https://openaipublic.blob.core.windows.net/gpt-2/models"
"""Where OpenAI's folders 124M, 355M, 774M and 1558M lie; $GPT2LAB_OPENAI_URL or an argument replaces it."""

OPENAI_NAMES = {"gpt2": "124M", "gpt2-medium": "355M", "gpt2-large": "774M", "gpt2-xl": "1558M"}
"""Hub name of each published size -> the name of OpenAI's folder."""

OPENAI_FILES = (
    "model.ckpt.data-00000-of-00001",
    *("checkpoint", "encoder.json", "hparams.json", "model.ckpt.index", "model.ckpt.meta", "vocab.bpe"),
)

_SHA256 = {  # of the vocabulary, which is the same in all four folders
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


def download(
    name: str,
    *,
    models_dir: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    endpoint: str | None = None,
    source: Literal["hub", "openai"] = "hub",
) -> Path:
    """Fetch a published size or a hub id and return the folder that holds it.

    From the hub it lands in the hub's cache, or in `models_dir`/`name`; from "openai" in `models_dir`/124M (and so
    on), by default under gpt2lab's cache. `endpoint` replaces the address of the source, `progress(done, total)` counts
    bytes. With `offline`, only what is here already is returned. Every failure is a `DownloadError`.
    """
    if source == "openai":
        return download_openai(name, models_dir=models_dir, offline=offline, progress=progress, endpoint=endpoint)
    if source != "hub":
        raise DownloadError(f"source = {source!r} is not one of hub, openai.")
    repo = repo_of(name)
    folder = Path(models_dir) / canonical_name(name) if models_dir is not None else None
    if offline:
        here = folder if folder is not None and is_hf_folder(folder) else hub.cached(repo)
        if here is None:
            raise DownloadError(
                f"{name!r} is not on this machine, and fetching it was not allowed (offline). "
                f"Where there is a network: gpt2lab download {name}"
            )
        return here
    return hub.fetch_repo(repo, folder=folder, progress=progress, endpoint=endpoint)


def repo_of(name: str) -> str:
    """Return the hub id of a published size or of what is a hub id already; anything else is a `DownloadError`."""
    known = canonical_name(name)
    if known in PRESETS:
        return f"openai-community/{known}"
    if not is_hub_id(name) or "/" not in name:
        allowed = [*PRESETS, *ALIASES]
        raise DownloadError(
            f"Unknown model {name!r}.{nearest(name, allowed)} It can be {', '.join(PRESETS)} or a hub id USER/NAME."
        )
    return name


def download_openai(
    name: str,
    *,
    models_dir: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch the seven files of a published size in OpenAI's layout; see `download`."""
    known = canonical_name(name)
    if known not in OPENAI_NAMES:
        allowed = [*OPENAI_NAMES, *OPENAI_NAMES.values(), *ALIASES]
        raise DownloadError(
            f"OpenAI published no {name!r}.{nearest(name, allowed)} There are {', '.join(OPENAI_NAMES.values())}."
        )
    folder = (Path(models_dir) if models_dir is not None else default_models_dir()) / OPENAI_NAMES[known]
    if all((folder / file).is_file() for file in OPENAI_FILES):
        return _complete(folder)
    if offline:
        raise DownloadError(f"{name!r} is not in {folder}, and fetching it was not allowed (offline).")
    base = (endpoint or os.environ.get("GPT2LAB_OPENAI_URL") or OPENAI_URL).rstrip("/")
    missing = [file for file in OPENAI_FILES if not (folder / file).is_file()]
    remotes = {file: ask(f"{base}/{OPENAI_NAMES[known]}/{file}") for file in missing}
    here = {file: part.stat().st_size for file, r in remotes.items() if (part := r.part_of(folder / file)).is_file()}
    total = sum(r.size for r in remotes.values())
    check_space(folder, total - sum(here.values()))
    report = _counter(progress, total)
    for file, remote in remotes.items():
        fetch(remote, folder / file, report=report, sha256=_SHA256.get(file))
    return _complete(folder)


def default_models_dir() -> Path:
    """Return where downloads in OpenAI's layout go when no folder is named."""
    return cache_folder() / "models"


def _complete(folder: Path) -> Path:
    """Return `folder` when its checkpoint is whole; otherwise remove the data file, so that it is fetched again."""
    try:
        shortfall = Bundle(folder / "model.ckpt").shortfall()
    except CheckpointError as error:
        (folder / "model.ckpt.index").unlink()
        raise DownloadError(f"{error} It was removed; fetch it again.") from None
    if shortfall:
        (folder / OPENAI_FILES[0]).unlink()
        raise DownloadError(f"{shortfall} It was removed.")
    return folder


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def report(further: int) -> None:
        nonlocal done
        done += further
        if progress is not None:
            progress(done, total)

    return report

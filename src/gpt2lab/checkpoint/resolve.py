"""From what a user calls a model to its checkpoint.

Looked for in this order:
  1. a folder of that name, or of another name of the same size (124M for gpt2), in `models_dir`;
  2. a model inside the package: "tiny" of English, "chorales" of music;
  3. a path: a Hugging Face folder, an OpenAI folder, a .gguf file, or a run folder (what it
     holds under best, last or model);
  4. a published size: in OpenAI's layout where `download` puts it, in the hub's cache, on the hub;
  5. a hub id USER/NAME: in the hub's cache, on the hub.
A local path is taken before the hub, and the hub's cache before the network. A format's reader is imported when it is
met.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpt2lab.checkpoint.hf import CONFIG, WEIGHTS, is_hf_folder, load_hf
from gpt2lab.checkpoint.sniff import oddity
from gpt2lab.checkpoint.tensors import Checkpoint
from gpt2lab.errors import CheckpointError, nearest
from gpt2lab.model.config import ALIASES, PRESETS, canonical_name

if TYPE_CHECKING:
    from gpt2lab.checkpoint.hub import Progress

TINY, CHORALES = "tiny", "chorales"
EMBEDDED = {name: Path(__file__).parents[1] / "pretrained" / name for name in (TINY, CHORALES)}
"""The models that ship inside the package: one writes English, one harmony in four voices."""

RUN_PARTS = ("best", "last", "model")
"""Where a training run keeps a model in its folder, in the order in which they are looked for."""


def load(
    name_or_path: str | Path,
    *,
    models_dir: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Checkpoint:
    """Load any GPT-2: a name, a folder, a .gguf file or a hub id (the order is at the top of this file).

    Only published sizes and hub ids that are not on this machine yet use the network, never when `offline`;
    `progress(done, total)` counts the bytes fetched. Raises `CheckpointError` (or its `DownloadError`) in one sentence.
    """
    name = str(name_or_path)
    if not name.strip():
        raise CheckpointError(f"The name of the model is empty. {_allowed()}")
    if not isinstance(name_or_path, Path):
        if (folder := in_models_dir(name, models_dir)) is not None:
            return _load_folder(folder)
        if name in EMBEDDED:
            return load_hf(EMBEDDED[name])
    path = Path(name_or_path).expanduser()
    published = canonical_name(name) in PRESETS and not isinstance(name_or_path, Path)
    if path.is_dir() and (not published or _holds_model(path)):
        return _load_folder(path)
    if path.is_file():
        return _load_file(path)
    if published or _may_be_on_hub(name_or_path):
        return _load_published(name, models_dir, offline, progress)
    if (
        isinstance(name_or_path, Path)
        or path.is_absolute()
        or path.suffix
        or "/" in name
        or name.startswith(("~", "."))
    ):
        raise CheckpointError(f"{name} does not exist. {_allowed()}")
    raise CheckpointError(f"Unknown model {name!r}.{nearest(name, [*EMBEDDED, *PRESETS, *ALIASES])} {_allowed()}")


def in_models_dir(name: str, models_dir: str | Path | None) -> Path | None:
    """Return the folder in `models_dir` that holds the model `name` under any of its names, or None."""
    if models_dir is None or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    known = canonical_name(name)
    names = [name, known, *(alias for alias, hub in ALIASES.items() if hub == known)]
    return next((f for n in names if _holds_model(f := Path(models_dir).expanduser() / n)), None)


def _holds_model(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if is_hf_folder(folder) or any(is_hf_folder(folder / part) for part in RUN_PARTS):
        return True
    from gpt2lab.checkpoint.openai import is_openai_folder

    return is_openai_folder(folder)


def _load_folder(folder: Path) -> Checkpoint:
    if is_hf_folder(folder):
        return load_hf(folder)
    from gpt2lab.checkpoint.openai import is_openai_folder, load_openai

    if is_openai_folder(folder):
        return load_openai(folder)
    for part in RUN_PARTS:
        if is_hf_folder(folder / part):
            return load_hf(folder / part)
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        from gpt2lab.checkpoint.gguf import load_gguf

        return load_gguf(files[0])
    if (folder / CONFIG).is_file():
        return load_hf(folder)  # says which weights it looked for
    raise CheckpointError(
        f"{folder} holds no model: neither {CONFIG} with {WEIGHTS[0]} nor hparams.json with a TensorFlow checkpoint."
    )


def _load_file(path: Path) -> Checkpoint:
    from gpt2lab.checkpoint.gguf import load_gguf
    from gpt2lab.checkpoint.gguf_file import MAGIC

    with path.open("rb") as f:
        if f.read(4) == MAGIC:
            return load_gguf(path)
    if path.name in (CONFIG, *WEIGHTS):
        raise CheckpointError(f"{path} is one file of a model; give its folder, {path.parent}.")
    raise CheckpointError(f"{path} is {oddity(path) or 'not a GGUF file'}; a model is a folder or a .gguf file.")


def _may_be_on_hub(given: str | Path) -> bool:
    if not isinstance(given, str) or given.count("/") != 1 or given.endswith(".gguf"):
        return False
    from gpt2lab.checkpoint.hub import is_hub_id  # here: a model on this machine needs no network code

    return is_hub_id(given)


def _load_published(name: str, models_dir: str | Path | None, offline: bool, progress: Progress | None) -> Checkpoint:
    from gpt2lab.checkpoint import hub  # here: a model on this machine needs no network code
    from gpt2lab.checkpoint.downloads import default_models_dir, download, repo_of

    if (folder := in_models_dir(name, default_models_dir())) is not None:
        return _load_folder(folder)
    if (folder := hub.cached(repo_of(name))) is not None:
        return load_hf(folder)
    return load_hf(download(name, models_dir=models_dir, offline=offline, progress=progress))


def _allowed() -> str:
    return f"A model is {', '.join([*EMBEDDED, *PRESETS])}, a folder, a .gguf file or a hub id USER/NAME."

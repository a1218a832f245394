"""One checkpoint format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gpt2lab.checkpoint.gguf import save_gguf
from gpt2lab.checkpoint.hf import save_hf
from gpt2lab.checkpoint.hub import Progress
from gpt2lab.checkpoint.resolve import load
from gpt2lab.errors import CheckpointError, nearest

FORMATS = ("hf", "gguf")

_HF = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_GGUF = {long: short for short, long in _HF.items()}


def convert(
    src: str | Path,
    dst: str | Path,
    to: Literal["hf", "gguf"] = "hf",
    *,
    dtype: str | None = None,
    overwrite: bool = False,
    models_dir: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Load `src` (anything `load` takes) and write it to `dst`: a folder for "hf", a file for "gguf".

    `dtype` is float32 (or f32), float16, bfloat16, and for GGUF also q8_0 and q4_0; float32 when absent. An existing
    `dst` is an error unless `overwrite`. Returns `dst`.
    """
    if to not in FORMATS:
        raise CheckpointError(f"to = {to!r} is not one of {', '.join(FORMATS)}.{nearest(to, FORMATS)}")
    if Path(dst).exists() and not overwrite:
        raise CheckpointError(
            f"{dst} exists already; choose another name, remove it first, or ask for it to be overwritten."
        )
    if to == "gguf" and Path(dst).is_dir():
        raise CheckpointError(f"{dst} is a folder; a GGUF model is one file.")
    checkpoint = load(src, models_dir=models_dir, offline=offline, progress=progress)
    chosen = dtype or "float32"
    if to == "gguf":
        return save_gguf(dst, checkpoint, dtype=_GGUF.get(chosen, chosen))
    return save_hf(
        dst,
        checkpoint.config,
        checkpoint.tensors,
        checkpoint.tokenizer,
        checkpoint.generation,
        dtype=_HF.get(chosen, chosen),
        overwrite=overwrite,
    )

"""Checkpoints in every format in use: Hugging Face folders, OpenAI's TensorFlow folders, GGUF files, downloads.

All of them are read as one `Checkpoint`: a configuration and float32 arrays, read when used, under transformers' names.
Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt2lab.checkpoint.conversion import convert
    from gpt2lab.checkpoint.downloads import download, download_openai
    from gpt2lab.checkpoint.gguf import load_gguf, save_gguf
    from gpt2lab.checkpoint.hf import load_hf, save_hf
    from gpt2lab.checkpoint.models import KnownModel, known_models
    from gpt2lab.checkpoint.openai import load_openai
    from gpt2lab.checkpoint.resolve import load
    from gpt2lab.checkpoint.tensors import Checkpoint
    from gpt2lab.checkpoint.tf_bundle import Bundle

_HOME = {
    "Bundle": "tf_bundle",
    "Checkpoint": "tensors",
    "KnownModel": "models",
    "convert": "conversion",
    "download": "downloads",
    "download_openai": "downloads",
    "known_models": "models",
    "load": "resolve",
    "load_gguf": "gguf",
    "load_hf": "hf",
    "load_openai": "openai",
    "save_gguf": "gguf",
    "save_hf": "hf",
}

__all__ = [
    "Bundle",
    "Checkpoint",
    "KnownModel",
    "convert",
    "download",
    "download_openai",
    "known_models",
    "load",
    "load_gguf",
    "load_hf",
    "load_openai",
    "save_gguf",
    "save_hf",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

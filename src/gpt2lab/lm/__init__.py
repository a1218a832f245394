"""The text façade: a model and its tokenizer as one thing that writes, reads and measures text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt2lab.lm.model import LanguageModel
    from gpt2lab.lm.pipelines import pipeline
    from gpt2lab.lm.results import Generation, Score
    from gpt2lab.lm.seeds import set_seed

_HOME = {
    "Generation": "results",
    "LanguageModel": "model",
    "Score": "results",
    "pipeline": "pipelines",
    "set_seed": "seeds",
}

__all__ = ["Generation", "LanguageModel", "Score", "pipeline", "set_seed"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

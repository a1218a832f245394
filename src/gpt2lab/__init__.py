"""gpt2lab: the whole GPT-2 system in one package.

Nothing is imported until it is used, so that `import gpt2lab` is instant.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: importing that takes long enough for a Ctrl-C to fall into it
if TYPE_CHECKING:
    from typing import Any

    from gpt2lab.engine.params import SamplingParams
    from gpt2lab.errors import Gpt2labError
    from gpt2lab.lm import LanguageModel, pipeline, set_seed
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.tokenizer import Tokenizer

__version__ = "0.1.0"

_HOME = {
    "LanguageModel": "gpt2lab.lm",
    "pipeline": "gpt2lab.lm",
    "set_seed": "gpt2lab.lm",
    "SamplingParams": "gpt2lab.engine.params",
    "GPT2Config": "gpt2lab.model.config",
    "Tokenizer": "gpt2lab.tokenizer",
    "Gpt2labError": "gpt2lab.errors",
}

__all__ = [
    "GPT2Config",
    "Gpt2labError",
    "LanguageModel",
    "SamplingParams",
    "Tokenizer",
    "__version__",
    "pipeline",
    "set_seed",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'gpt2lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The table of tasks and presets: a task's module is imported when the task is asked for.

A module that the table names has `PRESETS`: for each of its tasks the settings by preset, the usual one first; and a
function `make(name, preset, place, settings)`, which returns the task called `name` and raises `ConfigError` for a
preset or a setting that the task does not have.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import ConfigError, nearest
from gpt2lab.evals.place import Place
from gpt2lab.evals.task import Task

PRESETS = {
    "paper": "as the GPT-2 paper describes it (what it leaves open is said in docs/evaluation.md)",
    "hf": "the recipe of transformers' documentation of perplexity",
    "lm-eval": "EleutherAI's lm-eval 0.4",
    "llm.c": "the script of karpathy/llm.c for HellaSwag",
    "written": "the model writes its answer, counted as SQuAD counts it (WebQuestions)",
    "megatron": "the zero-shot evaluation of NVIDIA's Megatron-LM",
}
"""Names of the protocols; not every task has each."""

TASKS: dict[str, tuple[str, str]] = {
    "lambada": ("lambada", "LAMBADA, OpenAI's plain text: the last word of a passage"),
    "lambada_original": ("lambada", "LAMBADA as its authors published it, in tokens"),
    "cbt-cn": ("cbt", "Children's Book Test, common nouns: which of ten words is left out"),
    "cbt-ne": ("cbt", "Children's Book Test, named entities"),
    "wikitext2": ("perplexity", "WikiText-2 test"),
    "ptb": ("perplexity", "Penn Treebank test, Mikolov's version with <unk>"),
    "enwik8": ("perplexity", "enwik8: the last 5 MB of the first 100 MB of Wikipedia, bits per byte"),
    "text8": ("perplexity", "text8: the same in letters and blanks alone, bits per character"),
    "wikitext103": ("perplexity", "WikiText-103 test"),
    "1bw": ("perplexity", "One Billion Word Benchmark, held-out sentences"),
    "wsc273": ("choices", "Winograd schemas: which of two the pronoun means"),
    "hellaswag": ("choices", "HellaSwag: which of four endings"),
    "storycloze": ("choices", "Story Cloze 2016: which of two endings"),
    "coqa": ("conversations", "CoQA: questions about a text in a conversation, F1"),
    "cnndm": ("summaries", "CNN/DailyMail, summarised behind TL;DR:, ROUGE"),
    "wmt14-en-fr": ("translation", "WMT14 English to French, BLEU"),
    "wmt14-fr-en": ("translation", "WMT14 French to English, BLEU"),
    "nq": ("questions", "Natural Questions without a text: exact match, and how confidence fits"),
    "webqs": ("questions", "WebQuestions without a text: exact match"),
}
"""Name of each task -> (its module in gpt2lab.evals, what it is in one line)."""

S = TypeVar("S")


def load_task(
    name: str, *, preset: str | None = None, place: Place | None = None, settings: Mapping[str, Any] | None = None
) -> Task[Any]:
    """Return the task called `name`, with the settings of `preset` (None: its first one) and `settings` over them.

    `place` says where its data lies. Raises `ConfigError`.
    """
    module = _module(name)
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"Unknown preset {preset!r}.{nearest(preset, PRESETS)} Presets: {', '.join(PRESETS)}.")
    task: Task[Any] = module.make(name, preset, place or Place(), dict(settings or {}))
    return task


def presets_of(name: str) -> list[str]:
    """Return the presets that a task has, the usual one first. Raises `ConfigError`."""
    return list(_module(name).PRESETS[name])


def _module(name: str) -> Any:
    if name not in TASKS:
        raise ConfigError(f"Unknown task {name!r}.{nearest(name, TASKS)} Tasks: {', '.join(TASKS)}.")
    return importlib.import_module(f"gpt2lab.evals.{TASKS[name][0]}")


def chosen(name: str, presets: Mapping[str, S], preset: str | None, settings: Mapping[str, Any]) -> tuple[str, S]:
    """Return the preset's name and its settings with `settings` over them: what `make` does first.

    `presets` holds a frozen dataclass for each preset that the task has, the usual one first.
    """
    wanted = next(iter(presets)) if preset is None else preset
    if wanted not in presets:
        raise ConfigError(f"{name} has no preset {wanted!r}; it has {', '.join(presets)}.")
    base = presets[wanted]
    return wanted, from_dict(type(base), {**to_dict(base), **settings}, where=name)

"""`pipeline("text-generation", model="gpt2")`: the call of GPT-2's model card, with its distribution and its answer.

The card's samples were drawn at temperature 1 from the 50 likeliest tokens, and a text was at most 50 tokens long,
prompt included, unless asked otherwise; so are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt2lab.engine.params import SamplingParams, check_names
from gpt2lab.errors import RequestError, nearest
from gpt2lab.lm.model import LanguageModel

TASKS = ("text-generation", "feature-extraction")
_DEFAULT_MAX_LENGTH = 50
_WITHOUT_EFFECT = ("truncation", "padding", "pad_token_id", "clean_up_tokenization_spaces")
"""Options of transformers' pipeline that are accepted and change nothing here: ragged batches need no padding, long
prompts are never cut short of the window, and text is never cleaned up."""
_OPTIONS = ("num_return_sequences", "max_length", "return_full_text", "prefix", "do_sample", "stop_strings",
            "stop_sequence", "eos_token_id", "seed", "batch_size", *_WITHOUT_EFFECT)  # fmt: skip


def pipeline(task: str, model: str | LanguageModel = "tiny", **load_options: Any) -> TextGeneration | FeatureExtraction:
    """Return a callable for `task` ("text-generation" or "feature-extraction") with a model by name, path or itself.

    `load_options` are those of `LanguageModel.load`.
    """
    if task not in TASKS:
        raise RequestError(f"Unknown task {task!r}.{nearest(task, TASKS)} Known tasks: {', '.join(TASKS)}.")
    check_names(load_options, ("precision", "device", "threads", "models_dir", "offline"))
    lm = model if isinstance(model, LanguageModel) else LanguageModel.load(model, **load_options)
    return TextGeneration(lm) if task == "text-generation" else FeatureExtraction(lm)


class TextGeneration:
    """Continues texts."""

    def __init__(self, lm: LanguageModel) -> None:
        self.model = lm

    def __call__(self, text: str | Sequence[str], **options: Any) -> list[Any]:
        """Return [{"generated_text": prompt and continuation}, …] for a text, a list of such lists for several.

        Options: max_length (prompt and new tokens; 50 if no length is given), max_new_tokens, num_return_sequences,
        return_full_text, do_sample, stop_strings, prefix, eos_token_id, seed, and every field of `SamplingParams`.
        """
        check_names(options, [*SamplingParams.names(), *_OPTIONS])
        given = {k: v for k, v in options.items() if k not in _WITHOUT_EFFECT}
        full, prefix = given.pop("return_full_text", True), given.pop("prefix", "") or ""
        stops: list[str] = []
        for name in ("stop_strings", "stop_sequence"):
            value = given.pop(name, None) or []
            stops += [value] if isinstance(value, str) else list(value)
        if not given.pop("do_sample", True) and "num_beams" not in given:
            given["temperature"] = 0.0
        end = given.pop("eos_token_id", None)
        if end is not None:
            given["stop_ids"] = [end] if isinstance(end, int) else list(end)
        if "max_length" not in given and "max_new_tokens" not in given:
            given["max_length"] = _DEFAULT_MAX_LENGTH
        if self.model.defaults.top_k == 0:
            given.setdefault("top_k", 50)
        several = not isinstance(text, str)
        prompts = [prefix + t for t in ([text] if isinstance(text, str) else text)]
        groups = self.model.generate(prompts, stop=stops, **given)
        answers = [
            [{"generated_text": (prompt if full else "") + g.text} for g in group]
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        return answers if several else answers[0]


class FeatureExtraction:
    """Hidden states of the last layer."""

    def __init__(self, lm: LanguageModel) -> None:
        self.model = lm

    def __call__(self, text: str | Sequence[str]) -> list[Any]:
        """Return nested lists [1][n tokens][n_embd] for a text, a list of those for several."""
        answers = [
            [self.model.features(t, pooling="none").tolist()] for t in ([text] if isinstance(text, str) else text)
        ]
        return answers[0] if isinstance(text, str) else answers

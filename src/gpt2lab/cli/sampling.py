"""From the options of a command line to those of `LanguageModel.generate`. Knows no terminal and no files."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpt2lab.config import to_dict
from gpt2lab.errors import RequestError
from gpt2lab.lm.model import LanguageModel

UNTIL_END_WINDOWS = 64
"""With "until the end token", a text that never ends is cut after this many windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to sample. None means what the model's own files say, else what OpenAI's scripts did.

    Fields are those of `SamplingParams`, under its names; `stop` and `bad_words` are texts. `length` None or 0 means
    half a window after a prompt and a whole one without.
    """

    length: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    top_p_rule: str | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    min_new_tokens: int | None = None
    max_time: float | None = None
    prompt_lookup_num_tokens: int | None = None
    window: str | None = None
    stop: Sequence[str] = field(default=())
    bad_words: Sequence[str] = field(default=())
    until_end: bool = False

    @property
    def beams(self) -> bool:
        """Whether this is a beam search."""
        return (self.num_beams or 1) > 1

    @property
    def deterministic(self) -> bool:
        """Whether no random choice is made, so that the seed does not matter."""
        return self.beams or self.temperature == 0

    def params(self, lm: LanguageModel, *, conditional: bool) -> dict[str, Any]:
        """Return what is given as fields of `SamplingParams`, with the length worked out for this model."""
        values = {name: getattr(self, name) for name in _AS_THEY_ARE if getattr(self, name) is not None}
        if self.top_p is not None:
            values["top_p"] = self.top_p or 1.0  # 0 is "off", as gpt-2-simple has it
        values["max_new_tokens"] = self._length(lm, conditional)
        return values

    def options(self, lm: LanguageModel, *, conditional: bool) -> dict[str, Any]:
        """Return every option for `generate` and `stream`."""
        return {**self.params(lm, conditional=conditional), "stop": list(self.stop), "bad_words": list(self.bad_words)}

    def settings(self, lm: LanguageModel, *, conditional: bool) -> dict[str, Any]:
        """Return all that decides a text but the model, the prompt and the seed, ready for JSON."""
        resolved = to_dict(lm.defaults.replaced(self.params(lm, conditional=conditional)))
        del resolved["seed"]
        return {**resolved, "stop": list(self.stop), "bad_words": list(self.bad_words)}

    def _length(self, lm: LanguageModel, conditional: bool) -> int:
        window = lm.config.n_positions
        if self.until_end:
            if not lm.defaults.stop_ids:
                raise RequestError("This model has no end token, so a text cannot run until it; give --length instead.")
            return self.length or UNTIL_END_WINDOWS * window
        if not self.length:
            return max(window // 2, 1) if conditional else window
        if self.window == "strict" and self.length > window:
            raise RequestError(f"Can't get samples longer than window size: {window}")
        return self.length


_AS_THEY_ARE = ("temperature", "top_k", "top_p_rule", "min_p", "typical_p", "repetition_penalty",
                "no_repeat_ngram_size", "num_beams", "length_penalty", "min_new_tokens", "max_time",
                "prompt_lookup_num_tokens", "window")  # fmt: skip


def new_seed() -> int:
    """Return a random seed that is short enough to be typed again."""
    return secrets.randbits(32)

"""What to generate and how: one frozen, validated set of parameters.

Names and meanings are those of transformers' GenerationConfig where it has the setting.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gpt2lab.errors import RequestError, nearest

TopPRule = Literal["inclusive", "openai"]
Window = Literal["half", "recompute", "strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are chosen and when to stop. Raises `RequestError` when a value is impossible.

    max_new_tokens, min_new_tokens: bounds on the number of generated tokens.
    temperature: divides the logits; 0 takes the most likely token at every step.
    top_k: keep exactly the k most likely tokens (0: all; among equals lower ids first).
    top_p: keep the fewest most likely tokens that hold this mass (1: all); `top_p_rule` "inclusive" keeps the token
        that crosses it, as transformers does, "openai" drops it, as OpenAI's released sampler does.
    min_p: keep tokens at least this fraction as likely as the most likely one.
    typical_p: locally typical sampling (Meister et al. 2023).
    repetition_penalty: divides positive and multiplies negative logits of tokens seen so far (Keskar et al. 2019).
    no_repeat_ngram_size: never generate an n-gram of this size twice.
    bad_words_ids: id sequences that are never completed; logit_bias: id -> added to its logit.
    stop_ids: ids that end a sequence; the default is the model's end-of-text id, () never stops.
    num_beams, length_penalty, early_stopping: beam search when num_beams > 1.
    seed: with the sample's number and the token's position it decides every random choice.
    max_time: seconds after which no further token is begun.
    top_logprobs: report this many most likely tokens at every step.
    prompt_lookup_num_tokens: guess up to this many tokens at a time from earlier places of the text that read alike
        (Saxena 2023) and keep those that are chosen anyway: it changes no token, only the time.
    window: what happens past n_positions: "half" restarts on the last half of the window, "recompute" moves by one
        token a step (slow), "strict" ends the sequence there.
    """

    max_new_tokens: int = 256
    min_new_tokens: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    top_p_rule: TopPRule = "inclusive"
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: Sequence[Sequence[int]] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop_ids: Sequence[int] | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False
    seed: int = 0
    max_time: float | None = None
    top_logprobs: int = 0
    prompt_lookup_num_tokens: int = 0
    window: Window = "half"

    def __post_init__(self) -> None:
        for name, low in (("max_new_tokens", 0), ("min_new_tokens", 0), ("top_k", 0), ("no_repeat_ngram_size", 0),
                          ("num_beams", 1), ("top_logprobs", 0), ("prompt_lookup_num_tokens", 0)):  # fmt: skip
            check_whole(name, getattr(self, name), low)
        check_whole("seed", self.seed, 0)
        if self.seed >= 2**64:
            raise RequestError(f"seed = {self.seed} must be below 2**64.")
        self._real("temperature", lambda v: v >= 0, "0 (always the most likely token) or a positive number")
        self._real("top_p", lambda v: 0 < v <= 1, "in (0, 1]; 1 keeps every token")
        self._real("min_p", lambda v: 0 <= v <= 1, "in [0, 1]; 0 keeps every token")
        self._real("typical_p", lambda v: 0 < v <= 1, "in (0, 1]; 1 keeps every token")
        self._real("repetition_penalty", lambda v: v > 0, "positive; 1 leaves the logits as they are")
        self._real("length_penalty", lambda v: True, "a number")
        if self.max_time is not None:
            self._real("max_time", lambda v: v > 0, "a positive number of seconds")
        if self.min_new_tokens > self.max_new_tokens:
            raise RequestError(
                f"min_new_tokens = {self.min_new_tokens} is more than max_new_tokens = {self.max_new_tokens}."
            )
        for name, allowed in (("top_p_rule", get_args(TopPRule)), ("window", get_args(Window))):
            if getattr(self, name) not in allowed:
                raise RequestError(f"{name} = {getattr(self, name)!r} is not one of {', '.join(map(repr, allowed))}.")
        if any(len(word) == 0 for word in self.bad_words_ids):
            raise RequestError("bad_words_ids holds an empty sequence; every banned word needs at least one token.")
        for token, bias in self.logit_bias.items():
            if isinstance(bias, bool) or not isinstance(bias, (int, float)) or math.isnan(bias) or bias == math.inf:
                raise RequestError(f"logit_bias of token {token} = {bias!r} must be a number; -inf bans the token.")

    def _real(self, name: str, allowed: Any, description: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not allowed(value):
            raise RequestError(f"{name} = {value!r} must be {description}.")

    def check_ids(self, vocab_size: int) -> None:
        """Raise `RequestError` if a token id named here is not one of the model's."""
        for name, ids in (
            ("bad_words_ids", [i for word in self.bad_words_ids for i in word]),
            ("logit_bias", list(self.logit_bias)),
            ("stop_ids", list(self.stop_ids or ())),
        ):
            for token in ids:
                if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocab_size:
                    raise RequestError(f"{name} names the token {token!r}; the model's ids are 0 to {vocab_size - 1}.")

    def stride(self, n_positions: int) -> int:
        """Return by how many tokens the window moves when it is full; 0 ends the sequence instead."""
        if self.window == "strict":
            return 0
        return max(n_positions - n_positions // 2, 1) if self.window == "half" else 1

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all parameters."""
        return [f.name for f in dataclasses.fields(cls)]

    def replaced(self, values: Mapping[str, Any]) -> SamplingParams:
        """Return a copy with `values` in place; an unknown name is a `RequestError` that names the nearest one."""
        check_names(values, self.names())
        return dataclasses.replace(self, **values)


def check_whole(name: str, value: Any, low: int) -> None:
    """Raise `RequestError` unless `value`, called `name`, is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise RequestError(f"{name} = {value!r} must be a whole number of at least {low}.")


def check_names(values: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise `RequestError` for a key of `values` that is not in `known`, naming the nearest that is."""
    for name in values:
        if name not in known:
            raise RequestError(f"Unknown option {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}.")

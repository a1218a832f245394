"""Writing targets with a model that has learnt pairs, on whichever engine it runs: beams or the likeliest token.

Knows a `LanguageModel`, not files of pairs. Decoding is the engine's beam search (engine/beam.py); no target can hold
the delimiter or another special token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab import checkpoint
from gpt2lab.apps.seq2seq.codec import Codec
from gpt2lab.engine.params import check_whole
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.model import LanguageModel

PORTION = 16
"""Sources that are decoded at once without beams."""


@dataclass(frozen=True, slots=True)
class Written:
    """One target.

    logprob: the model's own, of all its tokens, in nats. complete: whether the end came; cut: tokens at the end of the
    source that did not fit the window.
    """

    source: str
    text: str
    token_ids: list[int]
    logprob: float
    complete: bool
    cut: int


@dataclass(frozen=True, slots=True)
class PairModel:
    """A model that has learnt pairs, with the beams and the length penalty it decodes with unless told otherwise."""

    lm: LanguageModel
    codec: Codec
    beams: int = 1
    length_penalty: float = 1.0

    @classmethod
    def of(cls, lm: LanguageModel, generation: Mapping[str, Any]) -> PairModel:
        """Return what a model and its generation_config.json make. Raises `CheckpointError` when it knows no pairs."""
        if lm.tokenizer is None:
            raise CheckpointError(f"{lm.source} has no tokenizer, so it can read no text.")
        codec = Codec(lm.tokenizer, window=lm.config.n_positions, room=generation.get("max_new_tokens"))
        return cls(lm, codec, generation.get("num_beams", 1), generation.get("length_penalty", 1.0))

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int | None = None,
    ) -> PairModel:
        """Load a run of `gpt2lab seq2seq train`, or the folder of its model, as `LanguageModel.load` does."""
        lm = LanguageModel.load(name_or_path, precision=precision, device=device, threads=threads)
        return cls.of(lm, checkpoint.load(name_or_path).generation)

    def write(
        self,
        sources: Sequence[str],
        *,
        beams: int | None = None,
        length_penalty: float | None = None,
        length: int | None = None,
    ) -> Iterator[Written]:
        """Yield the target of each source, in order; that of an empty source is empty.

        beams: the width of the search, 1 takes the likeliest token at every step. length_penalty: the power of the
        length that a text's log-probability is divided by, so above 0 favours longer texts. length: most new tokens
        (None: what the window keeps free for a target). Raises `RequestError` for what cannot be asked.
        """
        width = self.beams if beams is None else beams
        check_whole("beams", width, 1)
        most = self.codec.room if length is None else length
        check_whole("length", most, 1)
        if most > self.codec.room:
            raise RequestError(f"length = {most} is more than the {self.codec.room} tokens that a target has room for.")
        options = {
            "max_new_tokens": most, "num_beams": width, "temperature": 0.0, "seed": 0, "window": "strict",
            "length_penalty": self.length_penalty if length_penalty is None else length_penalty,
            "stop_ids": (self.codec.end,),
            "logit_bias": dict.fromkeys(self.codec.foreign(self.lm.config.vocab_size), -math.inf),
        }  # fmt: skip
        portion = 1 if width > 1 else PORTION
        for start in range(0, len(sources), portion):
            yield from self._portion(sources[start : start + portion], options)

    def _portion(self, sources: Sequence[str], options: Mapping[str, Any]) -> Iterator[Written]:
        prompts = [self.codec.prompt(source) if source.strip() else None for source in sources]
        asked = [prompt.ids for prompt in prompts if prompt is not None]
        made = iter(self.lm.generate(token_ids=asked, **options) if asked else [])
        for source, prompt in zip(sources, prompts, strict=True):
            if prompt is None:
                yield Written(source, "", [], 0.0, True, 0)
                continue
            (text,) = next(made)
            ended = text.finish_reason == "eos"
            yield Written(source, text.text, text.token_ids, float(sum(text.logprobs)), ended, prompt.cut)

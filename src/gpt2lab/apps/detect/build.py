"""The machine half: a model continues the beginnings of human texts, to their length, at chosen sampling settings.

As the collections of Mitchell et al. (2023) were made: the first tokens of a human text are the prompt and part of the
machine's text too, so that both are on the same matter and of the same length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gpt2lab.apps.detect.reading import flattened
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.params import check_whole
from gpt2lab.errors import CheckpointError, DataError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.tokenizer import Tokenizer

_AT_ONCE = 32  # texts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    @property
    def name(self) -> str:
        """What the settings are called in a collection: "T=1", "T=0.8 k=40", "T=1 p=0.95"."""
        parts = [f"T={self.temperature:g}"]
        parts += [f"k={self.top_k}"] if self.top_k else []
        parts += [f"p={self.top_p:g}"] if self.top_p not in (0.0, 1.0) else []
        return " ".join(parts)


def cut_into_passages(
    lm: LanguageModel, texts: Sequence[tuple[str, str]], length: int, limit: int | None = None
) -> list[tuple[str, str]]:
    """Return the (text, corpus) of whole passages of `length` tokens, at most `limit` of them, spread evenly over all.

    A passage begins where the one before ended, and the last one of a text, which is shorter, is left out.
    """
    check_whole("length", length, 1)
    if lm.tokenizer is None:
        raise CheckpointError(f"Texts are cut into tokens, but {lm.source} has no tokenizer.")
    tokenizer = lm.tokenizer
    found = []
    for text, corpus in texts:
        ids = np.asarray(tokenizer.encode(text), np.int32)
        found += [(ids[i : i + length], corpus) for i in range(0, len(ids) - length + 1, length)]
    if not found:
        raise DataError(f"No text has a passage of {length} tokens; give longer ones, or a smaller --length.")
    count = len(found) if limit is None else min(limit, len(found))
    chosen = [found[i * len(found) // count] for i in range(count)]
    return [(tokenizer.decode(ids.tolist()).strip(), corpus) for ids, corpus in chosen]


def build_pairs(
    lm: LanguageModel,
    texts: Sequence[tuple[str, str]],
    *,
    sampling: Sampling,
    generator: str,
    prompt_tokens: int = 30,
    length: int = 250,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Yield pairs, as `read_pairs` reads them, in the order of the (text, corpus) that have more than `prompt_tokens`
    tokens.

    Human texts are cut to `length` tokens and keep their line breaks, which the model then writes as they do; the
    machine's text begins with the first `prompt_tokens` of them and goes on to as many tokens. The longer of the two,
    counted in tokens with single blanks, is cut to the length of the other, so that lengths tell nothing. Text number
    i is sample i of `seed`, whatever else is asked for. Raises `DataError` where no text is long enough.
    """
    check_whole("prompt_tokens", prompt_tokens, 1)
    check_whole("length", length, prompt_tokens + 1)
    if lm.tokenizer is None:
        raise CheckpointError(f"Texts are continued as text, but {lm.source} has no tokenizer.")
    chosen = []
    for number, (text, _) in enumerate(texts):
        ids = lm.tokenizer.encode(text)[:length]
        if len(ids) > prompt_tokens:
            chosen.append((number, ids))
    if not chosen:
        raise DataError(f"No text has more than {prompt_tokens} tokens; give longer ones, or fewer prompt tokens.")
    options = {**dataclasses.asdict(sampling), "repetition_penalty": 1.0}
    options["top_p"] = sampling.top_p or 1.0
    made = _continued(lm, chosen, prompt_tokens, options, seed, progress)
    for (number, ids), continued in zip(chosen, made, strict=True):
        corpus = texts[number][1]
        human, machine = as_long(lm.tokenizer, lm.tokenizer.decode(ids), lm.tokenizer.decode(continued))
        yield {
            "set": f"{corpus}_{generator}",
            "corpus": corpus,
            "generator": generator,
            "sampler": sampling.name,
            "pair": number,
            "human": human,
            "machine": machine,
        }


def as_long(tokenizer: Tokenizer, one: str, other: str) -> tuple[str, str]:
    """Return two texts, the longer cut to as many tokens as the shorter one has, white space being single blanks."""
    plain = [flattened(text) for text in (one, other)]
    read = [tokenizer.encode(text) for text, _ in plain]
    length = min(map(len, read))
    cut = []
    for text, (_, places), ids in zip((one, other), plain, read, strict=True):
        cut.append(text if len(ids) == length else text[: places[len(tokenizer.decode(ids[:length]).rstrip("\ufffd"))]])
    return cut[0], cut[1]


def _continued(
    lm: LanguageModel,
    chosen: Sequence[tuple[int, list[int]]],
    prompt: int,
    options: Mapping[str, Any],
    seed: int,
    progress: Callable[[int], None] | None,
) -> Iterator[list[int]]:
    """Yield the ids of each machine text. What is made together changes no token (the engine's promise)."""
    for at in range(0, len(chosen), _AT_ONCE):
        part = chosen[at : at + _AT_ONCE]
        jobs = [
            Job(
                np.asarray(ids[:prompt], np.int32),
                lm.defaults.replaced({**options, "seed": seed, "max_new_tokens": len(ids) - prompt}),
                number,
            )
            for number, ids in part
        ]
        batch = Batch(lm.backend, jobs, batch_size=_AT_ONCE)
        for step in batch:
            if progress is not None:
                progress(len(step.ids))
        for i, (_, ids) in enumerate(part):
            yield [*ids[:prompt], *batch.output(i).ids]

"""What the prompts of a request come to: token ids, text, and the engine's word on how likely they are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import anyio

from gpt2lab.engine.jobs import check_prompt
from gpt2lab.engine.protocol import Ids
from gpt2lab.engine.score import TokenScores, score_pieces
from gpt2lab.server.failures import ApiError
from gpt2lab.server.models import LoadedModel
from gpt2lab.server.naming import LogprobLists
from gpt2lab.tokenizer import Tokenizer

_IN_THREAD = 4096
"""Characters from which on a text is turned into tokens in a thread, so that others need not wait."""

PIECE = 128
"""Tokens of a prompt that are read between two steps of the texts that are being written."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ids and the text that was given, None where ids were. One that `begins` from nothing has no text, but an id."""

    ids: Ids
    given: str | None = None
    begins: bool = False

    def text(self, tokenizer: Tokenizer) -> str:
        """Return what `echo` returns."""
        return tokenizer.decode(self.ids.tolist()) if self.given is None else self.given


async def read_prompts(
    model: LoadedModel, given: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | None, most: int
) -> list[Prompt]:
    """Return the prompts in the order given; raises `ApiError` for more than `most` tokens and for unknown ids."""
    items: list[str | Sequence[int]]
    if given is None or isinstance(given, str):
        items = [given or ""]
    elif isinstance(given[0], int):  # one kind of item all through, as the schema says
        items = [cast("Sequence[int]", given)]
    else:
        items = list(cast("Sequence[str | Sequence[int]]", given))
    size = sum(len(item) for item in items)
    long = size > _IN_THREAD
    prompts = await asyncio.to_thread(_encoded, model, items) if long else _encoded(model, items)
    total = sum(len(prompt.ids) for prompt in prompts)
    if total > most:
        raise ApiError(
            400, f"The prompts have {total} tokens together; at most {most} are allowed.", param="prompt",
            code="prompt_too_long",
        )  # fmt: skip
    return prompts


async def read_prompt(model: LoadedModel, text: str | None, token_ids: Sequence[int] | None, most: int) -> Prompt:
    """Return the one prompt of a request that gives it as text or as token ids; raises `ApiError` for both at once, and
    as `read_prompts` does."""
    if text is not None and token_ids is not None:
        raise ApiError(400, "Give text or token_ids, not both.", param="token_ids", code="invalid_value")
    (prompt,) = await read_prompts(model, text if token_ids is None else token_ids, most)
    return prompt


def _encoded(model: LoadedModel, items: Sequence[str | Sequence[int]]) -> list[Prompt]:
    vocab, tokenizer = model.lm.config.vocab_size, model.tokenizer
    texts = min(vocab, tokenizer.vocab_size)  # some models have ids to spare, which stand for no text
    prompts = []
    for item in items:
        if not item:
            prompts.append(Prompt(check_prompt([model.lm.bos_id()], vocab), "", begins=True))
        elif isinstance(item, str):
            prompts.append(Prompt(check_prompt(tokenizer.encode(item), vocab), item))
        else:
            prompts.append(Prompt(check_prompt(item, texts)))
    return prompts


async def scored(model: LoadedModel, prompt: Prompt, top: int, seconds: float) -> TokenScores:
    """Return the engine's scores of a prompt, read in pieces between the steps of others. Raises `TimeoutError`."""
    pieces = score_pieces(model.lm.backend, prompt.ids, context=None, top=top, piece=PIECE)
    with anyio.fail_after(seconds):
        return await asyncio.wrap_future(model.scheduler.run(pieces))


def add_scores(lists: LogprobLists, model: LoadedModel, prompt: Prompt, scores: TokenScores) -> None:
    """Add a prompt's tokens to the lists of a choice that echoes it."""
    stream, offset = model.tokenizer.stream(), 0
    for i, token in enumerate(prompt.ids.tolist()):
        logprob = float(scores.logprobs[i])
        top = list(zip(scores.top_ids[i].tolist(), scores.top_logprobs[i].tolist(), strict=True))
        lists.add(token, logprob if math.isfinite(logprob) else None, top, offset)
        offset += len(stream.push(token))

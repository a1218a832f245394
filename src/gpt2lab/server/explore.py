"""/api/next and /api/analyze: what a model expects next, and how expected each token of a text is (GLTR's payload).

The payload is that of GLTR's server (Strobelt and Gehrmann 2019, HendrikStrobelt/detecting-fake-text).
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio

from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import Ids
from gpt2lab.engine.score import TokenScores, score_pieces
from gpt2lab.lm.explorer import expectation_pieces
from gpt2lab.server.models import LoadedModel
from gpt2lab.server.naming import gltr_name
from gpt2lab.server.prompts import PIECE, read_prompt, read_prompts
from gpt2lab.server.schemas import AnalyzeRequest, NextRequest
from gpt2lab.server.settings import ServerSettings

_FILTERS = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty")
_DIGITS = 5  # to which GLTR rounds probabilities


async def next_tokens(request: NextRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/next; raises `ApiError`, `RequestError` and `TimeoutError`."""
    prompt = await read_prompt(model, request.text, request.token_ids, settings.max_prompt_tokens)
    params = SamplingParams(**{name: getattr(request, name) for name in _FILTERS})
    work = expectation_pieces(model.lm.backend, prompt.ids, params, request.k, model.scheduler.prefixes, piece=PIECE)
    with anyio.fail_after(settings.request_seconds):
        found = await asyncio.wrap_future(model.scheduler.run(work))

    def listed(tokens: list[tuple[int, float]]) -> list[dict[str, Any]]:
        return [{"id": i, "text": model.tokenizer.token_text(i), "probability": p} for i, p in tokens]

    own = [] if prompt.begins else prompt.ids.tolist()
    return {
        "model": model.name,
        "token_ids": own,
        "tokens": model.tokenizer.token_texts(own),
        "window": {
            "start": found.start,
            "length": len(prompt.ids) - found.start,
            "n_positions": model.lm.config.n_positions,
        },
        "raw": listed(found.raw),
        "raw_mass": found.raw_mass,
        "filtered": listed(found.filtered),
        "filtered_mass": found.filtered_mass,
        "filtered_count": found.kept,
        "entropy": found.entropy,
    }


async def analyze(request: AnalyzeRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/analyze; a text longer than the window is read in windows that overlap by half."""
    (prompt,) = await read_prompts(model, request.text, settings.max_prompt_tokens)
    bos = model.lm.bos_id()
    work = score_pieces(model.lm.backend, prompt.ids, context=bos, top=request.topk, piece=PIECE)
    with anyio.fail_after(settings.request_seconds):
        scores = await asyncio.wrap_future(model.scheduler.run(work))
    result = await asyncio.to_thread(_payload, model, bos, prompt.ids, scores)
    return {"request": {"project": request.project or model.name, "text": request.text}, "result": result}


def _payload(model: LoadedModel, bos: int, ids: Ids, scores: TokenScores) -> dict[str, Any]:
    names: dict[int, str] = {}

    def name(token: int) -> str:
        if token not in names:
            names[token] = gltr_name(model.tokenizer, token)
        return names[token]

    def probability(logprob: float) -> float:
        return round(math.exp(logprob), _DIGITS)

    return {
        "bpe_strings": [name(i) for i in (bos, *ids.tolist())],
        "real_topk": [
            [rank, probability(p)] for rank, p in zip(scores.ranks.tolist(), scores.logprobs.tolist(), strict=True)
        ],
        "pred_topk": [
            [[name(i), probability(p)] for i, p in zip(row, logprobs, strict=True)]
            for row, logprobs in zip(scores.top_ids.tolist(), scores.top_logprobs.tolist(), strict=True)
        ],
    }

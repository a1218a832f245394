"""What the pages ask for beyond /api/next: tokens of a text, looking ahead, looking inside, a page to keep."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import numpy as np
from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse

from gpt2lab.engine.ahead import Path, greedy_pieces, most_steps, path_pieces, word_pieces
from gpt2lab.engine.inside import traced
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.neurons import fired
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import Ids
from gpt2lab.engine.score import score_pieces
from gpt2lab.lm.inspection import inspection_pieces, page_data, whole_pieces
from gpt2lab.lm.neurons import up_to, weights_of
from gpt2lab.lm.words import WordMasks, word_goes_on, word_masks
from gpt2lab.server import page_schemas as schemas
from gpt2lab.server.models import LoadedModel, ModelPool
from gpt2lab.server.prompts import PIECE, read_prompt, read_prompts
from gpt2lab.server.settings import ServerSettings
from gpt2lab.server.standalone import inspection_page
from gpt2lab.tokenizer import Tokenizer

T = TypeVar("T")

INSPECTED = 256
"""Tokens that are looked into at once: a page draws n_layer * n_head maps of their square."""

_masks: WeakKeyDictionary[Tokenizer, WordMasks] = WeakKeyDictionary()


async def tokens(request: schemas.TokensRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/tokens."""
    prompt = await read_prompt(model, request.text, request.token_ids, settings.max_prompt_tokens)
    ids = [] if prompt.begins else prompt.ids.tolist()
    pieces = await asyncio.to_thread(whole_pieces, model.tokenizer, ids)
    text = "".join(pieces)
    exact = request.token_ids is None or await asyncio.to_thread(model.tokenizer.encode, text) == ids
    return {"model": model.name, "text": text, "token_ids": ids, "pieces": pieces, "exact": exact}


async def ahead(request: schemas.AheadRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/ahead."""
    prompt = await read_prompt(model, request.text, request.token_ids, settings.max_prompt_tokens)
    backend, prefixes = model.lm.backend, model.scheduler.prefixes
    window = Job(prompt.ids, SamplingParams()).window(backend.config.n_positions)
    if request.kind == "words":
        masks = await asyncio.to_thread(_masks_of, model)
        work = word_pieces(backend, window, request.k, word_goes_on(model.tokenizer, masks), prefixes, piece=PIECE)
    else:
        pieces = greedy_pieces if request.kind == "tokens" else path_pieces
        work = pieces(backend, window, request.k, request.steps, prefixes, piece=PIECE)
    with anyio.fail_after(settings.request_seconds):
        found: list[Path] = await asyncio.wrap_future(model.scheduler.run(work))
    return {
        "model": model.name,
        "kind": request.kind,
        "steps": most_steps(backend, window, request.steps),
        "items": [_item(model.tokenizer, path) for path in found],
    }


def _masks_of(model: LoadedModel) -> WordMasks:
    if model.tokenizer not in _masks:
        _masks[model.tokenizer] = word_masks(model.tokenizer, model.lm.config.vocab_size)
    return _masks[model.tokenizer]


def _item(tokenizer: Tokenizer, path: Path) -> dict[str, Any]:
    ids = list(path.ids)
    pieces = whole_pieces(tokenizer, ids)
    return {
        "token_ids": ids,
        "pieces": pieces,
        "text": "".join(pieces),
        "probability": math.exp(path.logprob),
        "probabilities": [math.exp(p) for p in path.logprobs],
    }


async def inspect(request: schemas.InspectRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/inspect: the text's beginning, where it is longer than can be shown at once."""
    lm = model.lm
    ids, count = await _inspected(request.text, model, settings)
    work = inspection_pieces(lm.backend, model.tokenizer, ids, begins=True, top=request.top, tensors=lm.tensors)
    with anyio.fail_after(settings.request_seconds):
        found = await asyncio.wrap_future(model.scheduler.run(work))
    data = await asyncio.to_thread(page_data, found, model.tokenizer)
    return {"model": model.name, "token_count": count, **data}


async def _inspected(text: str, model: LoadedModel, settings: ServerSettings) -> tuple[Ids, int]:
    """Return the tokens that are looked into, the one that begins the text first, and how many the whole text has."""
    (prompt,) = await read_prompts(model, text, settings.max_prompt_tokens)
    most = min(INSPECTED, model.lm.config.n_positions)
    ids = np.concatenate([np.asarray([model.lm.bos_id()], np.int32), prompt.ids])
    return ids[:most], len(ids)


async def neurons(request: schemas.NeuronsRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/inspect/neurons."""
    lm, name = model.lm, model.tokenizer.token_text
    ids, _ = await _inspected(request.text, model, settings)
    read, weights = up_to(ids, request.at), weights_of(lm)
    with anyio.fail_after(settings.request_seconds):
        trace = await asyncio.wrap_future(model.scheduler.run(lambda: traced(lm.backend, read)))
        found = await asyncio.to_thread(
            fired, lm.config, weights, trace, request.layer, count=request.count, top=request.top
        )

    def named(tokens: list[tuple[int, float]]) -> list[tuple[str, float]]:
        return [(name(i), effect) for i, effect in tokens]

    listed = [{**asdict(n), "promotes": named(n.promotes), "suppresses": named(n.suppresses)} for n in found]
    return {
        "model": model.name, "layer": request.layer, "at": request.at, "width": lm.config.inner, "neurons": listed,
    }  # fmt: skip


async def without(request: schemas.WithoutRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/inspect/without."""
    ids, _ = await _inspected(request.text, model, settings)
    at = len(up_to(ids, request.at)) - 1
    left = np.delete(ids, at)
    surprises: list[float | None] = [None]
    if len(left) > 1:
        work = score_pieces(model.lm.backend, left[1:], context=int(left[0]), piece=PIECE)
        with anyio.fail_after(settings.request_seconds):
            scores = await asyncio.wrap_future(model.scheduler.run(work))
        surprises += [float(f"{-p / math.log(2):.6g}") for p in scores.logprobs.tolist()]
    surprises.insert(at, None)
    return {"model": model.name, "at": at, "surprises": surprises}


def add_pages(
    app: FastAPI,
    pool: ModelPool,
    settings: ServerSettings,
    named: Callable[[str | None], str],
    failures: dict[int | str, dict[str, Any]],
    failures_of_text: dict[int | str, dict[str, Any]],
) -> None:
    """Add what the pages ask for to `app`; `named` resolves a model's name.

    `failures` describe what may go wrong, `failures_of_text` the same where the answer is no JSON.
    """

    @app.post("/api/tokens", response_model=schemas.TokensOfText, responses=failures)
    async def tokens_of_text(request: schemas.TokensRequest) -> Any:
        """Cut a text into tokens, or join tokens to a text."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await tokens(request, model, settings))

    @app.post("/api/ahead", response_model=schemas.Ahead, responses=failures)
    async def look_ahead(request: schemas.AheadRequest) -> Any:
        """Say how the text may go on for several tokens, or for a whole word."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await ahead(request, model, settings))

    @app.post("/api/inspect", response_model=schemas.Inspected, responses=failures)
    async def look_inside(request: schemas.InspectRequest) -> Any:
        """Say what every head attends to and what every layer would say next."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await inspect(request, model, settings))

    @app.post("/api/inspect/neurons", response_model=schemas.Neurons, responses=failures)
    async def look_at_neurons(request: schemas.NeuronsRequest) -> Any:
        """Say which neurons of a layer fire most at a token, and which next tokens they speak for and against."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await neurons(request, model, settings))

    @app.post("/api/inspect/without", response_model=schemas.Without, responses=failures)
    async def leave_out(request: schemas.WithoutRequest) -> Any:
        """Say how surprising each token would be if one of them were not there."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await without(request, model, settings))

    @app.post("/api/inspect/page", response_class=HTMLResponse, responses=failures_of_text)
    async def inside_to_keep(request: schemas.InspectRequest) -> Any:
        """Return the same as one page of HTML that needs nothing else."""
        async with pool.use(named(request.model)) as model:
            return HTMLResponse(inspection_page(await inspect(request, model, settings)))

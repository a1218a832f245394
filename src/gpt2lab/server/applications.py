"""What the pages of the applications ask for: is a text a machine's, and an article's field from its others.

Both run between the steps of whatever else the model is writing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from fastapi import FastAPI
from starlette.responses import JSONResponse

from gpt2lab.apps.articles.codec import TOKENS, Codec
from gpt2lab.apps.articles.dates import date_text
from gpt2lab.apps.articles.fields import FIELDS
from gpt2lab.apps.articles.write import article_from, field_job
from gpt2lab.apps.detect.page import ENTROPY_TOP, shown
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.trained import Judge, default_for
from gpt2lab.apps.detect.zero_shot import BUCKETS
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.moments import moments_pieces
from gpt2lab.errors import CheckpointError, DataError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server import application_schemas as schemas
from gpt2lab.server.failures import ApiError
from gpt2lab.server.models import LoadedModel, ModelPool
from gpt2lab.server.prompts import PIECE
from gpt2lab.server.settings import ServerSettings
from gpt2lab.server.streams import EventStream, event
from gpt2lab.server.writing import Piece, Writing

_detectors: WeakKeyDictionary[LanguageModel, Judge | None] = WeakKeyDictionary()


async def detect(request: schemas.DetectRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /api/detect; raises `ApiError`, `RequestError` and `TimeoutError`."""
    detector = await _detector(model)
    reader = Reader(model.lm, layout=detector is not None and detector.layout, name=model.name)
    ids = await asyncio.to_thread(reader.encode, request.text)
    _check_length(len(ids), settings, "text")
    work = moments_pieces(model.lm.backend, ids, context=model.lm.bos_id(), top=ENTROPY_TOP, piece=PIECE)
    with anyio.fail_after(settings.request_seconds):
        moments = await asyncio.wrap_future(model.scheduler.run(work))

    def answer() -> dict[str, Any]:
        reading = reader.reread(request.text, moments)
        verdict = None if detector is None else detector.judge(reading)
        found = shown(model.tokenizer.token_text, model.name, reading, verdict, detector)
        return {"model": model.name, "bounds": list(BUCKETS), **found}

    return await asyncio.to_thread(answer)


async def _detector(model: LoadedModel) -> Judge | None:
    """Return the detector that comes along, if it is this model's: asking that takes a pass over a sentence."""
    if model.lm not in _detectors:
        reader = Reader(model.lm, name=model.name)
        _detectors[model.lm] = await asyncio.wrap_future(model.scheduler.run(lambda: default_for(reader)))
    return _detectors[model.lm]


def _check_length(tokens: int, settings: ServerSettings, param: str) -> None:
    if tokens > settings.max_prompt_tokens:
        raise ApiError(
            400, f"This is {tokens} tokens of text; at most {settings.max_prompt_tokens} are allowed.", param=param,
            code="prompt_too_long",
        )  # fmt: skip


class FieldAnswer:
    """One field while it is written. Hold it in `async with`: leaving cancels what still runs."""

    def __init__(self, request: schemas.ArticleRequest, model: LoadedModel, job: Job, cut: int, seconds: float) -> None:
        self._head = {"model": model.name, "target": request.target, "cut": cut, "seed": job.params.seed}
        self._writing = Writing(model.scheduler, model.tokenizer, [job], (), seconds)

    async def __aenter__(self) -> FieldAnswer:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writing.close()

    async def whole(self) -> dict[str, Any]:
        """Return the field when it has ended."""
        pieces: list[Piece] = [piece async for piece in self._writing]
        text = "".join(piece.text for piece in pieces)
        return {**self._head, "text": text, "complete": pieces[-1].finish == "stop"}

    async def events(self) -> AsyncIterator[bytes]:
        """Yield its pieces in the shape of a completion's."""
        async for piece in self._writing:
            choice = {"index": 0, "text": piece.text, "finish_reason": piece.finish or None}
            yield event(json.dumps({**self._head, "choices": [choice]}).encode())


async def planned(
    request: schemas.ArticleRequest, model: LoadedModel, settings: ServerSettings
) -> tuple[schemas.ArticleRequest, LoadedModel, Job, int, float]:
    """Return what a `FieldAnswer` is made of; raises `ApiError` for a model without fields and for what is too long."""
    if (request.max_tokens or 0) > settings.max_output_tokens:
        raise ApiError(
            400, f"max_tokens = {request.max_tokens} is more than the {settings.max_output_tokens} that are allowed.",
            param="max_tokens", code="invalid_value",
        )  # fmt: skip
    texts = request.texts()
    try:
        codec = Codec(model.tokenizer)
        texts["date"] = date_text(texts.get("date"))
    except CheckpointError as error:
        raise ApiError(400, str(error), param="model", code="no_fields") from None
    except DataError as error:
        raise ApiError(400, f"The article cannot be read: {error}.", param="date", code="invalid_value") from None
    article = article_from(texts)
    ids = await asyncio.to_thread(codec.encode, article.texts())
    _check_length(len(ids), settings, "article")
    job, cut = await asyncio.to_thread(
        field_job, model.lm, codec, article, request.target, top_p=request.top_p, length=request.max_tokens,
        seed=secrets.randbits(32) if request.seed is None else request.seed, temperature=request.temperature,
        top_k=request.top_k,
    )  # fmt: skip
    return request, model, job, cut, settings.request_seconds


async def article_models(pool: ModelPool) -> dict[str, Any]:
    """Return the answer of GET /api/article."""
    found = [(name, await pool.tokenizer(name)) for name in pool.names]
    known = [name for name, t in found if t is not None and set(TOKENS) <= set(t.special_tokens)]
    return {"models": known, "fields": list(FIELDS)}


def add_applications(
    app: FastAPI,
    pool: ModelPool,
    settings: ServerSettings,
    named: Callable[[str | None], str],
    failures: dict[int | str, dict[str, Any]],
) -> None:
    """Add these to `app`; `named` resolves a model's name, `failures` describe what may go wrong."""

    @app.post("/api/detect", response_model=schemas.Detected, responses=failures)
    async def detect_text(request: schemas.DetectRequest) -> Any:
        """Say how probably a machine wrote a text, if that can be said, and what that is made of."""
        async with pool.use(named(request.model)) as model:
            return JSONResponse(await detect(request, model, settings))

    @app.get("/api/article", response_model=schemas.ArticleModels, responses=failures)
    async def list_article_models() -> Any:
        """Say which models know the fields of articles; loads none."""
        return JSONResponse(await article_models(pool))

    @app.post("/api/article", response_model=schemas.WrittenField, responses=_STREAMED | failures)
    async def write_article_field(request: schemas.ArticleRequest) -> Any:
        """Write a field of an article from its others. With stream = true its pieces come as events."""
        async with AsyncExitStack() as held:
            model = await held.enter_async_context(pool.use(named(request.model)))
            answer = FieldAnswer(*await planned(request, model, settings))
            if request.stream:
                return EventStream(answer, held.pop_all())
            async with answer:
                return JSONResponse(await answer.whole())


_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The field, or a stream of its pieces in the shape of a completion's.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

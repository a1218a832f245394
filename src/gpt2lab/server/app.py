"""The application: addresses, what answers them, and what all of them share. `create_app` does no work but this."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.staticfiles import StaticFiles

from gpt2lab import __version__
from gpt2lab.config import to_dict
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server import schemas
from gpt2lab.server.applications import add_applications
from gpt2lab.server.completions import Answer, plan
from gpt2lab.server.embeddings import embed
from gpt2lab.server.explore import analyze, next_tokens
from gpt2lab.server.failures import ApiError, install
from gpt2lab.server.gate import Gate
from gpt2lab.server.metrics import Metrics
from gpt2lab.server.models import FileLoader, Loader, ModelPool, UnknownModelError
from gpt2lab.server.music import add_music
from gpt2lab.server.pages import add_pages
from gpt2lab.server.settings import ServerSettings
from gpt2lab.server.streams import EventStream

PAGES = Path(__file__).parents[1] / "web"

FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.FailureBody, "description": "The request cannot be answered; the message says why."},
    "5XX": {"model": schemas.FailureBody, "description": "The server cannot answer now."},
}

_FAILURE = {"application/json": {"schema": {"$ref": "#/components/schemas/FailureBody"}}}
FAILURES_OF_TEXT: dict[int | str, dict[str, Any]] = {
    status: {"description": said["description"], "content": _FAILURE} for status, said in FAILURES.items()
}
"""The same where the answer is no JSON, though the failure is."""

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The completion, or a stream of its pieces, each in the same shape.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class _Request(Request):
    async def json(self) -> Any:
        """Return the body; unlike Python's own reader this one takes no NaN, no broken Unicode and no endless depth."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise ApiError(400, f"The body is not JSON: {error}.", code="invalid_json") from None


class _Route(APIRoute):
    """A route that hands a lone body on as soon as it is known to be right; what is wrong with others, FastAPI says.

    Of a click in the explorer FastAPI's search for what else an answer may depend on was a twentieth.
    """

    def get_route_handler(self) -> Any:
        answer, expected = super().get_route_handler(), self._lone_body()

        async def handler(request: Request) -> Any:
            given = _Request(request.scope, request.receive)
            if expected is None or not await given.body():
                return await answer(given)
            try:
                body = expected.model_validate(await given.json())
            except ValidationError:
                return await answer(given)
            return await self.endpoint(body)

        return handler

    def _lone_body(self) -> type[BaseModel] | None:
        """Return what the endpoint takes where that is a body and nothing else."""
        needs = self.dependant
        others = (needs.path_params, needs.query_params, needs.header_params, needs.cookie_params, needs.dependencies)
        if any(others) or len(needs.body_params) != 1 or needs.request_param_name is not None:
            return None
        kind = needs.body_params[0].field_info.annotation
        return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def create_app(
    sources: Mapping[str, str],
    *,
    settings: ServerSettings | None = None,
    loader: Loader | None = None,
    ready: Mapping[str, LanguageModel] | None = None,
    pages: Path | None = None,
) -> FastAPI:
    """Return the application that serves the models `sources` (name -> what `loader` takes; the first is the default).

    `ready` are models that are loaded already. Nothing else is loaded before it is asked for. `pages` is a folder of
    static files to serve beside the API (default: the package's own).
    """
    chosen = settings or ServerSettings()
    pool = ModelPool(sources, loader or FileLoader(), chosen, ready)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close(chosen.stop_seconds)

    app = FastAPI(
        title="gpt2lab", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="GPT-2 over HTTP: OpenAI's completions API and what the pages of gpt2lab ask for.",
    )  # fmt: skip
    app.router.route_class = _Route
    app.state.pool, app.state.settings = pool, chosen
    install(app)
    _add_completions(app, pool, chosen)
    _add_models(app, pool)
    _add_reading(app, pool, chosen)
    for add in (add_pages, add_music):
        add(app, pool, chosen, partial(_named, pool), FAILURES, FAILURES_OF_TEXT)
    add_applications(app, pool, chosen, partial(_named, pool), FAILURES)
    metrics = Metrics(pool, (route.path for route in app.routes if isinstance(route, APIRoute)))
    app.state.metrics = metrics
    _add_state(app, metrics)
    folder = PAGES if pages is None else pages
    if folder.is_dir():
        # not mounted: a mount at / would answer the API's addresses when a request has the wrong method
        app.router.default = StaticFiles(directory=folder, html=True)
    if chosen.cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(chosen.cors), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"])  # fmt: skip
    app.add_middleware(Gate, settings=chosen, answered=metrics.answered)
    return app


def _named(pool: ModelPool, name: str | None) -> str:
    try:
        return pool.resolve(name)
    except UnknownModelError as error:
        raise ApiError(404, str(error), param="model", code="model_not_found") from None


def _add_completions(app: FastAPI, pool: ModelPool, settings: ServerSettings) -> None:
    @app.post("/v1/completions", response_model=schemas.Completion, responses=STREAMED | FAILURES)
    async def create_completion(request: schemas.CompletionRequest) -> Any:
        """Continue prompts. With stream = true the answer is a stream of server-sent events that ends with [DONE]."""
        name = _named(pool, request.model)
        async with AsyncExitStack() as held:
            model = await held.enter_async_context(pool.use(name))
            answer = Answer(await plan(request, model, settings), settings, app.state.metrics.first_token)
            if request.stream:
                return EventStream(answer, held.pop_all())
            async with answer:
                return JSONResponse(await answer.whole())


def _add_models(app: FastAPI, pool: ModelPool) -> None:
    began = int(time.time())

    def described(name: str) -> dict[str, Any]:
        found = pool.loaded(name)
        about = {"id": name, "object": "model", "created": began, "owned_by": "gpt2lab", "loaded": found is not None}
        if found is None:
            return about
        config = found.lm.config
        return about | {
            "n_positions": config.n_positions,
            "vocab_size": config.vocab_size,
            "description": found.lm.backend.description,
            "defaults": to_dict(found.lm.defaults),
        }

    @app.get("/v1/models", response_model=schemas.ModelList, responses=FAILURES)
    async def list_models() -> Any:
        """List the models that may be asked for, the default one first."""
        return {"object": "list", "data": [described(name) for name in pool.names]}

    @app.get("/v1/models/{name:path}", response_model=schemas.Model, responses=FAILURES)
    async def get_model(name: str) -> Any:
        """Describe a model."""
        return described(_named(pool, name))


def _add_reading(app: FastAPI, pool: ModelPool, settings: ServerSettings) -> None:
    @app.post("/v1/embeddings", response_model=schemas.EmbeddingList, responses=FAILURES)
    async def create_embeddings(request: schemas.EmbeddingRequest) -> Any:
        """Turn texts into vectors of length 1: the mean of the last layer's hidden states."""
        async with pool.use(_named(pool, request.model)) as model:
            return JSONResponse(await embed(request, model, settings))

    @app.post("/api/next", response_model=schemas.NextTokens, responses=FAILURES)
    async def next_token(request: schemas.NextRequest) -> Any:
        """Say which tokens may come next. A text that goes on from an earlier one costs only what is new in it."""
        async with pool.use(_named(pool, request.model)) as model:
            return JSONResponse(await next_tokens(request, model, settings))

    @app.post("/api/analyze", response_model=schemas.Analysis, responses=FAILURES)
    async def analyze_text(request: schemas.AnalyzeRequest) -> Any:
        """Say of every token of a text how expected it was, in GLTR's payload."""
        async with pool.use(_named(pool, request.model or request.project)) as model:
            return JSONResponse(await analyze(request, model, settings))


def _add_state(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/health", response_model=schemas.Health, responses=FAILURES)
    async def get_health() -> Any:
        """Say that the server runs."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse, responses=FAILURES_OF_TEXT)
    async def get_metrics() -> Any:
        """Return counts for Prometheus."""
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

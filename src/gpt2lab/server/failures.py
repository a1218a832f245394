"""Every failure in the shape that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gpt2lab.errors import ClosedError, Gpt2labError, QueueFullError, RequestError, TokenizerError, nearest
from gpt2lab.server import schemas

_RETRY = {"Retry-After": "1"}


class ApiError(HTTPException):
    """A request that cannot be answered: the status, one sentence, and what OpenAI's clients look at."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.param, self.code = param, code

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status_code, "invalid_request_error")
        if self.status_code >= 500:
            kind = "server_error"
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return it as an answer."""
        return JSONResponse(self.body, self.status_code, headers=self.headers)


def as_api_error(error: Exception) -> ApiError:
    """Return any exception as what a client is told; only what is a user's mistake is told in its own words."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        sentences = {404: "There is nothing at this address.", 405: "This address does not take this method."}
        return ApiError(error.status_code, sentences.get(error.status_code, str(error.detail)), headers=error.headers)
    if isinstance(error, QueueFullError):
        return ApiError(429, str(error), code="queue_full", headers=_RETRY)
    if isinstance(error, ClosedError):
        return ApiError(503, str(error), code="closing", headers=_RETRY)
    if isinstance(error, TimeoutError):
        return timed_out()
    if isinstance(error, (RequestError, TokenizerError)):
        return ApiError(400, str(error))
    if isinstance(error, Gpt2labError):  # of the model, not of the request
        return ApiError(503, str(error), code="model_unavailable")
    return ApiError(500, "The server made a mistake; its log says which.", code="internal_error")


def timed_out() -> ApiError:
    """Return the failure of an answer that was not ready in time."""
    return ApiError(
        503, "The answer was not ready in time; ask for less, or again later.", code="timeout", headers=_RETRY
    )


def install(app: FastAPI) -> None:
    """Make `app` answer every exception in this shape; what is a bug of ours the gate answers, and the log shows."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return explained(error.errors()).response()

    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(Gpt2labError, answer)
    app.add_exception_handler(TimeoutError, answer)
    app.add_exception_handler(RequestValidationError, invalid)


def explained(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """Return pydantic's complaints about a request as one sentence about the first field that is wrong."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = place[0] if place else None
    if first["type"] == "missing":
        return ApiError(400, f"{param or 'The body'} is missing.", param=param, code="missing")
    if first["type"] == "extra_forbidden":
        name = place[-1][:100]
        close = nearest(name, schemas.PARAMETERS)
        return ApiError(400, f"Unknown parameter {name!r}.{close}", param=".".join(place), code="unknown")
    if param is None:
        return ApiError(400, "The body must be a JSON object; see /openapi.json.", code="invalid_json")
    given = "" if "input" not in first else f" = {_shortened(first['input'])}"
    reasons = dict.fromkeys(str(e["msg"]).rstrip(".") for e in errors if param in e["loc"])
    name = place[0] if len(reasons) > 1 else ".".join(place)
    listed = "; or: ".join(reason[:1].lower() + reason[1:] for reason in list(reasons)[:6])
    return ApiError(400, f"{name}{given} is not possible: {listed}.", param=param, code="invalid_value")


def _shortened(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."

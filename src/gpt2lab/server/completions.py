"""/v1/completions: from a request to the engine's jobs, and from their texts to answers, whole or as a stream.

The API is OpenAI's "Create completion" (platform.openai.com/docs/api-reference/completions).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from gpt2lab.engine.jobs import Job
from gpt2lab.engine.params import SamplingParams
from gpt2lab.server.failures import ApiError
from gpt2lab.server.models import LoadedModel
from gpt2lab.server.naming import LogprobLists
from gpt2lab.server.prompts import Prompt, add_scores, read_prompts, scored
from gpt2lab.server.schemas import CompletionRequest
from gpt2lab.server.settings import ServerSettings
from gpt2lab.server.streams import Final
from gpt2lab.server.writing import Piece, Writing

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "no_repeat_ngram_size")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request comes to. Text i continues prompt i // best_of and is sample i % best_of."""

    request: CompletionRequest
    model: LoadedModel
    prompts: list[Prompt]
    params: SamplingParams
    n: int
    best_of: int

    @property
    def jobs(self) -> list[Job]:
        """The texts to generate; none when no token is asked for."""
        if self.params.max_new_tokens == 0:
            return []
        return [Job(prompt.ids, self.params, sample) for prompt in self.prompts for sample in range(self.best_of)]

    @property
    def texts(self) -> int:
        """How many texts there will be."""
        return len(self.prompts) * self.best_of

    @property
    def echoed(self) -> list[str]:
        """What each text begins with in the answer."""
        if not self.request.echo:
            return [""] * self.texts
        texts = [prompt.text(self.model.tokenizer) for prompt in self.prompts]
        return [texts[i // self.best_of] for i in range(self.texts)]

    def prompt_of(self, text: int) -> Prompt:
        """Return the prompt that a text continues."""
        return self.prompts[text // self.best_of]


async def plan(request: CompletionRequest, model: LoadedModel, settings: ServerSettings) -> Plan:
    """Check a request against the model and the server's limits; raises `ApiError` and `RequestError`."""
    n = request.n or 1
    best_of = request.best_of or n
    _check(request, n, best_of, settings)
    prompts = await read_prompts(model, request.prompt, settings.max_prompt_tokens)
    if len(prompts) * best_of > settings.max_sequences:
        raise ApiError(
            400, f"{len(prompts)} prompts with {best_of} texts each are {len(prompts) * best_of} texts; at most "
            f"{settings.max_sequences} are allowed in a request.", param="n", code="too_many_texts",
        )  # fmt: skip
    given = {name: getattr(request, name) for name in _SAMPLING if getattr(request, name) is not None}
    params = SamplingParams(
        **given,
        max_new_tokens=16 if request.max_tokens is None else request.max_tokens,
        min_new_tokens=request.min_tokens or 0,
        seed=secrets.randbits(32) if request.seed is None else request.seed,
        logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
        top_logprobs=request.logprobs or 0,
        stop_ids=model.lm.defaults.stop_ids,
    )
    params.check_ids(model.lm.config.vocab_size)
    return Plan(request, model, prompts, params, n, best_of)


def _check(request: CompletionRequest, n: int, best_of: int, settings: ServerSettings) -> None:
    """Refuse what pydantic cannot see: parameters that do not fit each other or the limits."""
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(request, name):
            raise ApiError(
                400, f"{name} is not supported by this engine; leave it at 0 and use repetition_penalty.",
                param=name, code="unsupported",
            )  # fmt: skip
    if best_of < n:
        raise ApiError(400, f"best_of = {best_of} must be at least n = {n}.", param="best_of", code="invalid_value")
    if request.stream and best_of > n:
        raise ApiError(
            400, "best_of cannot be streamed: which text is best is known at the end.", param="best_of",
            code="unsupported",
        )  # fmt: skip
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "stream_options are for stream = true.", param="stream_options", code="invalid_value")
    most = settings.max_output_tokens
    if (request.max_tokens or 0) > most:
        raise ApiError(
            400, f"max_tokens = {request.max_tokens} is more than the {most} that are allowed.", param="max_tokens",
            code="invalid_value",
        )  # fmt: skip


class Answer:
    """One request while it is answered. Hold it in `async with`: leaving cancels what still runs."""

    def __init__(self, plan: Plan, settings: ServerSettings, first_token: Callable[[float], None]) -> None:
        self._plan, self._settings, self._first_token = plan, settings, first_token
        self._began = time.monotonic()
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": plan.model.name,
            "system_fingerprint": plan.model.fingerprint,
            "seed": plan.params.seed,
        }
        self._begin = b"data: " + json.dumps(self._head).encode()[:-1] + b", "  # the same for every event
        asked = plan.request.logprobs
        self._lists = None if asked is None else [LogprobLists(plan.model.tokenizer, asked) for _ in range(plan.texts)]
        self._echoed = plan.echoed
        self._offsets = [len(text) for text in self._echoed]
        self._lengths = [0] * plan.texts
        self._made = 0
        request = plan.request
        stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or ())
        self._writing = Writing(plan.model.scheduler, plan.model.tokenizer, plan.jobs, stops, settings.request_seconds)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writing.close()

    async def whole(self) -> dict[str, Any]:
        """Return the completion when all texts have ended."""
        plan = self._plan
        echoed = await self._echo()
        texts, ids = echoed[:], [list[int]() for _ in echoed]
        finishes, sums = ["length"] * plan.texts, [0.0] * plan.texts
        async for piece in self._pieces():
            texts[piece.index] += piece.text
            ids[piece.index] += piece.ids
            sums[piece.index] += sum(piece.logprobs)
            self._add_logprobs(piece)
            if piece.finish:
                finishes[piece.index] = piece.finish
        choices: list[dict[str, Any]] = []
        for p in range(len(plan.prompts)):
            own = range(p * plan.best_of, (p + 1) * plan.best_of)
            ranked = sorted(own, key=lambda i: -sums[i] / max(len(ids[i]), 1)) if plan.best_of > plan.n else own
            for i in list(ranked)[: plan.n]:
                logprobs = self._lists[i].take() if self._lists else None
                choices.append(self._choice(len(choices), i, texts[i], logprobs, finishes[i], ids[i]))
        return {**self._head, "choices": choices, "usage": self._usage()}

    async def events(self) -> AsyncIterator[bytes]:
        """Yield server-sent events: a chunk for each piece, and the usage if it was asked for."""
        request = self._plan.request
        usage = request.stream_options is not None and bool(request.stream_options.include_usage)
        more = {"usage": None} if usage else {}
        if request.echo:
            for i, text in enumerate(await self._echo()):
                logprobs = self._lists[i].take() if self._lists else None
                finish = None if self._plan.params.max_new_tokens else "length"
                yield self._event([self._choice(i, i, text, logprobs, finish, [])], more)
        elif not self._plan.params.max_new_tokens:
            for i in range(self._plan.texts):
                yield self._event([self._choice(i, i, "", None, "length", [])], more)
        going_on, last = len(self._writing.tickets), b""
        async for piece in self._pieces():
            self._add_logprobs(piece)
            i = piece.index
            logprobs = self._lists[i].take() if self._lists else None
            told = self._event([self._choice(i, i, piece.text, logprobs, piece.finish or None, piece.ids)], more)
            going_on -= piece.finish != ""
            if going_on:
                yield told
            else:
                last = told
        yield Final(last + (self._event([], {"usage": self._usage()}) if usage else b""))

    async def _pieces(self) -> AsyncIterator[Piece]:
        async for piece in self._writing:
            if piece.ids and not self._made:
                self._first_token(time.monotonic() - self._began)
            self._made += len(piece.ids)
            self._lengths[piece.index] += len(piece.text)
            yield piece

    async def _echo(self) -> list[str]:
        """Return what each text begins with in the answer, and put the logprobs of prompts into their lists."""
        plan = self._plan
        if plan.request.echo and self._lists is not None:
            for p, prompt in enumerate(plan.prompts):
                if prompt.begins:
                    continue
                top = min(plan.request.logprobs or 0, plan.model.lm.config.vocab_size)
                scores = await scored(plan.model, prompt, top, self._settings.request_seconds)
                for i in range(p * plan.best_of, (p + 1) * plan.best_of):
                    await asyncio.to_thread(add_scores, self._lists[i], plan.model, prompt, scores)
        return self._echoed

    def _add_logprobs(self, piece: Piece) -> None:
        if self._lists is None:
            return
        offset = self._offsets[piece.index]
        for i, (token, logprob, start) in enumerate(zip(piece.ids, piece.logprobs, piece.starts, strict=True)):
            top = piece.top_logprobs[i] if piece.top_logprobs else []
            self._lists[piece.index].add(token, logprob, top, offset + start)
        if piece.end is not None:  # clients count on an entry for each token that was drawn, the end token too
            end = piece.end
            self._lists[piece.index].add(end.id, end.logprob, end.top_logprobs, offset + self._lengths[piece.index])

    def _choice(
        self, index: int, text: int, content: str, logprobs: Any, finish: str | None, ids: Any
    ) -> dict[str, Any]:
        choice = {"index": index, "text": content, "logprobs": logprobs, "finish_reason": finish}
        if self._plan.request.return_token_ids:
            choice |= {"token_ids": list(ids), "prompt_token_ids": self._plan.prompt_of(text).ids.tolist()}
        return choice

    def _event(self, choices: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
        return self._begin + json.dumps({"choices": choices, **more}).encode()[1:] + b"\n\n"

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(p.ids) for p in self._plan.prompts)
        return {"prompt_tokens": prompt, "completion_tokens": self._made, "total_tokens": prompt + self._made}

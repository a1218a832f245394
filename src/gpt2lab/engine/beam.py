"""Beam search: the likeliest texts, with transformers' rules, token for token.

Scores are sums of float32 log-probabilities over the number of generated tokens (end token included) to the power
`length_penalty`. Takes no random choices: temperature and the filters do not apply; bias, penalties and bans do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import gpt2lab._native as _native
from gpt2lab.engine.jobs import Output, damaged_weights, no_token_left
from gpt2lab.engine.native import choose_isa, native_params
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.protocol import Backend, Cache, Floats, Ids
from gpt2lab.errors import RequestError


@dataclass(slots=True)
class _Beam:
    ids: list[int]  # prompt and continuation
    score: np.float32  # sum of log-probabilities after processing
    logprobs: list[float]  # the model's own, of each generated token
    cache: Cache
    window_start: int = 0


@dataclass(frozen=True, slots=True)
class _Finished:
    score: np.float32
    ids: list[int]
    logprobs: list[float]
    finish: str


def beam_search(backend: Backend, prompt: Ids, params: SamplingParams, *, num_return: int = 1) -> list[Output]:
    """Return the `num_return` best continuations of `prompt`, best first; at most `params.num_beams` of them."""
    if num_return > params.num_beams:
        raise RequestError(
            f"Beam search with num_beams = {params.num_beams} cannot return {num_return} texts; ask for fewer."
        )
    n_prompt, width, stops = len(prompt), params.num_beams, set(params.stop_ids or ())
    if params.max_new_tokens == 0:
        return [Output([], [], [], "length")] * num_return
    beams = [_Beam([int(i) for i in prompt], np.float32(0), [], backend.new_cache())]
    finished: list[_Finished] = []
    started = time.monotonic()
    improvable = True
    for step in range(1, params.max_new_tokens + 1):
        candidates = _candidates(backend, beams, params, n_prompt, max(2, 1 + len(stops)) * width)
        out_of_time = params.max_time is not None and time.monotonic() - started >= params.max_time
        at_end = step == params.max_new_tokens or out_of_time or _window_full(backend, beams, params)
        running: list[_Beam] = []
        full = len(finished) >= width and params.early_stopping
        for place, (score, beam, token, logprob) in enumerate(candidates):
            stopped = token in stops
            if not (stopped or at_end):
                if len(running) < width:
                    running.append(_extend(beam, token, score, logprob))
            elif place < width and improvable and not full:
                value = np.float32(score / np.float32(step) ** np.float32(params.length_penalty))
                text = _Finished(
                    value, [*beam.ids[n_prompt:], token], [*beam.logprobs, logprob], "eos" if stopped else "length"
                )
                finished.append(text)
        finished = sorted(finished, key=lambda f: -f.score)[:width]
        if not running:
            break
        beams = _own_caches(running)
        best_possible = beams[0].score / np.float32(step) ** np.float32(params.length_penalty)
        improvable = improvable and (len(finished) < width or bool(best_possible > finished[-1].score))
        if not improvable or (len(finished) >= width and params.early_stopping):
            break
    return [_output(f) for f in finished[:num_return]]


def _candidates(
    backend: Backend, beams: Sequence[_Beam], params: SamplingParams, n_prompt: int, count: int
) -> list[tuple[np.float32, _Beam, int, float]]:
    """Return the `count` best (score, beam, next token, its own log-probability), best first."""
    raw: Floats = _native.log_softmax(_logits(backend, beams, params), choose_isa())  # (beams, V)
    if not np.isfinite(raw.max(axis=1)).all():
        raise damaged_weights()
    native = native_params(params)
    scores = np.stack(
        [_native.process(row, native, np.asarray(b.ids, np.int32), n_prompt) for row, b in zip(raw, beams, strict=True)]
    )
    scores += np.asarray([b.score for b in beams], np.float32)[:, None]
    flat = scores.reshape(-1)
    count = min(count, flat.size)
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.lexsort((best, -flat[best]))]
    best = best[flat[best] > -np.inf]
    if best.size == 0:
        raise no_token_left()
    vocab = raw.shape[1]
    return [(flat[i], beams[i // vocab], int(i % vocab), float(raw[i // vocab, i % vocab])) for i in best.tolist()]


def _logits(backend: Backend, beams: Sequence[_Beam], params: SamplingParams) -> Floats:
    """Return the logits (beams, V) after each beam, whose window moves when it is full."""
    n = backend.config.n_positions
    pending = []
    for beam in beams:
        start = _native.window_start(len(beam.ids), n, params.stride(n))
        if start != beam.window_start:
            beam.window_start = start
            beam.cache.crop(0)
        pending.append(np.asarray(beam.ids[start + beam.cache.length :], np.int32))
    return backend.forward([b.cache for b in beams], pending)


def _window_full(backend: Backend, beams: Sequence[_Beam], params: SamplingParams) -> bool:
    return params.window == "strict" and len(beams[0].ids) >= backend.config.n_positions


def _extend(beam: _Beam, token: int, score: np.float32, logprob: float) -> _Beam:
    return _Beam([*beam.ids, token], score, [*beam.logprobs, logprob], beam.cache, beam.window_start)


def _own_caches(beams: list[_Beam]) -> list[_Beam]:
    """Give every beam a cache of its own: those that grew from one parent share its pages from here on."""
    seen: set[int] = set()
    for beam in beams:
        if id(beam.cache) in seen:
            beam.cache = beam.cache.fork()
        seen.add(id(beam.cache))
    return beams


def _output(text: _Finished) -> Output:
    count = len(text.ids) - (text.finish == "eos")
    return Output(text.ids[:count], text.logprobs[:count], [], text.finish)

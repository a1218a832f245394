"""Asks a language model what an evaluation wants to know: many requests at once, in the order that is quickest.

Answers depend on the model and the request alone: not on the other requests, their order, the number of threads, or on
what was answered before. Knows no task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2lab.engine import windows
from gpt2lab.engine.likelihood import Likelihood, Pair, cut_to_window, likelihoods
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Ids
from gpt2lab.engine.score import window_logprobs
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.evals.answers import AnswerStore, key_of
from gpt2lab.evals.requests import (
    Answer,
    Generate,
    Likely,
    LogLikelihood,
    NextWord,
    Request,
    Rolled,
    Rolling,
    Word,
    Written,
)
from gpt2lab.evals.words import TokenKinds, likeliest_word, longest_context
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.pairs import text_pairs
from gpt2lab.tokenizer import Tokenizer

_KEPT_AT_ONCE = 64  # answers between two writes
_WRITTEN_AT_ONCE = 32  # texts


class Scorer:
    """A language model that answers requests.

    The sampling settings of its checkpoint are left aside. `store` keeps answers and gives those it has;
    `progress(done, total)` counts tokens, of generated texts at most as many as may come.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        store: AnswerStore | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.prefixes = PrefixCache() if lm.prefixes is None else lm.prefixes
        self.lm = LanguageModel(lm.backend, lm.tokenizer, source=lm.source, prefixes=self.prefixes)
        self._store, self._progress = store, progress
        self._done = self._total = 0

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; a `CheckpointError` where it has none."""
        if self.lm.tokenizer is None:
            raise CheckpointError(f"An evaluation needs a tokenizer, but {self.lm.source} has none.")
        return self.lm.tokenizer

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers in the order of the requests. Raises `RequestError` for one that cannot be answered."""
        self._done = self._total = 0
        answers: dict[int, Answer] = {}
        pairs = {i: r for i, r in enumerate(requests) if isinstance(r, LogLikelihood)}
        rolling = {i: r for i, r in enumerate(requests) if isinstance(r, Rolling)}
        words = {i: r for i, r in enumerate(requests) if isinstance(r, NextWord)}
        writing = {i: r for i, r in enumerate(requests) if isinstance(r, Generate)}
        for numbers, given in (
            (pairs, self._likely(list(pairs.values()))),
            (rolling, self._rolled(list(rolling.values()))),
            (words, self._words(list(words.values()))),
            (writing, self._written(list(writing.values()))),
        ):
            answers.update(zip(numbers, given, strict=True))
        return [answers[i] for i in range(len(requests))]

    def _count(self, tokens: int) -> None:
        self._done += tokens
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return dict(self._store.get(keys)) if self._store is not None else {}

    def _keep(self, answers: list[tuple[bytes, bytes]], at_least: int = 1) -> None:
        """Write answers to the store when there are `at_least` so many, and empty the list."""
        if len(answers) >= at_least:
            if self._store is not None:
                self._store.put(answers)
            answers.clear()

    # ---- log-likelihoods of continuations ---------------------------------------------------------------------

    def pairs(self, requests: Sequence[LogLikelihood]) -> list[Pair]:
        """Return the token ids of contexts and continuations."""
        contexts, continuations = [r.context for r in requests], [r.continuation for r in requests]
        made = text_pairs(self.tokenizer, self.lm.bos_id, contexts, continuations)
        for i, request in enumerate(requests):
            if request.bos and request.context.strip():  # nothing but blanks begins with it already
                first = np.asarray([self.lm.bos_id()], np.int32)
                made[i] = made[i]._replace(context=np.concatenate([first, made[i].context]))
        return made

    def _likely(self, requests: Sequence[LogLikelihood]) -> list[Likely]:
        if not requests:
            return []
        pairs = [cut_to_window(pair, self.lm.config.n_positions) for pair in self.pairs(requests)]
        found: dict[int, Likelihood] = {}
        for without in dict.fromkeys(request.without for request in requests):
            numbers = [i for i, request in enumerate(requests) if request.without == without]
            ids = [i for text in without if len(i := self.tokenizer.encode(text)) == 1]
            banned = np.unique(np.asarray(ids, np.int32))
            found.update(zip(numbers, self.measure([pairs[i] for i in numbers], without=banned), strict=True))
        return [_likely_of(pair, found[i]) for i, pair in enumerate(pairs)]

    def measure(self, pairs: Sequence[Pair], *, without: Ids | None = None) -> list[Likelihood]:
        """Return the log-probabilities of continuations that are token ids already; contexts are cut to the window.

        `without`: ids that are not allowed as likeliest.
        """
        banned = None if without is None or not without.size else without
        tag = b"pair" if banned is None else b"pair" + banned.tobytes()
        keys = [key_of(tag, pair.context.tobytes(), pair.continuation.tobytes()) for pair in pairs]
        kept = self._known(keys)
        found = {key: Likelihood(*_thirds(value)) for key, value in kept.items()}
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in found}
        self._total += sum(len(p.context) + len(p.continuation) for p in missing.values())
        fresh: list[tuple[bytes, bytes]] = []
        asked = list(missing.items())
        for i, likelihood in likelihoods(self.lm.backend, [pair for _, pair in asked], self.prefixes, without=banned):
            key, pair = asked[i]
            found[key] = likelihood
            fresh.append((key, b"".join(part.tobytes() for part in likelihood)))
            self._keep(fresh, _KEPT_AT_ONCE)
            self._count(len(pair.context) + len(pair.continuation))
        self._keep(fresh)
        return [found[key] for key in keys]

    # ---- texts of any length ----------------------------------------------------------------------------------

    def _rolled(self, requests: Sequence[Rolling]) -> list[Rolled]:
        texts = [self._encoded(request.text) for request in requests]
        plans = [self._plan(request, ids) for request, ids in zip(requests, texts, strict=True)]
        self._total += sum(w.end - w.start for _, _, plan in plans for w in plan)
        return [
            Rolled(
                ids,
                self._roll(before, targets, plan, len(ids)),
                self._ends(ids, request.text),
                tuple((w.first + len(ids) - len(targets), w.end + len(ids) - len(targets)) for w in plan),
            )
            for request, ids, (before, targets, plan) in zip(requests, texts, plans, strict=True)
        ]

    def _encoded(self, text: str) -> Ids:
        if not text:
            raise RequestError("There is no text to measure; give at least one character.")
        return np.asarray(self.tokenizer.encode_bytes(text.encode("utf-8", "surrogateescape")), np.int32)

    def _plan(self, request: Rolling, ids: Ids) -> tuple[Ids, Ids, list[windows.Window]]:
        """Return inputs, targets, and the windows over them."""
        size = self.lm.config.n_positions
        given = None if request.stride == "half" else request.stride or size
        stride = windows.check_stride(given, size)
        if request.bos:
            before, targets = np.concatenate([np.asarray([self.lm.bos_id()], np.int32), ids[:-1]]), ids
        else:
            before, targets = ids[:-1], ids[1:]
        return before, targets, list(_RULES[request.rule](len(targets), size, stride))

    def _roll(self, before: Ids, targets: Ids, plan: list[windows.Window], n: int) -> npt.NDArray[np.float32]:
        keys = [key_of(b"window", before[w.start : w.end].tobytes(), targets[w.first : w.end].tobytes()) for w in plan]
        known = self._known(keys)
        logprobs = np.full(n, np.nan, np.float32)
        shift = n - len(targets)
        for key, window in zip(keys, plan, strict=True):
            if window.first == window.end:
                continue
            if key in known:
                made = np.frombuffer(known[key], np.float32)
            else:
                made = window_logprobs(self.lm.backend, before, targets, window)
                self._keep([(key, made.tobytes())])
            logprobs[shift + window.first : shift + window.end] = made
            self._count(window.end - window.start)
        return logprobs

    def _ends(self, ids: Ids, text: str) -> npt.NDArray[np.int64]:
        data = text.encode("utf-8", "surrogateescape")
        known, places = np.unique(ids, return_inverse=True)
        lengths = np.asarray([len(self.tokenizer.token_bytes(i)) for i in known.tolist()], np.int64)
        ends: npt.NDArray[np.int64] = np.cumsum(lengths[places])
        if len(ids) and ends[-1] != len(data):  # a vocabulary that does not spell its text byte for byte
            whole = self.tokenizer.encode_with_offsets(text)
            return np.asarray([end for _, end in whole.byte_spans], np.int64)
        return ends

    # ---- words ------------------------------------------------------------------------------------------------

    @cached_property
    def _kinds(self) -> TokenKinds:
        return TokenKinds(self.tokenizer, self.lm.config.vocab_size)

    def _words(self, requests: Sequence[NextWord]) -> list[Word]:
        room = longest_context(self.lm.config.n_positions)
        encoded = self.tokenizer.encode_batch([request.context.rstrip(" ") for request in requests])
        contexts = [np.asarray((ids or [self.lm.bos_id()])[-room:], np.int32) for ids in encoded]
        keys = [
            key_of(b"word", ids.tobytes(), json.dumps([sorted(r.without), r.width]).encode())
            for r, ids in zip(requests, contexts, strict=True)
        ]
        found = {key: Word(*json.loads(value)) for key, value in self._known(keys).items()}
        self._total += sum(len(ids) for key, ids in zip(keys, contexts, strict=True) if key not in found)
        fresh: list[tuple[bytes, bytes]] = []
        for key, request, ids in zip(keys, requests, contexts, strict=True):
            if key in found:
                continue
            word = Word(*likeliest_word(self.lm.backend, self._kinds, ids, set(request.without), request.width))
            found[key] = word
            fresh.append((key, json.dumps([word.text, word.logprob]).encode()))
            self._keep(fresh, _KEPT_AT_ONCE)
            self._count(len(ids))
        self._keep(fresh)
        return [found[key] for key in keys]

    # ---- generated texts --------------------------------------------------------------------------------------

    def _written(self, requests: Sequence[Generate]) -> list[Written]:
        prompts = self._prompts(requests)
        keys = [
            key_of(b"text", ids.tobytes(), json.dumps([r.until, r.max_new_tokens, sorted(r.options.items())]).encode())
            for r, ids in zip(requests, prompts, strict=True)
        ]
        found = {key: _written(json.loads(value)) for key, value in self._known(keys).items()}
        missing = [i for i, key in enumerate(keys) if key not in found]
        self._total += sum(requests[i].max_new_tokens for i in missing)
        alike: dict[str, list[int]] = {}
        for i in missing:
            alike.setdefault(repr((requests[i].until, requests[i].max_new_tokens, requests[i].options)), []).append(i)
        for numbers in alike.values():
            numbers.sort(key=lambda i: prompts[i].tolist())  # texts that begin alike follow each other
            for at in range(0, len(numbers), _WRITTEN_AT_ONCE):
                part = numbers[at : at + _WRITTEN_AT_ONCE]
                fresh = []
                for i, text in zip(part, self._write(requests[part[0]], [prompts[i] for i in part]), strict=True):
                    found[keys[i]] = text
                    fresh.append((keys[i], json.dumps([text.text, text.token_ids, text.logprobs]).encode()))
                self._keep(fresh)
                self._count(len(part) * requests[part[0]].max_new_tokens)
        return [found[key] for key in keys]

    def _prompts(self, requests: Sequence[Generate]) -> list[Ids]:
        n = self.lm.config.n_positions
        made = []
        for request, ids in zip(requests, self.tokenizer.encode_batch([r.prompt for r in requests]), strict=True):
            room = n - request.max_new_tokens
            if room < 1:
                raise RequestError(
                    f"{request.max_new_tokens} new tokens leave no room for a prompt in the model's window of {n}."
                )
            made.append(np.asarray((ids or [self.lm.bos_id()])[-room:], np.int32))
        return made

    def _write(self, request: Generate, prompts: list[Ids]) -> list[Written]:
        options = {"seed": 0, **(request.options or {"temperature": 0.0})}
        generate: Any = self.lm.generate  # its overloads say nothing of several prompts as ids
        groups = generate(token_ids=prompts, stop=list(request.until), max_new_tokens=request.max_new_tokens, **options)
        return [Written(g.text, tuple(g.token_ids), tuple(g.logprobs)) for (g,) in groups]


_RULES = {"sliding": windows.sliding, "filled": windows.filled, "of_tokens": windows.of_tokens}


def _likely_of(pair: Pair, found: Likelihood) -> Likely:
    return Likely(
        logprob=float(found.logprobs.sum(dtype=np.float64)),
        greedy=found.greedy(pair.continuation),
        token_ids=tuple(pair.continuation.tolist()),
        logprobs=tuple(found.logprobs.tolist()),
        likeliest=tuple(found.likeliest.tolist()),
        allowed=tuple(found.allowed.tolist()),
    )


def _thirds(value: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    n = len(value) // 3
    return (
        np.frombuffer(value[:n], np.float32),
        np.frombuffer(value[n : 2 * n], np.int32),
        np.frombuffer(value[2 * n :], np.int32),
    )


def _written(value: list[object]) -> Written:
    text, ids, logprobs = value
    assert isinstance(text, str) and isinstance(ids, list) and isinstance(logprobs, list)
    return Written(text, tuple(ids), tuple(logprobs))

"""The native backend: GPT-2 in C++ on packed weights (see native/).

Chooses kernels, threads and precision, checks what the C++ side takes for granted, and words the errors.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np

import gpt2lab._native as _native
from gpt2lab.config import to_dict
from gpt2lab.engine.params import SamplingParams, check_whole
from gpt2lab.engine.protocol import UNBOUNDED, Cache, Floats, Ids, TextSequence
from gpt2lab.errors import ConfigError, nearest
from gpt2lab.model.config import LONG_SETTINGS, GPT2Config

Precision = Literal["auto", "fp32", "bf16", "int8", "int4"]
Format = Literal["fp32", "bf16", "int8", "int4"]
CachePrecision = Literal["auto", "fp32", "bf16", "int8"]
CacheFormat = Literal["fp32", "bf16", "int8"]
ISA_VARIABLE = "GPT2LAB_ISA"


def choose_isa() -> str:
    """Return the kernels to use: the best this processor runs, or what $GPT2LAB_ISA names."""
    available: list[str] = _native.available_isas()
    given = os.environ.get(ISA_VARIABLE)
    if not given:
        return available[0]
    if given not in available:
        raise ConfigError(
            f"{ISA_VARIABLE}={given} is not one of this processor's kernels: {', '.join(available)}."
            f"{nearest(given, available)}"
        )
    return given


def choose_threads(threads: int | None = None) -> int:
    """Return `threads`, or by default the number of processors this process may use (at most 32)."""
    if threads is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(usable, 32)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 256:
        raise ConfigError(f"threads = {threads!r} must be a whole number from 1 to 256.")
    return threads


def choose_precision(precision: str) -> Format:
    """Return the weight format for a `--precision` value; "auto" is explained in docs/decisions/0004-precision.md."""
    _check_choice("precision", precision, get_args(Precision))
    return "int8" if precision == "auto" else cast(Format, precision)


def choose_cache_precision(cache_precision: str, weights: Format) -> CacheFormat:
    """Return the format of keys and values: "auto" is that of the weights, and int8 beside int4 ones."""
    _check_choice("cache_precision", cache_precision, get_args(CachePrecision))
    if cache_precision == "auto":
        return "int8" if weights == "int4" else weights
    return cast(CacheFormat, cache_precision)


def _check_choice(name: str, given: str, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise ConfigError(f"{name} = {given!r} is not one of {', '.join(allowed)}.{nearest(given, allowed)}")


class NativeBackend:
    """A GPT-2 on the CPU. `tensors` has the names, shapes and float32 values of `config.tensor_shapes()`.

    With `packed`, the weights that another backend of this configuration and precision has packed, they are used where
    they lie and `tensors` is not read; a `ValueError` where they are not as many as this model's. Raises `ConfigError`
    for a model that it does not compute.
    """

    def __init__(
        self,
        config: GPT2Config,
        tensors: Mapping[str, np.ndarray[Any, Any]],
        *,
        precision: str = "fp32",
        cache_precision: str = "auto",
        threads: int | None = None,
        packed: np.ndarray[Any, Any] | None = None,
    ) -> None:
        if config.is_long:
            raise ConfigError(
                "The native engine does not compute local or compressed attention, which this model's attention_layers "
                "ask for; the PyTorch backend does (TorchBackend, which load_backend and LanguageModel.load take)."
            )
        self.config = config
        self.precision = choose_precision(precision)
        self.cache_precision = choose_cache_precision(cache_precision, self.precision)
        self._isa = choose_isa()
        self._model = _native.Model(
            vocab_size=config.vocab_size,
            n_positions=config.n_positions,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_inner=config.inner,
            max_relative_position=config.max_relative_position,
            activation=config.activation_function,
            layer_norm_epsilon=config.layer_norm_epsilon,
            attention_scale=[config.attention_scale(i) for i in range(config.n_layer)],
            tied=config.tie_word_embeddings,
            precision=self.precision,
            cache_precision=self.cache_precision,
            isa=self._isa,
            threads=choose_threads(threads),
            packed=packed,
        )
        if packed is not None:
            return
        # vectors before matrices: the layer norms say which inputs of a matrix matter most
        for name in sorted(config.tensor_shapes(), key=lambda name: len(config.tensor_shapes()[name])):
            self._model.set(name.removeprefix("transformer."), np.ascontiguousarray(tensors[name], dtype=np.float32))

    @property
    def description(self) -> str:
        """Precision, kernels and threads."""
        threads = self._model.threads
        return f"native {self.precision}, {self._isa} kernels, {threads} thread{'s' if threads > 1 else ''}"

    @property
    def packed(self) -> np.ndarray[Any, Any]:
        """All weights as the kernels read them: read-only octets, whose layout shape and precision alone decide."""
        octets: np.ndarray[Any, Any] = self._model.packed
        return octets

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights, all of which one decoding step reads."""
        return int(self._model.weight_bytes)

    def fingerprint(self) -> str:
        """See `Backend.fingerprint`; equal for equal weights in equal precision, whoever packed them."""
        from hashlib import blake2b

        shape = {name: value for name, value in to_dict(self.config).items() if name not in LONG_SETTINGS}
        about = (self.precision, self.cache_precision, _native.packing_version, sorted(shape.items()))
        digest = blake2b(repr(about).encode(), digest_size=16)
        digest.update(self._model.packed)
        return digest.hexdigest()

    def new_cache(self) -> Cache:
        """Return an empty cache."""
        cache: Cache = self._model.new_cache()
        return cache

    @property
    def waiting_pages(self) -> int:
        """Pages of past caches that wait for the next text."""
        return int(self._model.waiting_pages)

    def forward(self, caches: Sequence[Cache], ids: Sequence[Ids], *, all_positions: bool = False) -> Floats:
        """See `Backend.forward`."""
        logits: Floats = self._model.forward(list(caches), list(ids), all_positions)
        return logits

    def feed(self, cache: Cache, ids: Ids) -> None:
        """See `Backend.feed`."""
        self._model.feed(cache, ids)

    def hidden(self, ids: Ids, layer: int) -> Floats:
        """See `Backend.hidden`."""
        states: Floats = self._model.hidden(self._model.new_cache(), ids, layer)
        return states

    def score(self, cache: Cache, ids: Ids, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """See `Backend.score`."""
        result: tuple[Floats, Ids, Floats, Ids, Floats] = self._model.score(cache, ids, targets, top)
        return result

    def trace(self, ids: Ids) -> tuple[Floats, Floats]:
        """See `Backend.trace`."""
        traced: tuple[Floats, Floats] = self._model.trace(self._model.new_cache(), ids)
        return traced

    def score_states(self, states: Floats, targets: Ids, top: int) -> tuple[Floats, Ids, Floats, Ids, Floats]:
        """See `Backend.score_states`."""
        result: tuple[Floats, Ids, Floats, Ids, Floats] = self._model.score_states(states, targets, top)
        return result

    def sequence(self, prompt: Ids, params: SamplingParams, sample: int, cache: Cache | None = None) -> TextSequence:
        """See `Backend.sequence`."""
        n = self.config.n_positions
        sequence: TextSequence = _native.Sequence(
            prompt, params.max_new_tokens, native_params(params, sample), n, params.stride(n), self._model, cache
        )
        return sequence

    def prefill(self, sequences: Sequence[TextSequence]) -> None:
        """See `Backend.prefill`."""
        self._model.prefill(list(sequences))

    def decode(
        self, sequences: Sequence[TextSequence], steps: int, *, budget: int = UNBOUNDED, seconds: float = math.inf
    ) -> int:
        """See `Backend.decode`."""
        return int(self._model.decode(list(sequences), steps, max(budget, 1), seconds))


def native_params(params: SamplingParams, sample: int = 0) -> Any:
    """Return the C++ side's form of `params` for the random stream number `sample`."""
    native = _native.SamplingParams()
    for name in ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "no_repeat_ngram_size",
                 "min_new_tokens", "top_logprobs", "seed"):  # fmt: skip
        setattr(native, name, getattr(params, name))
    native.top_p_drops_crossing = params.top_p_rule == "openai"
    native.logit_bias = [(int(i), float(b)) for i, b in params.logit_bias.items()]
    native.bad_words = [list(word) for word in params.bad_words_ids]
    native.stop_ids = list(params.stop_ids or ())
    native.prompt_lookup = params.prompt_lookup_num_tokens
    native.sample = sample
    return native


def expected(
    logits: Floats, params: SamplingParams, history: Ids, k: int
) -> tuple[list[tuple[int, float]], list[tuple[int, float]], int, float]:
    """Return what comes after the tokens `history` by one row of logits: (raw, left, kept, entropy).

    raw, left: the k likeliest (id, probability), highest first, lower ids first among equals, as the model says and as
    `params` leave them; kept: how many tokens they leave; entropy: of the raw distribution, in nats.
    """
    check_whole("k", k, 1)
    found: tuple[list[tuple[int, float]], list[tuple[int, float]], int, float] = _native.expected(
        np.ascontiguousarray(logits, np.float32), native_params(params), history, 0, k, choose_isa()
    )
    return found


def filtered(logits: Floats, params: SamplingParams, history: Ids | None = None) -> tuple[Ids, np.ndarray[Any, Any]]:
    """Return (ids, probabilities) that `params` leave of one row of logits, after the tokens `history`; likeliest first
    when a filter sorts them, in order of id otherwise."""
    past = np.zeros(0, np.int32) if history is None else history
    ids, probabilities = _native.filter(
        np.ascontiguousarray(logits, np.float32), native_params(params), past, 0, choose_isa()
    )
    return ids, probabilities

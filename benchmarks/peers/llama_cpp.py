"""llama.cpp through llama-cpp-python's binding of its C interface, on GGUF files that gpt2lab writes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.install import WITHOUT_AMX
from benchmarks.peers.base import Decoded, Peer, Settings, Tools, Width

_SETTINGS: Mapping[str, Settings] = {
    f"flash attention {'on' if flash else 'off'}, n_ubatch {ubatch}": {"flash_attn": flash, "n_ubatch": ubatch}
    for ubatch in (512, 128)
    for flash in (True, False)
}
_FILES = {"F32": "float32", "BF16": "bfloat16", "Q8_0": "q8_0", "Q4_0": "q4_0"}


class LlamaCpp(Peer):
    """`llama_decode` with a sequence a row, and the largest logit taken by numpy."""

    title = "llama.cpp"
    package = "llama-cpp-python"

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`."""
        return {"F32": "fp32", "BF16": "bf16", "Q8_0": "int8", "Q4_0": "int4"}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        if settings.get("library"):
            sys.path.insert(0, str(Path(sys.prefix) / settings["library"]))
        import llama_cpp

        self._api: Any = llama_cpp
        self._threads, self._settings = threads, settings
        self._file = Path(model) / "model.gguf"
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(self._file).encode(), options)
        if not self._model:
            raise ValueError(f"llama.cpp does not load {self._file}")
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._contexts: dict[tuple[int, int], tuple[Any, Any]] = {}

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        """See `Peer.variants`."""
        if not (Path(sys.prefix) / WITHOUT_AMX).is_dir():
            return _SETTINGS
        without = {f"{name}, without AMX": {**s, "library": WITHOUT_AMX} for name, s in _SETTINGS.items()}
        return {**_SETTINGS, **without}

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        """See `Peer.prepare`."""
        from gpt2lab.checkpoint import convert

        convert(tools.source, target / "model.gguf", "gguf", dtype=_FILES[form])

    def _context(self, rows: int, length: int) -> tuple[Any, Any]:
        """Return a context for `rows` sequences of up to `length` tokens, and a batch to fill; both are kept."""
        key = rows, -(-length // 256) * 256
        if key not in self._contexts:
            api = self._api
            options = api.llama_context_default_params()
            options.n_ctx, options.n_seq_max = key[0] * key[1], rows
            options.n_batch, options.n_ubatch = max(512, key[0] * key[1]), self._settings["n_ubatch"]
            options.n_threads = options.n_threads_batch = self._threads
            options.flash_attn_type = int(self._settings["flash_attn"])
            context = api.llama_init_from_model(self._model, options)
            if not context:
                raise ValueError(f"llama.cpp makes no context for {rows} sequences of {length} tokens")
            self._contexts[key] = context, api.llama_batch_init(key[0] * key[1], 0, 1)
        return self._contexts[key]

    def _run(self, context: Any, batch: Any, tokens: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute (id, position, row, whether its logits are wanted) for every token."""
        batch.n_tokens = len(tokens)
        for i, (token, position, row, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row
        if self._api.llama_decode(context, batch):
            raise ValueError("llama_decode failed")

    def _logits(self, context: Any, place: int) -> Any:
        import numpy as np

        return np.ctypeslib.as_array(self._api.llama_get_logits_ith(context, place), shape=(self._vocabulary,))

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`."""
        length = len(prompts[0])
        context, batch = self._context(len(prompts), length + new)
        started = time.perf_counter()
        self._api.llama_memory_clear(self._api.llama_get_memory(context), False)
        asked = [(t, at, row, at == length - 1) for row, ids in enumerate(prompts) for at, t in enumerate(ids)]
        self._run(context, batch, asked)
        made = [[int(self._logits(context, (row + 1) * length - 1).argmax())] for row in range(len(prompts))]
        first = time.perf_counter() - started
        for at in range(length, length + new - 1):
            self._run(context, batch, [(ids[-1], at, row, True) for row, ids in enumerate(made)])
            for row, ids in enumerate(made):
                ids.append(int(self._logits(context, row).argmax()))
        return Decoded(made, first, time.perf_counter() - started)

    def logits(self, ids: Sequence[int]) -> list[list[float]]:
        """See `Peer.logits`."""
        context, batch = self._context(1, len(ids))
        self._api.llama_memory_clear(self._api.llama_get_memory(context), False)
        self._run(context, batch, [(token, at, 0, True) for at, token in enumerate(ids)])
        return [self._logits(context, at).tolist() for at in range(len(ids))]

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`; the file's tensors, of which the positions are under 3 %."""
        return int(self._api.llama_model_size(self._model))

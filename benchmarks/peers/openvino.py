"""OpenVINO GenAI's pipeline on the stateful model that Optimum Intel exports, weights compressed by NNCF."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Decoded, Peer, Settings, Tools, Width

_HINTS = {"fp32": "f32", "bf16": "bf16"}
"""Form -> the type of its arithmetic, which is otherwise OpenVINO's choice: bfloat16 on processors with AMX."""


class OpenVino(Peer):
    """`LLMPipeline` on the CPU, stateful or with paged attention, greedy."""

    title = "OpenVINO"
    package = "openvino-genai"

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`. "bf16" is what it makes of float32 weights by itself where bfloat16 is fast."""
        return {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "int4": "int4"}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        import openvino_genai

        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, **settings}
        if form in _HINTS:
            options["INFERENCE_PRECISION_HINT"] = _HINTS[form]
        if settings["ATTENTION_BACKEND"] == "PA":
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.enable_prefix_caching = False
            scheduler.max_num_batched_tokens = 2048
            options["scheduler_config"] = scheduler
        self._api: Any = openvino_genai
        self._model, self._form = Path(model), form
        self._pipeline: Any = openvino_genai.LLMPipeline(model, "CPU", **options)

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        """See `Peer.variants`. The latency hint is the pipeline's own default; the other was half as fast."""
        names = {"SDPA": "stateful", "PA": "paged attention"}
        return {
            f"{name}, {precision} cache, {pinned}": {
                "ATTENTION_BACKEND": backend,
                "KV_CACHE_PRECISION": precision,
                "ENABLE_CPU_PINNING": pinned == "pinned threads",
            }
            for backend, name in names.items()
            for precision in ("u8", "f16")
            for pinned in ("free threads", "pinned threads")
        }

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        """See `Peer.prepare`. The tokenizer is left out: prompts are ids."""
        weights = "fp32" if form == "bf16" else form
        arguments = ["--task", "text-generation-with-past", "--weight-format", weights, "--disable-convert-tokenizer"]
        command: list[str | Path] = [
            tools.export / "optimum-cli",
            "export",
            "openvino",
            "--model",
            tools.source,
            *arguments,
            target,
        ]
        subprocess.run(command, check=True)
        for path in target.glob("*token*"):
            path.unlink()

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`; the pipeline times its first token itself."""
        import numpy as np
        import openvino

        config = self._api.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = new
        config.ignore_eos = True
        started = time.perf_counter()
        ids = np.array(prompts, np.int64)
        inputs = self._api.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        made = self._pipeline.generate(inputs, config)
        seconds = time.perf_counter() - started
        return Decoded([list(row) for row in made.tokens], made.perf_metrics.get_ttft().mean / 1e3, seconds)

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`; the file, of which the positions are under 3 %."""
        size = (self._model / "openvino_model.bin").stat().st_size
        return size // 2 if self._form == "bf16" else size

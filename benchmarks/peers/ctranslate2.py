"""CTranslate2's generator."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Decoded, Peer, Settings, Tools, Width

_QUANTISED = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


class CTranslate2(Peer):
    """`Generator.generate_batch`, greedy, the prompt forwarded at once."""

    title = "CTranslate2"
    package = "ctranslate2"

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`."""
        return {"fp32": "fp32", "bf16": "bf16", "int8": "int8"}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        os.environ.update(settings.get("environment", {}))
        import ctranslate2  # reads the environment

        compute = _QUANTISED[form]
        able = ctranslate2.get_supported_compute_types("cpu")
        if compute not in able:
            raise ValueError(f"this processor has no {compute} path in CTranslate2, only {', '.join(sorted(able))}")
        self._model = Path(model)
        self._generator: Any = ctranslate2.Generator(
            model, device="cpu", compute_type=compute, inter_threads=1, intra_threads=threads
        )
        self._words: list[str] = json.loads((self._model / "vocabulary.json").read_text(encoding="utf-8"))

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        """See `Peer.variants`."""
        return {
            "default": {},
            "weights packed for MKL": {"environment": {"CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1"}},
            "oneDNN instead of MKL": {"environment": {"CT2_USE_MKL": "0"}},
        }

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        """See `Peer.prepare`."""
        converter = Path(sys.executable).parent / "ct2-transformers-converter"
        arguments: list[str | Path] = [
            "--model",
            tools.source,
            "--output_dir",
            target,
            "--force",
            "--quantization",
            _QUANTISED[form],
        ]
        subprocess.run([converter, *arguments], check=True)

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`. A callback for every token would slow batches: the first token is generated beforehand."""
        words = [[self._words[i] for i in ids] for ids in prompts]
        started = time.perf_counter()
        first = math.nan
        if new > 1:
            self._generate(words, 1)
            first = time.perf_counter() - started
            started = time.perf_counter()
        tokens = self._generate(words, new)
        return Decoded(tokens, first, time.perf_counter() - started)

    def _generate(self, words: list[list[str]], new: int) -> list[list[int]]:
        results = self._generator.generate_batch(
            words,
            max_length=new,
            min_length=new,
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=[],
        )
        return [result.sequences_ids[0] for result in results]

    def logits(self, ids: Sequence[int]) -> list[list[float]]:
        """See `Peer.logits`."""
        import numpy as np

        found = self._generator.forward_batch([[self._words[i] for i in ids]])
        rows: list[list[float]] = np.array(found)[0].tolist()
        return rows

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`; the file is the weights."""
        return (self._model / "model.bin").stat().st_size

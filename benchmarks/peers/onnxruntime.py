"""ONNX Runtime on the model that Optimum exports (ONNX Runtime GenAI's own builder has no GPT-2).

The graph is improved where a user would: only the last position's logits are computed, int8 is the runtime's dynamic
quantisation, int4 its blocks of 32 with products in int8.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.client import ROOT
from benchmarks.peers.base import Decoded, Peer, Settings, Tools, Width

_FILE = "model.onnx"


class OnnxRuntime(Peer):
    """An inference session with its inputs and outputs bound; keys and values go from step to step unread."""

    title = "ONNX Runtime"
    package = "onnxruntime"

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`."""
        return {"fp32": "fp32", "int8": "int8", "int4": "int4"}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._api: Any = onnxruntime
        self._file = Path(model) / _FILE
        self._session: Any = onnxruntime.InferenceSession(str(self._file), options, providers=["CPUExecutionProvider"])
        self._past = [one for one in self._session.get_inputs() if one.name.startswith("past_key_values")]
        self._present = [one.name for one in self._session.get_outputs() if one.name != "logits"]

    @classmethod
    def prepare(cls, target: Path, form: str, tools: Tools) -> None:
        """See `Peer.prepare`."""
        exported = target / "exported"
        command: list[str | Path] = [tools.export / "optimum-cli", "export", "onnx", "--model", tools.source]
        subprocess.run([*command, "--task", "text-generation-with-past", exported], check=True)
        improve: list[str | Path] = [
            tools.export / "python",
            "-m",
            "benchmarks.peers.onnx_graph",
            exported / _FILE,
            form,
            target / _FILE,
        ]
        subprocess.run(improve, cwd=ROOT, check=True)
        for path in exported.iterdir():
            path.unlink()
        exported.rmdir()

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`."""
        import numpy as np

        started = time.perf_counter()
        ids, place = np.array(prompts, np.int64), 0
        shape = self._past[0].shape
        empty = np.zeros((len(ids), shape[1], 0, shape[3]), np.float32)
        cache = [self._api.OrtValue.ortvalue_from_numpy(empty) for _ in self._past]
        made, first = [], 0.0
        for step in range(new):
            logits, cache = self._step(ids, place, cache)
            place += ids.shape[1]
            ids = logits[:, -1].argmax(-1)[:, None]
            made.append(ids)
            if not step:
                first = time.perf_counter() - started
        return Decoded(np.concatenate(made, 1).tolist(), first, time.perf_counter() - started)

    def _step(self, ids: Any, place: int, cache: list[Any]) -> tuple[Any, list[Any]]:
        """Return the logits and the new cache for ids (B, T) that stand at `place` and after."""
        import numpy as np

        rows, length = ids.shape
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", np.ones((rows, place + length), np.int64))
        positions = np.broadcast_to(np.arange(place, place + length), ids.shape)
        binding.bind_cpu_input("position_ids", np.ascontiguousarray(positions, np.int64))
        for one, value in zip(self._past, cache, strict=True):
            binding.bind_ortvalue_input(one.name, value)
        for name in ("logits", *self._present):
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        logits, *present = binding.get_outputs()
        return logits.numpy(), present

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`; the file."""
        return self._file.stat().st_size

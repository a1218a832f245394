"""Our own engine, as a user loads it; the precisions are whatever the engine offers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from benchmarks.peers.base import WIDTHS, Decoded, Peer, Settings, Width


class Native(Peer):
    """The native backend under `LanguageModel.load`, in ids."""

    title = "gpt2lab"
    package = "gpt2lab"
    converted = False

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`."""
        from gpt2lab.engine.native import Precision

        return {width: width for width in WIDTHS if width in get_args(Precision)}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        os.environ.setdefault("GPT2LAB_CACHE", str(Path(model).with_name("packed")))  # where the peers' models lie
        from gpt2lab import LanguageModel

        self._backend: Any = LanguageModel.load(model, precision=form, threads=threads).backend

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`."""
        return self._generate(prompts, new, temperature=0.0)

    def samples(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """See `Peer.samples`."""
        return self._generate(prompts, new, temperature=0.8, top_k=40, top_p=0.9).as_json()

    def _generate(self, prompts: Sequence[Sequence[int]], new: int, **sampling: Any) -> Decoded:
        import numpy as np

        from gpt2lab.engine.params import SamplingParams

        params = SamplingParams(max_new_tokens=new, stop_ids=(), **sampling)
        started = time.perf_counter()
        rows = [self._backend.sequence(np.array(ids, np.int32), params, i) for i, ids in enumerate(prompts)]
        self._backend.decode(rows, 1)
        first = time.perf_counter() - started
        self._backend.decode(rows, new - 1)
        seconds = time.perf_counter() - started
        return Decoded([row.ids_from(row.prompt_length) for row in rows], first, seconds)

    def logits(self, ids: Sequence[int]) -> list[list[float]]:
        """See `Peer.logits`."""
        import numpy as np

        rows = self._backend.forward([self._backend.new_cache()], [np.array(ids, np.int32)], all_positions=True)
        values: list[list[float]] = rows.tolist()
        return values

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`."""
        return int(self._backend.weight_bytes)

    def version(self) -> str:
        """See `Peer.version`; the kernels belong to it."""
        return f"{super().version()} ({self._backend.description})"

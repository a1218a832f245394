"""Hugging Face transformers: `generate` on torch, eager or compiled with a cache of fixed size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.base import Decoded, Peer, Settings, Width


class Transformers(Peer):
    """GPT2LMHeadModel in inference mode, with its cache of keys and values."""

    title = "transformers"
    package = "transformers"
    converted = False

    @classmethod
    def formats(cls) -> Mapping[str, Width]:
        """See `Peer.formats`."""
        return {"fp32": "fp32", "bf16": "bf16"}

    def __init__(self, model: str, form: str, threads: int, settings: Settings) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        self._torch = torch
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[form]
        kind: Any = transformers.GPT2LMHeadModel
        self._model = kind.from_pretrained(
            model, dtype=dtype, attn_implementation=settings["attn_implementation"]
        ).eval()
        self._compiled = bool(settings.get("compile"))

    @classmethod
    def variants(cls) -> Mapping[str, Settings]:
        """See `Peer.variants`."""
        return {
            "eager": {"attn_implementation": "sdpa"},
            "eager, plain attention": {"attn_implementation": "eager"},
            "torch.compile, static cache": {"attn_implementation": "sdpa", "compile": True},
        }

    def decode(self, prompts: Sequence[Sequence[int]], new: int) -> Decoded:
        """See `Peer.decode`. The first token is timed by a stopping criterion, which costs microseconds."""
        torch = self._torch
        ids = torch.tensor(prompts)
        times: list[float] = []

        def note_time(generated: Any, _: Any) -> Any:
            times.append(time.perf_counter())
            return torch.zeros(len(generated), dtype=torch.bool)

        cache: dict[str, Any] = {"cache_implementation": "static"} if self._compiled else {}
        started = time.perf_counter()
        with torch.inference_mode():
            made = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=new,
                min_new_tokens=new,
                pad_token_id=0,
                stopping_criteria=[note_time],
                disable_compile=not self._compiled,
                **cache,
            )
        seconds = time.perf_counter() - started
        return Decoded(made[:, ids.shape[1] :].tolist(), times[0] - started, seconds)

    def logits(self, ids: Sequence[int]) -> list[list[float]]:
        """See `Peer.logits`."""
        with self._torch.inference_mode():
            values: list[list[float]] = self._model(self._torch.tensor([ids])).logits[0].float().tolist()
        return values

    def weight_bytes(self) -> int:
        """See `Peer.weight_bytes`."""
        named = dict(self._model.named_parameters())
        return sum(p.numel() * p.element_size() for name, p in named.items() if not name.endswith("wpe.weight"))

    def version(self) -> str:
        """See `Peer.version`; torch does the work."""
        return f"{super().version()} (torch {self._torch.__version__})"

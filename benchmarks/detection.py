"""What a detector asks of a model, side by side with the same computed by transformers, on one processor and model.

    python benchmarks/detection.py [--shape 124M] [--texts 8] [--tokens 500] [--threads 2] [--output docs/…md]

Both sides measure the same random ids with the same random weights: of every token the log-probability, rank, entropy,
and mean and variance of the log-probability. transformers computes them as the published programs do (one forward pass,
log_softmax, and for the rank a sort of the whole vocabulary at every place); a second row does the same without the
sort. Rounds alternate; the figures are medians. The ranks alone are timed beside an argsort of each token's logits.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 4096, "n_positions": 512, "n_embd": 256, "n_layer": 4, "n_head": 4},
    "124M": {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
}
ROUNDS = 5


def weights(config: Any) -> dict[str, Any]:
    """Return random weights, which both sides load."""
    rng = np.random.default_rng(0)
    made = {}
    for name, shape in config.tensor_shapes().items():
        made[name] = rng.normal(0, 0.02, shape).astype(np.float32)
        if ".ln_" in name and name.endswith("weight"):
            made[name] += 1
    return made


def ours(config: Any, tensors: Any, precision: str, threads: int) -> Callable[[Any], Any]:
    """Return our measurement of one text."""
    from gpt2lab.engine.moments import moments_of
    from gpt2lab.engine.native import NativeBackend

    backend = NativeBackend(config, tensors, precision=precision, threads=threads)
    return lambda ids: moments_of(backend, ids, context=0)


def theirs(config: Any, tensors: Any, threads: int, *, sort: bool) -> Callable[[Any], Any]:
    """Return transformers' model measuring one text."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    model: Any = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config.to_hf()))
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state, strict=False)
    model.eval()

    def measure(ids: Any) -> Any:
        with torch.inference_mode():
            before = torch.from_numpy(np.concatenate([[0], ids[:-1]]).astype(np.int64))[None]
            wanted = torch.from_numpy(ids.astype(np.int64))[:, None]
            logits = model(before).logits[0]
            logp = torch.log_softmax(logits, -1)
            p = logp.exp()
            chosen = logp.gather(1, wanted)[:, 0]
            mean = (p * logp).sum(-1)
            variance = (p * logp.square()).sum(-1) - mean.square()
            if sort:
                rank = (logits.argsort(-1, descending=True) == wanted).nonzero()[:, 1]
            else:
                rank = (logits > logits.gather(1, wanted)).sum(-1)
            return chosen.numpy(), rank.numpy(), -mean.numpy(), variance.numpy()

    return measure


def check(mine: Any, other: Any) -> None:
    """Fail where the two sides do not measure the same."""
    np.testing.assert_allclose(mine.logprobs, other[0], atol=2e-3)
    np.testing.assert_allclose(mine.entropies, other[2], atol=2e-3)
    np.testing.assert_allclose(mine.variances, other[3], rtol=0.02, atol=2e-3)
    assert np.median(np.abs(mine.ranks - other[1])) <= 2, "the ranks differ"


def rates(sides: dict[str, Callable[[Any], Any]], texts: list[Any]) -> dict[str, float]:
    """Return tokens a second of each side: medians over alternating rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for measure in sides.values():
        measure(texts[0])
    for _ in range(ROUNDS):
        for name, measure in sides.items():
            began = time.perf_counter()
            for ids in texts:
                measure(ids)
            seconds[name].append(time.perf_counter() - began)
    total = sum(map(len, texts))
    return {name: total / statistics.median(s) for name, s in seconds.items()}


def ranks(vocab_size: int, n: int = 256) -> tuple[float, float]:
    """Return seconds for the ranks of n tokens: by counting as we do, and by an argsort and a search for each token."""
    from gpt2lab.engine.moments import rank_of

    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (n, vocab_size)).astype(np.float32)
    targets = rng.integers(vocab_size, size=n).astype(np.int32)

    def sorted_ranks() -> list[int]:
        return [int(np.where(np.argsort(-row) == t)[0][0]) for row, t in zip(logits, targets, strict=True)]

    assert rank_of(logits, targets).tolist() == sorted_ranks()
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for times, sort in zip(took, (False, True), strict=True):
            began = time.perf_counter()
            if sort:
                sorted_ranks()
            else:
                rank_of(logits, targets)
            times.append(time.perf_counter() - began)
    return statistics.median(took[0]), statistics.median(took[1])


def main() -> None:
    """Measure and print a Markdown page."""
    from gpt2lab.model.config import GPT2Config

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    lines = [
        "# Measuring texts for detection", "",
        "Made by `python benchmarks/detection.py`: tokens a second for the log-probability, rank, entropy, and "
        "mean and variance of the log-probability of every token, the same weights and texts on both sides.", "",
        f"{platform.processor() or platform.machine()}, {given.threads} threads, {given.texts} texts of {given.tokens} "
        f"tokens, median of {ROUNDS} alternating rounds.", "",
        "| shape | | tokens/s | beside transformers with a sort |", "|---|---|--:|--:|",
    ]  # fmt: skip
    for shape in given.shape or SHAPES:
        config = GPT2Config(**SHAPES[shape], bos_token_id=0, eos_token_id=0)
        tensors = weights(config)
        rng = np.random.default_rng(2)
        texts = [
            rng.integers(config.vocab_size, size=min(given.tokens, config.n_positions)).astype(np.int32)
            for _ in range(given.texts)
        ]
        sides = {f"gpt2lab {p}": ours(config, tensors, p, given.threads) for p in ("fp32", "bf16", "int8")}
        sides["transformers fp32, sort"] = theirs(config, tensors, given.threads, sort=True)
        sides["transformers fp32, no sort"] = theirs(config, tensors, given.threads, sort=False)
        check(sides["gpt2lab fp32"](texts[0]), sides["transformers fp32, sort"](texts[0]))
        found = rates(sides, texts)
        base = found["transformers fp32, sort"]
        lines += [f"| {shape} | {name} | {rate:,.0f} | {rate / base:.1f} x |" for name, rate in found.items()]
    mine, sort = ranks(SHAPES["124M"]["vocab_size"])
    lines += [
        "", f"Ranks of 256 tokens in a vocabulary of 50,257: {1000 * mine:.1f} ms by counting, {1000 * sort:.0f} ms by "
        f"an argsort for each token: {sort / mine:.0f} times.", "",
    ]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if given.output is not None:
        from gpt2lab.files import atomic_write

        with atomic_write(given.output, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()

"""Decoding and prompts at the 124M shape, random weights: our engine beside transformers, in turn, in one run.

Prints medians over rounds and ratios within each round, so that a machine whose speed drifts does not decide.
Usage: python benchmarks/engine.py [--rounds 5] [--threads 2] [--output docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.model.config import preset

PROMPT, NEW, LONG = 32, 64, 1000


def random_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: (rng.standard_normal(shape, dtype=np.float32) * 0.02 + (".ln_" in name and name.endswith("weight")))
        for name, shape in preset("gpt2").tensor_shapes().items()
    }


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ours(backend: NativeBackend, batch: int) -> Callable[[], None]:
    params = SamplingParams(temperature=0.0, max_new_tokens=NEW, stop_ids=())

    def work() -> None:
        prompt = np.arange(PROMPT, dtype=np.int32)
        sequences = [backend.sequence((prompt + i).astype(np.int32), params, 0) for i in range(batch)]
        backend.decode(sequences, NEW)

    return work


def theirs(model: transformers.GPT2LMHeadModel, batch: int) -> Callable[[], None]:
    prompt = torch.arange(PROMPT)[None] + torch.arange(batch)[:, None]

    def work() -> None:
        with torch.inference_mode():
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                pad_token_id=0,
            )

    return work


def heading(backend: NativeBackend, arguments: argparse.Namespace) -> list[str]:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor()
    return [
        "# Benchmarks",
        "",
        "Written by `make bench`: the 124M shape with random weights, greedy,",
        f"a prompt of {PROMPT} tokens and {NEW} new ones; medians of {arguments.rounds} rounds in which the engines",
        "take turns, ratios within each round. Before anything is timed, the fp32 engine's logits are compared",
        "with those of transformers.",
        "",
        f"{cpu}, {arguments.threads} threads; {backend.description}; transformers {transformers.__version__}, "
        f"torch {torch.__version__}.",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tensors = random_tensors()
    config = transformers.GPT2Config()
    model = transformers.GPT2LMHeadModel(config).eval()
    model.load_state_dict({n: torch.from_numpy(t) for n, t in tensors.items()}, strict=False)
    backends = {
        p: NativeBackend(preset("gpt2"), tensors, precision=p, threads=arguments.threads)
        for p in ("fp32", "bf16", "int8", "int4")
    }
    ids = (np.arange(LONG) * 7 % 50257).astype(np.int32)
    given = torch.from_numpy(ids.astype(np.int64))[None]
    with torch.inference_mode():
        expected = model(given[:, :64]).logits[0].numpy()
    own = backends["fp32"].forward([backends["fp32"].new_cache()], [ids[:64]], all_positions=True)
    assert np.abs(own - expected).max() < 1e-3, "the engines do not compute the same"
    cases: dict[str, dict[str, Callable[[], object]]] = {}
    for batch in (1, 8):
        cases[f"decode, batch {batch}"] = {
            "transformers fp32": theirs(model, batch),
            **{f"gpt2lab {p}": ours(b, batch) for p, b in backends.items()},
        }
    cases[f"prompt of {LONG} tokens"] = {
        "transformers fp32": lambda: model(given, logits_to_keep=1),
        **{f"gpt2lab {p}": (lambda b=b: b.forward([b.new_cache()], [ids])) for p, b in backends.items()},  # type: ignore[misc]
    }
    lines = ["| case | engine | tokens/s, median | to transformers |", "|---|---|---|---|"]
    for case, engines in cases.items():
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        with torch.inference_mode():
            for turn in range(arguments.rounds + 1):
                for name, work in engines.items():
                    spent = timed(work)
                    if turn:  # the first round warms up
                        seconds[name].append(spent)
        tokens = LONG if case.startswith("prompt") else NEW * int(case.split()[-1])
        base = seconds["transformers fp32"]
        for name, spent_all in seconds.items():
            ratio = statistics.median(b / s for b, s in zip(base, spent_all, strict=True))
            lines.append(f"| {case} | {name} | {tokens / statistics.median(spent_all):.0f} | {ratio:.2f} x |")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join([*heading(backends["fp32"], arguments), *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()

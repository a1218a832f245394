"""Training steps side by side: our loop, transformers' Trainer and a plain loop, in processes of their own, in turns.

The plain loop is written here from knowledge of how such loops are built: eager PyTorch, the whole batch's logits, one
AdamW. All have the same shape, batch, data, clipping and float32 weights, and no dropout unless asked for; each runs
with products in float32 and, by autocast or by its own option, in bfloat16. A contestant's process warms up, times its
steps and ends; contestants take turns, so a machine whose speed drifts does not decide; ratios are formed within a
turn.

Usage: python benchmarks/training.py [--shapes "char;124M"] [--rounds 3] [--output docs/benchmarks-training.md]
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shape:
    """A model and what one step of it reads; `rows` rows are computed at a time."""

    n_layer: int
    n_embd: int
    n_head: int
    window: int
    vocabulary: int
    batch: int
    rows: int
    steps: int
    dropout: float = 0.0

    @property
    def tokens(self) -> int:
        return self.batch * self.window


SHAPES = {
    "char": Shape(6, 384, 6, 256, 65, batch=64, rows=64, steps=3),
    "char, dropout 0.2": Shape(6, 384, 6, 256, 65, batch=64, rows=64, steps=2, dropout=0.2),
    "124M": Shape(12, 768, 12, 1024, 50257, batch=16, rows=4, steps=1),
    "124M, fine-tuning": Shape(12, 768, 12, 1024, 50257, batch=5, rows=1, steps=2),
    "shipped": Shape(5, 320, 5, 512, 4096, batch=16, rows=16, steps=4),
}
OTHERS = ("Trainer fp32", "plain fp32", "Trainer bf16", "plain bf16")
NAMES = ("gpt2lab fp32", "gpt2lab bf16", "gpt2lab int8", *OTHERS)
"""Who computes in which type of products."""


def batches(shape: Shape) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    while True:
        rows = rng.integers(shape.vocabulary, size=(shape.rows, shape.window + 1))
        yield rows[:, :-1].copy(), rows[:, 1:].copy()


def gpt2lab_steps(shape: Shape, precision: str) -> Callable[[], float]:
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.model.gpt import GPT
    from gpt2lab.train.learner import Learner
    from gpt2lab.train.memory import steady_memory
    from gpt2lab.train.parallel import Processes
    from gpt2lab.train.recipe import load_recipe
    from gpt2lab.train.task import LanguageModelling

    config = GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.window, n_embd=shape.n_embd, n_layer=shape.n_layer,
        n_head=shape.n_head, resid_pdrop=shape.dropout, embd_pdrop=shape.dropout, attn_pdrop=shape.dropout,
    )  # fmt: skip
    train = {"steps": 1, "batch_size": shape.rows, "accumulate": shape.batch // shape.rows, "precision": precision}
    recipe = load_recipe({"name": "benchmark", "data": "", "out": "", "train": train})

    class Noise(LanguageModelling):
        def __init__(self) -> None:
            self._config = config
            self._noise = batches(shape)

        @property
        def stream(self) -> Any:
            return self._noise

    memory = steady_memory()
    memory.__enter__()
    learner = Learner(Noise(), GPT(config), recipe, Processes("cpu", "ddp"))

    def step(_held: object = memory) -> float:  # the allocator is as the loop sets it for as long as this is held
        loss = learner.gradients(0)
        learner.update(loss, 1.0)
        return loss.mean

    return step


def plain_steps(shape: Shape, precision: str) -> Callable[[], float]:
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = shape.n_embd
            self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.drop = nn.Dropout(shape.dropout)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            b, t, c = x.shape
            q, k, v = (
                part.view(b, t, shape.n_head, -1).transpose(1, 2) for part in self.qkv(self.norm_a(x)).split(c, dim=2)
            )
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=shape.dropout)
            x = x + self.drop(self.out(mixed.transpose(1, 2).contiguous().view(b, t, c)))
            out: torch.Tensor = x + self.drop(self.down(F.gelu(self.up(self.norm_b(x)))))
            return out

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(shape.vocabulary, shape.n_embd)
            self.places = nn.Embedding(shape.window, shape.n_embd)
            self.drop = nn.Dropout(shape.dropout)
            self.layers = nn.ModuleList(Layer() for _ in range(shape.n_layer))
            self.norm = nn.LayerNorm(shape.n_embd)
            self.head = nn.Linear(shape.n_embd, shape.vocabulary, bias=False)
            self.head.weight = self.tokens.weight
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, 0.0, 0.02)

        def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            x = self.drop(self.tokens(ids) + self.places(torch.arange(ids.shape[1])))
            for layer in self.layers:
                x = layer(x)
            logits = self.head(self.norm(x))
            return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    model = Model()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    noise, portions = batches(shape), shape.batch // shape.rows

    def step() -> float:
        total = 0.0
        for _ in range(portions):
            ids, targets = (torch.from_numpy(array) for array in next(noise))
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = model(ids, targets) / portions
            total += loss.item()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def trainer_times(shape: Shape, steps: int, precision: str) -> list[float]:
    """Return the seconds of each step of transformers' Trainer, by its own callback."""
    import torch
    import transformers

    config = transformers.GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.window, n_embd=shape.n_embd, n_layer=shape.n_layer,
        n_head=shape.n_head, resid_pdrop=shape.dropout, embd_pdrop=shape.dropout, attn_pdrop=shape.dropout,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    noise = batches(shape)

    class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __init__(self) -> None:
            count = (steps + 1) * shape.batch
            rows = np.concatenate([next(noise)[0] for _ in range(-(-count // shape.rows))])
            self.rows = torch.from_numpy(rows)

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"input_ids": self.rows[index], "labels": self.rows[index]}

    marks: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=shape.rows, max_steps=steps + 1, use_cpu=True,
            gradient_accumulation_steps=shape.batch // shape.rows, learning_rate=1e-3, weight_decay=0.1,
            max_grad_norm=1.0, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            dataloader_pin_memory=False, adam_beta2=0.95, bf16=precision == "bf16",
        )  # fmt: skip
        model = transformers.GPT2LMHeadModel(config)
        transformers.Trainer(model=model, args=arguments, train_dataset=Rows(), callbacks=[Clock()]).train()
    return [b - a for a, b in itertools.pairwise(marks)]


def contestant(name: str, shape: Shape, threads: int) -> None:
    """Run one contestant in this process and print its seconds a step and its peak memory as JSON."""
    if name.startswith("gpt2lab"):
        from gpt2lab.train.waiting import wait_briefly

        wait_briefly()
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    who, precision = name.split()
    if who == "Trainer":
        seconds = trainer_times(shape, shape.steps, precision)
    else:
        step = (plain_steps if who == "plain" else gpt2lab_steps)(shape, precision)
        step()
        seconds = []
        for _ in range(shape.steps):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak": peak}) + "\n")


def measured(name: str, shape: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contestant", name, "--shapes", shape, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed at {shape}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(key: str, threads: int, rounds: int, names: Sequence[str]) -> list[str]:
    """Return the table rows of one shape: the speeds, and their ratios to the others' of the same turn."""
    shape = SHAPES[key]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    peaks = dict.fromkeys(names, 0)
    for _ in range(rounds):
        for name in names:
            result = measured(name, key, threads)
            speeds[name].append(shape.tokens / statistics.median(result["seconds"]))
            peaks[name] = max(peaks[name], result["peak"])
            sys.stderr.write(f"{key}: {name} {speeds[name][-1]:,.0f} tokens/s, {result['peak'] / 1e9:.2f} GB\n")
    others = [name for name in names if name in OTHERS]
    rows = []
    for name in names:
        alike = [other for other in others if other.split()[1] == name.split()[1]]
        rows.append(
            f"| {key} | {name} | {statistics.median(speeds[name]):,.0f} | {ratio(name, alike, speeds)} | "
            f"{ratio(name, others, speeds)} | {peaks[name] / 1e9:.2f} GB | "
            f"{peaks[name] / min(peaks[other] for other in others):.2f} x |"
        )
    return rows


def ratio(name: str, others: Sequence[str], speeds: dict[str, list[float]]) -> str:
    """Return how many times as fast `name` is as the best of `others`, by the median of turns; "–" for no others."""
    if not others:
        return "–"
    turns = zip(speeds[name], *(speeds[other] for other in others), strict=True)
    return f"{statistics.median(own / max(theirs) for own, *theirs in turns):.2f} x"


def heading(keys: Sequence[str], threads: int, rounds: int) -> list[str]:
    import torch
    import transformers

    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    units = "with" if torch.cpu._is_amx_tile_supported() else "without"
    shapes = [
        f"- {key}: {s.n_layer} layers, width {s.n_embd}, window {s.window}, vocabulary {s.vocabulary}, "
        f"{s.batch} rows a step, {s.rows} at a time"
        for key, s in SHAPES.items()
        if key in keys
    ]
    return [
        "# Benchmarks of training",
        "",
        "Written by `benchmarks/training.py`: our loop, transformers' Trainer and a plain loop in PyTorch, with AdamW,",
        f"each in a process of its own, in turns, {rounds} rounds. The precision is that of the products; weights,",
        "sums and optimizer are float32 everywhere. Speeds are medians; ratios are to the best of the two others, once",
        "of the same precision and once of any, and formed within a round; memory is the peak of the process, beside",
        "the lowest of the others.",
        "",
        f"{names[0] if names else platform.processor()} ({units} AMX), {threads} threads; torch {torch.__version__}, "
        f"transformers {transformers.__version__}.",
        "",
        *shapes,
        "",
        "| shape | loop | tokens/s | beside the same precision | beside the best | peak memory | of the lowest |",
        "|---|---|---|---|---|---|---|",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=";".join(SHAPES), help="names, with semicolons between them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=";".join(NAMES), help="contestants, with semicolons between them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestant", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    keys = arguments.shapes.split(";")
    if arguments.contestant:
        contestant(arguments.contestant, SHAPES[keys[0]], arguments.threads)
        return
    rows = [row for key in keys for row in compare(key, arguments.threads, arguments.rounds, arguments.only.split(";"))]
    text = "\n".join([*heading(keys, arguments.threads, arguments.rounds), *rows, ""])
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

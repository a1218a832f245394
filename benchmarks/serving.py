"""Servers side by side under 32 clients: `gpt2lab serve`, the engine itself, OpenVINO GenAI, `transformers serve`.

    python -m benchmarks.serving [--rounds 3] [--output docs/benchmarks-serving.md]

Our server and `transformers serve` are processes of their own, asked over HTTP by clients that stream; the engine and
OpenVINO's continuous batching get the same prompts at once, without HTTP. Contestants take turns and ratios are formed
within a round. Of transformers' types and of OpenVINO's settings the fastest one counts. Last, what a click in the
explorer costs beside a step of the engine. The models are the shape of 124M with random weights, and the embedded one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.checkpoints import ConversionError, converted, random_model, with_tokenizer
from benchmarks.client import ROOT, Worker, WorkerError
from benchmarks.peers import TARGETS
from benchmarks.serving_page import page
from benchmarks.serving_process import ServerProcess, TransformersServe
from gpt2lab import checkpoint
from gpt2lab.tokenizer import Tokenizer

CLIENTS, PROMPT, NEW = 32, 32, 64
CLICK_CONTEXT, CLICKS = 500, 20
PAIRS = {"int8": "int8", "fp32": "fp32"}
"""Our precision -> OpenVINO's format of equal bits."""
SETTINGS = (("SDPA", "u8"), ("PA", "u8"), ("PA", "f16"))
"""OpenVINO's ways to batch and its caches; threads are left free."""
THEIRS = (("float32", False), ("bfloat16", False), ("float32", True), ("bfloat16", True))
"""transformers serve: type of the weights, and whether with --continuous-batching."""


@dataclass(frozen=True)
class Model:
    """A model: its name in the report, its folder with a tokenizer, and where converted ones lie (of `size`)."""

    name: str
    folder: Path
    size: str

    def prompts(self, seed: int, count: int, length: int = PROMPT) -> list[list[int]]:
        """Return prompts of ordinary letters, different for every seed."""
        tokenizer = Tokenizer.from_folder(self.folder)
        state, found = seed * 7919 + 1, []
        for _ in range(count):
            letters = []
            for _ in range(length * 8):
                state = (state * 1103515245 + 12345) % 2**31
                letters.append("abcdefghijklmnopqrstuvwxyz "[(state >> 16) % 27])
            found.append(tokenizer.encode("".join(letters).strip())[:length])
        return found

    def texts(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        """Return prompts as text."""
        tokenizer = Tokenizer.from_folder(self.folder)
        return [tokenizer.decode(ids) for ids in prompts]


@dataclass(frozen=True)
class Work:
    """What all contestants share."""

    place: Path
    export: Path
    threads: int
    rounds: int


def models(work: Work, names: Sequence[str]) -> Iterator[Model]:
    """Yield the models, made where they are not there."""
    if "124M" in names:
        plain = random_model(work.place / "gpt2" / "model", "gpt2")
        yield Model("124M, random", with_tokenizer(work.place / "gpt2" / "model-with-tokenizer", plain), "gpt2")
    if "tiny" in names:
        source = checkpoint.load("tiny").path
        for folder in ("model", "model-with-tokenizer"):
            target = work.place / "tiny" / folder
            if not target.is_dir():
                shutil.copytree(source, target)
        yield Model("embedded", work.place / "tiny" / "model-with-tokenizer", "tiny")


Decode = Callable[[Sequence[Sequence[int]], int], tuple[float, float]]
Figures = dict[str, Any]
"""rate: tokens a second; of servers also first_median, first_p99, lost."""


def of_load(found: load.Load) -> Figures:
    """Return a load's figures."""
    first = {"first_median": found.percentile(0.5), "first_p99": found.percentile(0.99)}
    return {"rate": found.rate, "lost": len(found.lost), "why": found.lost[:1], **first}


def our_server(work: Work, model: Model, precision: str, seed: int) -> Figures:
    """Measure `gpt2lab serve`."""
    prompts = model.prompts(seed, CLIENTS * 2)

    def body(number: int) -> dict[str, Any]:
        return {
            "prompt": prompts[number], "max_tokens": NEW, "min_tokens": NEW, "temperature": 0,
            "stream_options": {"include_usage": True},
        }  # fmt: skip

    arguments = ["--model", str(model.folder), "--precision", precision, "--threads", str(work.threads)]
    with ServerProcess(arguments) as server:
        load.measure(server.url, lambda i: {**body(i), "prompt": prompts[i][::-1]}, clients=CLIENTS, each=1)
        return of_load(load.measure(server.url, body, clients=CLIENTS, each=2))


def transformers_server(work: Work, model: Model, seed: int, dtype: str, *, batching: bool) -> Figures:
    """Measure `transformers serve`; one request a client, since it is slow."""
    texts = model.texts(model.prompts(seed, CLIENTS))

    def body(number: int) -> dict[str, Any]:
        return {"model": str(model.folder), "prompt": texts[number], "max_tokens": NEW, "temperature": 0}

    with TransformersServe(model.folder, dtype, batching=batching, threads=work.threads) as server:
        load.measure(server.url, body, clients=1, each=1)
        return of_load(load.measure(server.url, body, clients=CLIENTS, each=1))


def best_of_transformers(work: Work, model: Model, seed: int, choices: Sequence[tuple[str, bool]]) -> Figures:
    """Return the figures of the fastest way to run `transformers serve`, "way" among them."""
    found = []
    for dtype, batching in choices:
        figures = transformers_server(work, model, seed, dtype, batching=batching)
        name = f"{dtype}, continuous batching" if batching else dtype
        say(f"  transformers serve, {name}: {figures['rate']:.1f} tokens/s, {figures['lost']} lost {figures['why']}")
        found.append({**figures, "way": name, "choice": (dtype, batching)})
    return max(found, key=lambda figures: (figures["lost"] == 0, figures["rate"]))


@contextmanager
def engine(work: Work, peer: str, model: Path, form: str, settings: Mapping[str, Any]) -> Iterator[Decode]:
    """Yield what continues prompts in a process of an engine's own; it returns seconds to the first and last token."""
    with Worker(TARGETS[peer], work.place / "logs" / f"serving-{peer}-{form}.log") as worker:
        worker.call("load", timeout=300, model=str(model), form=form, threads=work.threads, settings=settings)

        def decode(prompts: Sequence[Sequence[int]], new: int) -> tuple[float, float]:
            value = worker.call("decode_json", timeout=600, prompts=prompts, new=new).value
            return float(value["first"]), float(value["seconds"])

        yield decode


def engine_rate(work: Work, peer: str, model: Model, form: str, seed: int, settings: Mapping[str, Any]) -> float:
    """Return tokens a second of an engine that gets all clients' prompts at once."""
    folder = model.folder if peer == "gpt2lab" else converted(work.place, model.size, peer, form, work.export)
    with engine(work, peer, folder, form, settings) as decode:
        decode(model.prompts(seed + 500, CLIENTS), 8)
        _, seconds = decode(model.prompts(seed, CLIENTS), NEW)
    return CLIENTS * NEW / seconds


def openvino_settings(name: tuple[str, str]) -> dict[str, Any]:
    """Return the settings of benchmarks/peers/openvino.py."""
    return {"ATTENTION_BACKEND": name[0], "KV_CACHE_PRECISION": name[1], "ENABLE_CPU_PINNING": False}


def fastest_openvino(work: Work, model: Model, form: str, seed: int, names: Sequence[tuple[str, str]]) -> Figures:
    """Return the figures of OpenVINO's fastest settings, which are "choice"."""
    found = []
    for name in names:
        rate = engine_rate(work, "openvino", model, form, seed, openvino_settings(name))
        say(f"  OpenVINO {form}, {name[0]}, {name[1]} cache: {rate:.1f} tokens/s")
        found.append({"rate": rate, "choice": name, "way": f"{name[0]}, {name[1]} cache"})
    return max(found, key=lambda figures: figures["rate"])


def click(work: Work, model: Model, precision: str) -> Figures:
    """Return the median seconds of a click in the explorer, of a request for nothing, and of a step of the engine."""
    (ids,) = model.prompts(1, 1, CLICK_CONTEXT)
    with engine(work, "gpt2lab", model.folder, precision, {}) as decode:
        first, seconds = decode([ids], CLICKS)
        step = (seconds - first) / (CLICKS - 1)
    arguments = ["--model", str(model.folder), "--precision", precision, "--threads", str(work.threads)]
    with ServerProcess(arguments) as server:
        one = statistics.median(load.clicks(server.url, ids, CLICKS))
        nothing = statistics.median(load.nothing(server.url, 5 * CLICKS))
    return {"click": one, "nothing": nothing, "step": step, "context": len(ids)}


def compare(work: Work, model: Model, precision: str, theirs: list[Figures]) -> dict[str, Any]:
    """Measure a model in a precision; `theirs` are the rounds of `transformers serve`, measured once a model."""
    form, settings, choices = PAIRS[precision], list(SETTINGS), list(THEIRS)
    found: dict[str, Any] = {"engine": [], "server": [], "openvino": [], "absent": ""}
    measure_theirs = not theirs
    for number in range(work.rounds):
        seed = number + 1
        found["engine"].append(engine_rate(work, "gpt2lab", model, precision, seed, {}))
        found["server"].append(our_server(work, model, precision, seed))
        say(f"{model.name} {precision}: engine {found['engine'][-1]:.1f}, server {found['server'][-1]['rate']:.1f}")
        try:
            fastest = fastest_openvino(work, model, form, seed, settings)
            settings = [fastest["choice"]]
            found["openvino"].append(fastest)
        except (ConversionError, WorkerError) as error:
            found["absent"] = str(error)
        if measure_theirs:
            theirs.append(best_of_transformers(work, model, seed, choices))
            choices = [theirs[-1]["choice"]]
    found["transformers"], found["click"] = theirs, click(work, model, precision)
    return found


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="124M,tiny", help="of 124M,tiny (default: both)")
    parser.add_argument("--precisions", default="int8,fp32", help="of int8,fp32 (default: both)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="folder for models")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    environment = Path(sys.prefix)
    export = environment.with_name(f"{environment.name}-export") / "bin"
    work = Work(given.work.resolve(), export, given.threads, given.rounds)
    results = {}
    for model in models(work, given.models.split(",")):
        theirs: list[Figures] = []
        for precision in given.precisions.split(","):
            results[model.name, precision] = compare(work, model, precision, theirs)
    text = page(results, work.threads, work.rounds, (CLIENTS, PROMPT, NEW))
    sys.stdout.write(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

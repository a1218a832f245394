"""Servers side by side under 32 clients: `gpt2lab serve`, the engine itself, OpenVINO GenAI, `transformers serve`.

    python -m benchmarks.serving [--minutes 12] [--output docs/benchmarks-serving.md]

Our server and `transformers serve` are processes of their own, asked over HTTP by clients that stream; the engine and
OpenVINO's continuous batching get the same prompts at once, without HTTP. Contestants take turns and ratios are formed
within a round; there are as many rounds as the time allows, at least one. Of transformers' types and of OpenVINO's
settings the fastest one counts. Last, what a click in the explorer costs beside a step of the engine. The models are
the shape of 124M with random weights, and the embedded one. What was measured is kept after every step in the work
folder (serving_results.py); a contestant that fails is named in the report and costs the others nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import load
from benchmarks.checkpoints import ConversionError, converted, random_model, with_tokenizer
from benchmarks.client import ROOT, Worker, WorkerError
from benchmarks.peers import TARGETS
from benchmarks.serving_page import page
from benchmarks.serving_process import ServerProcess, TransformersServe
from benchmarks.serving_results import Figures, Record, load_records
from gpt2lab import checkpoint
from gpt2lab.tokenizer import Tokenizer

CLIENTS, PROMPT, NEW = 32, 32, 64
TRIED = 8  # new tokens of each text while the fastest way to run a peer is looked for
CLICK_CONTEXT, CLICKS = 500, 20
ROUNDS = 3
PAIRS = {"int8": "int8", "fp32": "fp32"}
"""Our precision -> OpenVINO's format of equal bits."""
SETTINGS = (("SDPA", "u8"), ("PA", "u8"), ("PA", "f16"))
"""OpenVINO's ways to batch and its caches; threads are left free."""
THEIRS = (("float32", False), ("bfloat16", False), ("float32", True), ("bfloat16", True))
"""transformers serve: type of the weights, and whether with --continuous-batching."""
FAILURES = (WorkerError, ConversionError, OSError, EOFError, ValueError, httpx2.HTTPError)
"""What a contestant that fails comes to here."""


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


def models(place: Path, names: Sequence[str]) -> Iterator[Model]:
    """Yield the models, made where they are not there."""
    if "124M" in names:
        plain = random_model(place / "gpt2" / "model", "gpt2")
        yield Model("124M, random", with_tokenizer(place / "gpt2" / "model-with-tokenizer", plain), "gpt2")
    if "tiny" in names:
        source = checkpoint.load("tiny").path
        for folder in ("model", "model-with-tokenizer"):
            target = place / "tiny" / folder
            if not target.is_dir():
                shutil.copytree(source, target)
        yield Model("embedded", place / "tiny" / "model-with-tokenizer", "tiny")


Decode = Callable[[Sequence[Sequence[int]], int], tuple[float, float]]


def of_load(found: load.Load) -> Figures:
    """Return a load's figures: rate (tokens a second), first_median, first_p99 (seconds), lost, why."""
    if not found.tokens:
        raise WorkerError(f"no answer came: {found.lost[:1]}")
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

    with server_of(work, model, precision) as server:
        load.measure(server.url, lambda i: {**body(i), "prompt": prompts[i][::-1]}, clients=CLIENTS, each=1)
        return of_load(load.measure(server.url, body, clients=CLIENTS, each=2))


def server_of(work: Work, model: Model, precision: str) -> ServerProcess:
    """Start `gpt2lab serve`; its packed weights lie where the engine's do."""
    arguments = ["--model", str(model.folder), "--precision", precision, "--threads", str(work.threads)]
    return ServerProcess(arguments, {"GPT2LAB_CACHE": str(model.folder.with_name("packed"))})


def transformers_server(work: Work, model: Model, seed: int, choice: tuple[str, bool], new: int) -> Figures:
    """Measure `transformers serve`; one request a client, since it is slow."""
    dtype, batching = choice
    texts = model.texts(model.prompts(seed, CLIENTS))

    def body(number: int) -> dict[str, Any]:
        return {"model": str(model.folder), "prompt": texts[number], "max_tokens": new, "temperature": 0}

    with TransformersServe(model.folder, dtype, batching=batching, threads=work.threads) as server:
        load.measure(server.url, lambda i: {**body(i), "max_tokens": 2}, clients=1, each=1)
        return of_load(load.measure(server.url, body, clients=CLIENTS, each=1))


def way_of(choice: tuple[str, bool]) -> str:
    """Return one of `THEIRS` in words."""
    dtype, batching = choice
    return f"{dtype}, continuous batching" if batching else dtype


@contextmanager
def engine(work: Work, peer: str, model: Path, form: str, settings: Mapping[str, Any]) -> Iterator[Decode]:
    """Yield what continues prompts in a process of an engine's own; it returns seconds to the first and last token."""
    with Worker(TARGETS[peer], work.place / "logs" / f"serving-{peer}-{form}.log") as worker:
        worker.call("load", timeout=300, model=str(model), form=form, threads=work.threads, settings=settings)

        def decode(prompts: Sequence[Sequence[int]], new: int) -> tuple[float, float]:
            value = worker.call("decode_json", timeout=600, prompts=prompts, new=new).value
            return float(value["first"]), float(value["seconds"])

        yield decode


def engine_rate(
    work: Work, peer: str, model: Model, form: str, seed: int, settings: Mapping[str, Any], new: int = NEW
) -> float:
    """Return tokens a second of an engine that gets all clients' prompts at once."""
    folder = model.folder if peer == "gpt2lab" else converted(work.place, model.size, peer, form, work.export)
    with engine(work, peer, folder, form, settings) as decode:
        decode(model.prompts(seed + 500, CLIENTS), 8)
        _, seconds = decode(model.prompts(seed, CLIENTS), new)
    return CLIENTS * new / seconds


def openvino_settings(name: tuple[str, str]) -> dict[str, Any]:
    """Return the settings of benchmarks/peers/openvino.py."""
    return {"ATTENTION_BACKEND": name[0], "KV_CACHE_PRECISION": name[1], "ENABLE_CPU_PINNING": False}


def click(work: Work, model: Model, precision: str) -> Figures:
    """Return the median seconds of a click in the explorer, of a request for nothing, and of a step of the engine."""
    (ids,) = model.prompts(1, 1, CLICK_CONTEXT)
    with engine(work, "gpt2lab", model.folder, precision, {}) as decode:
        first, seconds = decode([ids], CLICKS)
        step = (seconds - first) / (CLICKS - 1)
    with server_of(work, model, precision) as server:
        one = statistics.median(load.clicks(server.url, ids, CLICKS))
        nothing = statistics.median(load.nothing(server.url, 5 * CLICKS))
    return {"click": one, "nothing": nothing, "step": step, "context": len(ids)}


class Fastest:
    """The fastest of several ways to run a peer, found by trying each once; ways that fail are left out."""

    def __init__(self, title: str, ways: Sequence[Any], rate: Callable[[Any], float]) -> None:
        self._title, self._ways, self._rate = title, ways, rate
        self._found: Any = None

    def way(self) -> Any:
        """Return it; raises `WorkerError` where all fail."""
        if self._found is None:
            rates, said = {}, []
            for way in self._ways:
                try:
                    rates[way] = self._rate(way)
                    say(f"  {self._title}, {way}: {rates[way]:.1f} tokens/s when tried")
                except FAILURES as error:
                    said.append(f"{way}: {first_line(error)}")
                    say(f"  {self._title}, {said[-1]}")
            if not rates:
                raise WorkerError("; ".join(said))
            self._found = max(rates, key=lambda way: rates[way])
        return self._found


def contestants(work: Work, model: Model, precision: str, theirs: Fastest) -> dict[str, Callable[[int], Figures]]:
    """Return name -> what measures a round, by its number, in the order of the turns."""
    form = PAIRS[precision]

    def tried(way: tuple[str, str]) -> float:
        return engine_rate(work, "openvino", model, form, 0, openvino_settings(way), TRIED)

    fastest = Fastest(f"OpenVINO {form}", SETTINGS, tried)

    def openvino(seed: int) -> Figures:
        way = fastest.way()
        rate = engine_rate(work, "openvino", model, form, seed, openvino_settings(way))
        return {"rate": rate, "way": f"{way[0]}, {way[1]} cache"}

    def transformers(seed: int) -> Figures:
        way = theirs.way()
        return {**transformers_server(work, model, seed, way, NEW), "way": way_of(way)}

    return {
        "engine": lambda seed: {"rate": engine_rate(work, "gpt2lab", model, precision, seed, {})},
        "server": lambda seed: our_server(work, model, precision, seed),
        "openvino": openvino,
        "transformers": transformers,
    }


def compare(work: Work, model: Model, record: Record, theirs: Fastest, ends: float) -> None:
    """Measure a model in a precision until `ends` (monotonic seconds): a round at least, and `ROUNDS` at most."""
    measured = contestants(work, model, record.precision, theirs)
    for number in range(1, ROUNDS + 1):
        began = time.monotonic()
        for name, measure in measured.items():
            if name in record.absent:
                continue
            try:
                figures = measure(number)
            except FAILURES as error:
                record.miss(name, first_line(error))
                say(f"{model.name} {record.precision}: {name} is missing: {first_line(error)}")
            else:
                record.add(name, number, figures)
                say(f"{model.name} {record.precision}, round {number}: {name} {figures['rate']:.1f} tokens/s")
        if time.monotonic() + (time.monotonic() - began) > ends:
            break
    try:
        record.click(click(work, model, record.precision))
    except FAILURES as error:
        record.miss("click", first_line(error))


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(text + "\n")


def measure_all(work: Work, given: argparse.Namespace, results: Path) -> None:
    """Measure every model in every precision, the time shared among them."""
    began, seconds = time.monotonic(), 60 * given.minutes
    found, precisions = list(models(work.place, given.models.split(","))), given.precisions.split(",")
    left = len(found) * len(precisions)
    for model in found:

        def rate(choice: tuple[str, bool], model: Model = model) -> float:
            return float(transformers_server(work, model, 0, choice, TRIED)["rate"])

        theirs = Fastest("transformers serve", THEIRS, rate)
        for precision in precisions:
            now = time.monotonic()
            record = Record(results, model.name, precision, work.threads, (CLIENTS, PROMPT, NEW))
            compare(work, model, record, theirs, now + (began + seconds - now) / left)
            left -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="124M,tiny", help="of 124M,tiny (default: both)")
    parser.add_argument("--precisions", default="int8,fp32", help="of int8,fp32 (default: both)")
    parser.add_argument("--minutes", type=float, default=12.0, help="about how long it may take")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="folder for models and results")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the page of what is kept")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    environment = Path(sys.prefix)
    export = environment.with_name(f"{environment.name}-export") / "bin"
    work = Work(given.work.resolve(), export, given.threads)
    results = work.place / "serving"
    if not given.report:
        measure_all(work, given, results)
    text = page(load_records(results))
    sys.stdout.write(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

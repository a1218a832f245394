"""Evaluations side by side: `gpt2lab eval` in each precision and lm-eval with transformers in fp32, in one run.

Both evaluate the same documents under lm-eval's protocol: WikiText-2 (raw, whole articles) and LAMBADA (OpenAI's), of
each the first part. A contestant's process loads the model, times each evaluation from documents to figures, and ends;
contestants take turns, and ratios are formed within a turn. lm-eval runs with each of several batch sizes, and the
faster counts. Without --model the weights are random in the shape of the 124M model: speed does not depend on them, but
what a precision costs does, so that is also told of the embedded model, which is trained.

    python -m benchmarks.evaluation --data corpora --gpt2 gpt2_bpe [--model FOLDER] [--output PAGE]

With the defaults this takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

OURS = ("gpt2lab fp32", "gpt2lab bf16", "gpt2lab int8")
BATCH_SIZES = (1, 8)
"""Of lm-eval."""
THEIRS = "lm-eval, transformers fp32"
TASKS = {"wikitext2": ("wikitext", "word_perplexity"), "lambada": ("lambada_openai", "perplexity")}
"""Our task -> lm-eval's, and the figure that is compared."""


@dataclass(frozen=True)
class Work:
    """What is evaluated: the model's folder, the data, and how many lines and passages of them."""

    model: str
    data: str
    lines: int
    passages: int
    threads: int

    def limit(self, task: str) -> int:
        """Return how much of a task's documents counts."""
        return self.lines if task == "wikitext2" else self.passages


def measured(work: Work, name: str, batch_size: int) -> dict[str, dict[str, float]]:
    """Return seconds, tokens and the figure of each task, in this process."""
    return ours(work, name.split()[-1]) if name in OURS else theirs(work, batch_size)


def ours(work: Work, precision: str) -> dict[str, dict[str, float]]:
    """Evaluate with gpt2lab."""
    from gpt2lab import LanguageModel
    from gpt2lab.evals.place import Place
    from gpt2lab.evals.registry import load_task
    from gpt2lab.evals.run import evaluate

    lm = LanguageModel.load(work.model, precision=precision, threads=work.threads)
    found = {}
    for name, (_, figure) in TASKS.items():
        task = load_task(name, preset="lm-eval", place=Place(Path(work.data), offline=True))
        began = time.perf_counter()
        (result,) = evaluate(lm, [task], limit=work.limit(name), resamples=0)
        found[name] = {
            "seconds": time.perf_counter() - began,
            "tokens": float(result.tokens),
            "figure": result.figures[figure].value,
        }
    return found


def theirs(work: Work, batch_size: int) -> dict[str, dict[str, float]]:
    """Evaluate with lm-eval and transformers."""
    import torch
    from transformers import GPT2LMHeadModel

    from benchmarks.lm_eval_tasks import lm_eval_figures, transformers_in_lm_eval
    from gpt2lab.evals import corpora
    from gpt2lab.evals.place import Place
    from gpt2lab.evals.registry import load_task

    torch.set_num_threads(work.threads)
    plain: Any = GPT2LMHeadModel.from_pretrained(work.model, dtype=torch.float32)
    plain.eval()
    model = transformers_in_lm_eval(plain, Path(work.model) / "tokenizer.json", batch_size=batch_size)
    place = Place(Path(work.data), offline=True)
    lines = corpora.load_lines("wikitext2_raw", place, work.lines)[0]
    passages = load_task("lambada", preset="lm-eval", place=place).load(work.passages)[0]
    documents: dict[str, list[dict[str, Any]]] = {
        "wikitext2": [{"page": page} for page in corpora.pages(lines)],
        "lambada": [{"text": text} for text in passages],
    }
    found = {}
    for name, (task, figure) in TASKS.items():
        began = time.perf_counter()
        figures = lm_eval_figures(model, task, documents[name])
        found[name] = {"seconds": time.perf_counter() - began, "figure": figures[figure]}
    return found


def apart(work: Work, name: str, batch_size: int) -> dict[str, dict[str, float]]:
    """Measure in a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.evaluation", "--contestant", json.dumps([vars(work), name, batch_size])
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return result


def turn(work: Work) -> dict[str, dict[str, dict[str, float]]]:
    """Measure every contestant once; of lm-eval's batch sizes the faster one counts, task by task."""
    tried = [apart(work, THEIRS, size) for size in BATCH_SIZES]
    found = {THEIRS: {task: min((t[task] for t in tried), key=lambda m: m["seconds"]) for task in TASKS}}
    for name in OURS:
        found[name] = apart(work, name, 1)
    for name, values in found.items():
        seconds = ", ".join(f"{task} {value['seconds']:.1f} s" for task, value in values.items())
        sys.stderr.write(f"{name}: {seconds}\n")
    return found


def rows(turns: Sequence[dict[str, dict[str, dict[str, float]]]], task: str) -> list[str]:
    """Return the lines of a task's table."""
    lines = []
    base = turns[0][THEIRS][task]["figure"]
    tokens = turns[0][OURS[0]][task]["tokens"]
    for name in (THEIRS, *OURS):
        seconds = statistics.median(t[name][task]["seconds"] for t in turns)
        ratio = statistics.median(t[THEIRS][task]["seconds"] / t[name][task]["seconds"] for t in turns)
        figure = turns[0][name][task]["figure"]
        lines.append(
            f"| {name} | {seconds:.1f} | {tokens / seconds:,.0f} | {ratio:.2f} x | {figure:,.4f} | "
            f"{100 * (figure - base) / base:+.4f} % |"
        )
    return lines


def differences(trained: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Return the table of what each task's figure is on the embedded model, and how far it is from lm-eval's."""
    names = (THEIRS, *OURS)
    lines = ["| | " + " | ".join(f"{task}, {figure} | difference" for task, (_, figure) in TASKS.items()) + " |"]
    lines.append("|---|" + "---|---|" * len(TASKS))
    for name in names:
        cells = []
        for task in TASKS:
            base, figure = trained[THEIRS][task]["figure"], trained[name][task]["figure"]
            cells += [f"{figure:,.4f}", f"{100 * (figure - base) / base:+.4f} %"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def page(
    work: Work,
    model: str,
    turns: Sequence[dict[str, dict[str, dict[str, float]]]],
    trained: dict[str, dict[str, dict[str, float]]],
) -> str:
    """Return the report; `trained` is a turn of the embedded model."""
    import lm_eval
    import torch
    import transformers

    from benchmarks.machine import description

    facts = description()
    parts = [
        "# Speed of evaluations",
        "",
        f"Written by `benchmarks/evaluation.py` in one run of {len(turns)} turns: {model}, {facts['processor']}, "
        f"{facts['instructions']},",
        f"{work.threads} threads; lm-eval {lm_eval.__version__}, transformers {transformers.__version__}, torch "
        f"{torch.__version__}. Seconds are medians, from documents to figures;",
        "ratios are formed within a turn; tokens are those that are scored. Of lm-eval the faster of batch sizes "
        f"{' and '.join(map(str, BATCH_SIZES))} counts.",
    ]
    titles = {
        "wikitext2": f"WikiText-2 raw, articles of the first {work.lines} lines",
        "lambada": f"LAMBADA (OpenAI), first {work.passages} passages",
    }
    for task, (theirs_name, figure) in TASKS.items():
        parts += [
            "",
            f"## {titles[task]}",
            "",
            f"lm-eval's task `{theirs_name}`; the figure is {figure}.",
            "",
            f"| | seconds | tokens/s | | {figure} | difference |",
            "|---|---|---|---|---|---|",
            *rows(turns, task),
        ]
    parts += [
        "",
        "## What a precision changes",
        "",
        "The same documents, read by the embedded model (`tiny`), whose weights are trained.",
        "",
        *differences(trained),
    ]
    return "\n".join(parts) + "\n"


def random_folder(folder: Path, vocabulary: Path, size: str) -> Path:
    """Write a model of random weights with GPT-2's vocabulary."""
    from benchmarks.checkpoints import random_model
    from gpt2lab.tokenizer import Tokenizer

    random_model(folder / "model", size)
    Tokenizer.from_folder(vocabulary).save(folder / "model")
    return folder / "model"


def embedded() -> Path:
    """Return the folder of the model inside the package."""
    from gpt2lab.checkpoint import load

    return load("tiny").path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with wiki.test.raw and lambada_test.jsonl, or folders of them"
    )
    parser.add_argument("--gpt2", type=Path, help="folder with GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--model", type=Path, help="a Hugging Face folder with a tokenizer.json (default: random)")
    parser.add_argument("--size", default="gpt2", help="shape of the random model (default: gpt2)")
    parser.add_argument("--lines", type=int, default=400, help="of WikiText-2 (default: 400)")
    parser.add_argument("--passages", type=int, default=300, help="of LAMBADA (default: 300)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.contestant:
        work, name, batch_size = json.loads(given.contestant)
        sys.stdout.write(json.dumps(measured(Work(**work), name, batch_size)) + "\n")
        return
    if given.data is None or (given.model is None and given.gpt2 is None):
        parser.error("--data and one of --model and --gpt2 are needed")
    with tempfile.TemporaryDirectory(prefix="gpt2lab-bench-") as folder:
        model = given.model or random_folder(Path(folder), given.gpt2, given.size)
        work = Work(str(model.resolve()), str(given.data.resolve()), given.lines, given.passages, given.threads)
        turns = [turn(work) for _ in range(given.rounds)]
        trained = turn(replace(work, model=str(embedded())))
    text = page(
        work, given.model.name if given.model else f"random weights in the shape of {given.size}", turns, trained
    )
    sys.stdout.write(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

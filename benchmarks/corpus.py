"""How fast text becomes token ids: gpt2lab prepare beside a plain loop with transformers' fast tokenizer, in one run.

    python benchmarks/corpus.py --books books.jsonl.xz --gpt2 gpt2_bpe --output docs/benchmarks-corpus.md

Both read JSON lines (the loop, being slow, a part of them) and write uint16 ids to a file; each run is a process of its
own. The loop does what `datasets.map(batched=True)` does with a tokenizer, without its caches: batches of documents, no
cleaning, no held-out part, no manifest. One core means one process and one thread of the tokenizer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

OURS = """
import json, sys, time
from gpt2lab.config import from_dict
from gpt2lab.data import CorpusRecipe, prepare

if __name__ == "__main__":
    source, out, workers, recipe = sys.argv[1:]
    processes = int(workers) if workers != "1" else 0
    began = time.perf_counter()
    manifest = prepare([source], out, from_dict(CorpusRecipe, json.loads(recipe)), workers=int(workers))
    seconds = time.perf_counter() - began
    tokens = manifest.train.tokens + manifest.validation.tokens
"""

THEIRS = """
import json, lzma, sys, time
import numpy as np
from transformers import PreTrainedTokenizerFast

if __name__ == "__main__":
    source, out, folder = sys.argv[1:]
    processes = 0
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=folder + "/tokenizer.json")
    end, tokens = tokenizer.convert_tokens_to_ids("<|endoftext|>"), 0
    began = time.perf_counter()

    def write(texts):
        ids = [i for document in tokenizer(texts, return_attention_mask=False)["input_ids"] for i in (*document, end)]
        np.asarray(ids, np.uint16).tofile(f)
        return len(ids)

    with open(source) as lines, open(out, "wb") as f:
        texts = []
        for line in lines:
            texts.append(json.loads(line)["text"])
            if len(texts) == 10:
                tokens += write(texts)
                texts = []
        tokens += write(texts)
    seconds = time.perf_counter() - began
"""

MEASURED = """
    import re, resource
    with open("/proc/self/status") as status:  # ru_maxrss would count what the parent held
        own = int(re.search("VmHWM: *([0-9]+)", status.read().replace(chr(9), " "))[1])
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    memory = (own + processes * child) * 1024  # of the largest child, so at most this
    print(json.dumps({"seconds": seconds, "tokens": tokens, "memory": memory}))
"""


def run(program: str, *arguments: object, threads: int = 1) -> dict[str, float]:
    """Run a program in a process of its own and return what it measured."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": str(threads > 1).lower()}
    done = subprocess.run(
        [sys.executable, "-c", program + MEASURED, *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


@dataclass(frozen=True)
class Input:
    """JSON lines of books: the file and the megabytes of text in it."""

    path: Path
    size: float


def sample(books: Path, path: Path, megabytes: int) -> Input:
    """Write the first books as plain JSON lines."""
    size = 0
    with lzma.open(books, "rt", encoding="utf-8") as lines, path.open("w", encoding="utf-8") as f:
        for line in lines:
            f.write(line)
            size += len(json.loads(line)["text"].encode())
            if size > megabytes * 1_000_000:
                break
    return Input(path, size / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=Path, required=True, help="JSON lines of long texts, .xz")
    parser.add_argument("--gpt2", type=Path, required=True, help="folder with GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpt2lab-bench-") as name:
        folder = Path(name)
        plain = sample(arguments.books, folder / "books.jsonl", arguments.megabytes)
        part = sample(arguments.books, folder / "part.jsonl", arguments.megabytes // 6)
        packed = Input(folder / "books.jsonl.xz", plain.size)
        packed.path.write_bytes(lzma.compress(plain.path.read_bytes(), preset=1))
        rows = []
        for title, vocabulary in vocabularies(arguments.gpt2, plain, folder).items():
            rows += measured(title, vocabulary, plain, part, packed, arguments.rounds)
    page = report(rows, plain, part)
    sys.stdout.write(page)
    if arguments.output:
        arguments.output.write_text(page, encoding="utf-8")


def vocabularies(gpt2: Path, plain: Input, folder: Path) -> dict[str, Path]:
    """Return the folders of GPT-2's vocabulary and of one learnt from a fifth of the text."""
    from gpt2lab.tokenizer import Tokenizer, train_tokenizer

    texts = (json.loads(line)["text"] for line in plain.path.open(encoding="utf-8"))
    made = {
        "GPT-2's, 50,257": Tokenizer.from_folder(gpt2),
        "learnt, 4,096": train_tokenizer(itertools.islice(texts, 0, None, 5), vocab_size=4096),
    }
    for number, tokenizer in enumerate(made.values()):
        tokenizer.save(folder / f"vocabulary{number}")
    return {title: folder / f"vocabulary{number}" for number, title in enumerate(made)}


def measured(title: str, vocabulary: Path, plain: Input, part: Input, packed: Input, rounds: int) -> list[str]:
    """Return the rows of the table for one vocabulary."""
    cores = os.cpu_count() or 1
    base = "transformers, plain loop, one core"
    variants: dict[str, tuple[Input, str, int]] = {
        "gpt2lab, cleaning none, one core": (plain, "none", 1),
        "gpt2lab, cleaning books, one core": (plain, "books", 1),
        "the same from .xz": (packed, "books", 1),
        f"gpt2lab, cleaning books, {cores} processes": (plain, "books", cores),
    }
    rates: dict[str, list[float]] = {name: [] for name in (base, *variants)}
    memory = dict.fromkeys(rates, 0.0)
    for _ in range(rounds):  # round by round, so that a slow minute of the machine is everybody's
        result = run(THEIRS, part.path, part.path.with_suffix(".bin"), vocabulary)
        rates[base].append(part.size / result["seconds"])
        memory[base] = max(memory[base], result["memory"])
        for name, (source, cleaning, workers) in variants.items():
            result = ours(source.path, vocabulary, cleaning, workers)
            rates[name].append(source.size / result["seconds"])
            memory[name] = max(memory[name], result["memory"])
    middle = {name: statistics.median(values) for name, values in rates.items()}
    return [
        f"| {title} | {name} | {rate:.1f} | {rate / middle[base]:.1f} | {memory[name] / 1e6:.0f} MB |"
        for name, rate in middle.items()
    ]


def ours(source: Path, vocabulary: Path, cleaning: str, workers: int) -> dict[str, float]:
    """Prepare `source` and return what was measured; the corpus is removed."""
    out = source.with_name("out")
    result = run(OURS, source, out, workers, json.dumps({"tokenizer": str(vocabulary), "cleaning": cleaning}))
    shutil.rmtree(out)
    return result


def report(rows: list[str], plain: Input, part: Input) -> str:
    """Return the page."""
    import numpy
    import tokenizers
    import transformers

    versions = (
        f"Python {platform.python_version()}, numpy {numpy.__version__}, tokenizers {tokenizers.__version__},\n"
        f"transformers {transformers.__version__}; {os.cpu_count()} cores of {processor()}"
    )
    return f"""# Speed of preparing a corpus

Made by `benchmarks/corpus.py` in one run: {versions}.
{plain.size:.0f} MB of books as JSON lines ({part.size:.0f} MB for transformers), megabytes a second, medians of rounds.
The time is that of the whole call, from reading the input to the finished folder with its hashes (for transformers: to
a file of ids); starting the processes and meeting every word for the first time are part of it. Memory is the peak of
all processes together.

| vocabulary | | MB/s | × | memory |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

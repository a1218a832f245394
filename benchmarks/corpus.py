"""How fast text becomes token ids: gpt2lab prepare beside a plain loop with transformers' fast tokenizer, in one run.

    python benchmarks/corpus.py --books books.jsonl.xz --gpt2 gpt2_bpe --output docs/benchmarks-corpus.md

Both read the same JSON lines and write uint16 ids to a file; each run is a process of its own. The loop does what
`datasets.map(batched=True)` does with a tokenizer, without its caches: batches of 100 documents, no cleaning, no
held-out part, no manifest. One core means one process and one thread of the tokenizer.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import platform
import statistics
import subprocess
import sys
import tempfile
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
            if len(texts) == 100:
                tokens += write(texts)
                texts = []
        tokens += write(texts)
    seconds = time.perf_counter() - began
"""

MEASURED = """
    import resource
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
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


def sample(books: Path, folder: Path, megabytes: int) -> Path:
    """Write the first books as plain JSON lines."""
    path, written = folder / "books.jsonl", 0
    with lzma.open(books, "rt", encoding="utf-8") as lines, path.open("w", encoding="utf-8") as f:
        for line in lines:
            f.write(line)
            written += len(line)
            if written > megabytes * 1_000_000:
                break
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=Path, required=True, help="JSON lines of long texts, .xz")
    parser.add_argument("--gpt2", type=Path, required=True, help="folder with GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    from gpt2lab.tokenizer import Tokenizer, train_tokenizer

    with tempfile.TemporaryDirectory(prefix="gpt2lab-bench-") as name:
        folder = Path(name)
        plain = sample(arguments.books, folder, arguments.megabytes)
        packed = folder / "books.jsonl.xz"
        packed.write_bytes(lzma.compress(plain.read_bytes(), preset=6))
        texts = [json.loads(line)["text"] for line in plain.open(encoding="utf-8")]
        size = sum(len(text.encode()) for text in texts) / 1e6
        learnt = train_tokenizer(iter(texts[::5]), vocab_size=4096)
        tokenizers = {"GPT-2's, 50,257": Tokenizer.from_folder(arguments.gpt2), "learnt, 4,096": learnt}
        rows = []
        for title, tokenizer in tokenizers.items():
            vocabulary = folder / f"vocabulary{tokenizer.vocab_size}"
            tokenizer.save(vocabulary)
            cores = os.cpu_count() or 1
            variants = {
                "transformers, plain loop, one core": lambda v=vocabulary: run(THEIRS, plain, folder / "t.bin", v),
                "gpt2lab, cleaning none, one core": lambda v=vocabulary: ours(folder, plain, v, "none", 1),
                "gpt2lab, cleaning books, one core": lambda v=vocabulary: ours(folder, plain, v, "books", 1),
                "the same from .xz": lambda v=vocabulary: ours(folder, packed, v, "books", 1),
                f"gpt2lab, cleaning books, {cores} processes": lambda v=vocabulary, n=cores: ours(
                    folder, plain, v, "books", n
                ),
            }
            results: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
            for _ in range(arguments.rounds):  # round by round, so that a slow minute of the machine is everybody's
                for variant, measure in variants.items():
                    results[variant].append(measure())
            base = statistics.median(r["seconds"] for r in results["transformers, plain loop, one core"])
            for variant, measured in results.items():
                seconds = statistics.median(r["seconds"] for r in measured)
                memory = max(r["memory"] for r in measured) / 1e6
                rows.append(f"| {title} | {variant} | {size / seconds:.1f} | {base / seconds:.1f} | {memory:.0f} MB |")
        page = report(rows, size)
    sys.stdout.write(page)
    if arguments.output:
        arguments.output.write_text(page, encoding="utf-8")


def ours(folder: Path, source: Path, vocabulary: Path, cleaning: str, workers: int) -> dict[str, float]:
    """Prepare `source` and return what was measured; the corpus is removed."""
    import shutil

    result = run(
        OURS, source, folder / "out", workers, json.dumps({"tokenizer": str(vocabulary), "cleaning": cleaning})
    )
    shutil.rmtree(folder / "out")
    return result


def report(rows: list[str], size: float) -> str:
    """Return the page."""
    import numpy
    import tokenizers
    import transformers

    versions = (
        f"Python {platform.python_version()}, numpy {numpy.__version__}, tokenizers {tokenizers.__version__}, "
        f"transformers {transformers.__version__}; {os.cpu_count()} cores of {processor()}"
    )
    return "\n".join(
        [
            "# Speed of preparing a corpus",
            "",
            f"Made by `benchmarks/corpus.py` in one run: {versions}.",
            f"{size:.0f} MB of books as JSON lines, megabytes of text a second, medians of rounds.",
            "The time is that of the whole call, from reading the input to the finished folder with its hashes (for",
            "transformers: to a file of ids). Memory is the peak of all processes together.",
            "",
            "| vocabulary | | MB/s | × | memory |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

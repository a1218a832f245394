"""How fast a model that has learnt pairs writes targets, beside transformers' beam search on the same weights.

    python -m benchmarks.seq2seq runs/multi30k-en-de sentences.txt [--beams 5] [--count 50] [--threads 2]

Both sides decode the same sources one after another; transformers also does `--batch` of them at once, filled up on the
left. Rounds alternate, the figures are medians. In fp32 both must write the same tokens; a source that differs because
two texts are equally likely to the last bit is counted and told.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROUNDS = 3

Writer = Callable[[Sequence[str]], list[list[int]]]
"""Sources to the tokens of their targets, without the end."""


def ours(folder: Path, beams: int, threads: int, precision: str) -> Writer:
    """Return the native engine's way."""
    from gpt2lab.apps.seq2seq.write import PairModel

    model = PairModel.load(folder, precision=precision, threads=threads)

    def run(sources: Sequence[str]) -> list[list[int]]:
        return [written.token_ids for written in model.write(sources, beams=beams, length_penalty=1.0)]

    return run


def theirs(folder: Path, beams: int, threads: int, batch: int) -> Writer:
    """Return transformers' generate, `batch` sources at a time."""
    import torch
    import transformers

    from gpt2lab.apps.seq2seq.write import PairModel

    torch.set_num_threads(threads)
    codec = PairModel.load(folder, threads=threads).codec
    model: Any = transformers.GPT2LMHeadModel.from_pretrained(folder)
    model.eval()

    def run(sources: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = []
        for start in range(0, len(sources), batch):
            prompts = [codec.prompt(source).ids for source in sources[start : start + batch]]
            longest = max(map(len, prompts))
            ids = torch.tensor([[codec.end] * (longest - len(p)) + p for p in prompts])
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
            with torch.inference_mode():
                made = model.generate(
                    ids, attention_mask=mask, num_beams=beams, do_sample=False, length_penalty=1.0,
                    max_new_tokens=codec.room, eos_token_id=codec.end, pad_token_id=codec.end,
                    suppress_tokens=codec.foreign(model.config.vocab_size),
                )  # fmt: skip
            found += [_to_end(row, codec.end) for row in made[:, longest:].tolist()]
        return found

    return run


def rates(sides: dict[str, Writer], sources: Sequence[str]) -> tuple[dict[str, float], dict[str, list[list[int]]]]:
    """Return sources a second of each side, medians over alternating rounds, and what each wrote."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    written = {name: writer(sources) for name, writer in sides.items()}  # warms up
    for _ in range(ROUNDS):
        for name, writer in sides.items():
            began = time.perf_counter()
            writer(sources)
            seconds[name].append(time.perf_counter() - began)
    return {name: len(sources) / statistics.median(s) for name, s in seconds.items()}, written


def _to_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


def main() -> None:
    """Measure and print a Markdown table."""
    from gpt2lab.apps.seq2seq.pairs import read_side

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder that gpt2lab seq2seq train printed")
    parser.add_argument("file", help="sources, one a line")
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    folder = given.model / "model" if (given.model / "model").is_dir() else given.model
    sources = read_side(given.file)[: given.count]
    sides = {f"gpt2lab {p}": ours(folder, given.beams, given.threads, p) for p in ("fp32", "bf16", "int8")}
    for batch in dict.fromkeys((1, given.batch)):
        sides[f"transformers fp32, {batch} at once"] = theirs(folder, given.beams, given.threads, batch)
    found, written = rates(sides, sources)
    base = found["transformers fp32, 1 at once"]
    print(f"| {given.beams} beams, {given.threads} threads | sources/s | beside transformers |\n|---|--:|--:|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.1f} | {rate / base:.1f} x |")
    pairs = zip(written["gpt2lab fp32"], written["transformers fp32, 1 at once"], strict=True)
    print(f"\n{sum(a == b for a, b in pairs)} of {len(sources)} targets are the same tokens in fp32.")


if __name__ == "__main__":
    main()

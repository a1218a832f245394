"""What a detector makes of texts, side by side with the same computed by transformers, on one processor and model.

    python -m benchmarks.detection [--shape tiny,124M] [--texts 8] [--tokens 500] [--lock FILE] [--output docs/…md]

Both sides measure the same texts with the same weights: of every token the log-probability, rank, entropy, and mean
and variance of the log-probability, and of these what the methods without training say. The shape "tiny" is the
embedded model: texts that it wrote, in files that both sides open and cut into tokens, and on our side all that
`gpt2lab detect` does with a text, its verdict included. "124M" has random weights and ids. transformers computes as
the published programs do (one forward pass a text, log_softmax, and for the rank a sort of the whole vocabulary at
every place); further rows leave the sort out and take bfloat16. Turns are those of `make bench` (benchmarks/rounds.py);
the figures are medians over rounds. The ranks alone are timed beside an argsort of each token's logits.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.client import Reply
from benchmarks.machine import description
from benchmarks.rounds import Ask, Sample, Turns

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "124M": {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
}
"""The embedded model, and GPT-2's smallest shape."""

OURS = ("fp32", "bf16", "int8")
THEIRS = {"fp32, sort": ("float32", True), "fp32, no sort": ("float32", False), "bf16, no sort": ("bfloat16", False)}
BASE = "transformers fp32, sort"

Text = Any
"""A file's path, or token ids."""
Measure = Callable[[Text], Mapping[str, Any]]
"""From a text to arrays over its tokens: logprobs, ranks, entropies, variances."""


@dataclass(frozen=True, slots=True)
class Work:
    """One shape: its sides by name, the texts, and how many tokens these have."""

    sides: Mapping[str, Measure]
    texts: Sequence[Text]
    tokens: int


def weights(config: Any) -> dict[str, Any]:
    """Return random weights, which both sides load."""
    rng = np.random.default_rng(0)
    made = {}
    for name, shape in config.tensor_shapes().items():
        made[name] = rng.normal(0, 0.02, shape).astype(np.float32)
        if ".ln_" in name and name.endswith("weight"):
            made[name] += 1
    return made


def ours(config: Any, tensors: Any, precision: str, threads: int) -> Measure:
    """Return our measurement of ids."""
    from gpt2lab.engine.moments import moments_of
    from gpt2lab.engine.native import NativeBackend

    backend = NativeBackend(config, tensors, precision=precision, threads=threads)
    return lambda ids: _columns(moments_of(backend, ids, context=0))


def our_command(precision: str, threads: int) -> Measure:
    """Return all that `gpt2lab detect FILE` does with a text once the model is loaded."""
    from gpt2lab.apps.detect.reading import Reader
    from gpt2lab.apps.detect.show import lines
    from gpt2lab.apps.detect.trained import default_for
    from gpt2lab.lm.model import LanguageModel

    reader = Reader(LanguageModel.load("tiny", precision=precision, threads=threads), name="tiny")
    detector = default_for(reader)
    assert detector is not None

    def measure(path: Path) -> Mapping[str, Any]:
        reading = reader.read(path.read_text(encoding="utf-8"))
        lines(path.name, reading, detector.judge(reading), detector)
        return _columns(reading.moments)

    return measure


def _columns(moments: Any) -> Mapping[str, Any]:
    return {name: getattr(moments, name) for name in ("logprobs", "ranks", "entropies", "variances")}


def theirs(config: Any, tensors: Any, threads: int, *, sort: bool, dtype: str = "float32") -> Measure:
    """Return transformers' model measuring ids."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    model: Any = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config.to_hf()))
    state = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state, strict=False)
    model = model.to(getattr(torch, dtype)).eval()
    context = config.bos_token_id

    def measure(ids: Any) -> Mapping[str, Any]:
        with torch.inference_mode():
            before = torch.from_numpy(np.concatenate([[context], ids[:-1]]).astype(np.int64))[None]
            wanted = torch.from_numpy(ids.astype(np.int64))[:, None]
            logits = model(before).logits[0].float()
            logp = torch.log_softmax(logits, -1)
            p = logp.exp()
            chosen = logp.gather(1, wanted)[:, 0]
            mean = (p * logp).sum(-1)
            variance = (p * logp.square()).sum(-1) - mean.square()
            if sort:
                rank = (logits.argsort(-1, descending=True) == wanted).nonzero()[:, 1]
            else:
                rank = (logits > logits.gather(1, wanted)).sum(-1)
            log_rank = (rank + 1).log().mean()
            [v.item() for v in (chosen.mean(), log_rank, mean.mean(), (chosen - mean).sum() / variance.sum().sqrt())]
            return {
                "logprobs": chosen.numpy(), "ranks": rank.numpy(), "entropies": -mean.numpy(),
                "variances": variance.numpy(),
            }  # fmt: skip

    return measure


def their_command(folder: Path, config: Any, tensors: Any, threads: int, **options: Any) -> Measure:
    """Return transformers' model and tokenizer measuring a file."""
    import transformers

    fast: Any = transformers.PreTrainedTokenizerFast
    tokenizer = fast(tokenizer_file=str(folder / "tokenizer.json"))
    measure = theirs(config, tensors, threads, **options)

    def of_file(path: Path) -> Mapping[str, Any]:
        text = " ".join(path.read_text(encoding="utf-8").split())
        return measure(np.asarray(tokenizer(text)["input_ids"], np.int32))

    return of_file


def check(mine: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Fail where the two sides do not measure the same."""
    np.testing.assert_allclose(mine["logprobs"], other["logprobs"], atol=2e-3)
    np.testing.assert_allclose(mine["entropies"], other["entropies"], atol=2e-3)
    np.testing.assert_allclose(mine["variances"], other["variances"], rtol=0.02, atol=2e-3)
    assert np.median(np.abs(mine["ranks"] - other["ranks"])) <= 2, "the ranks differ"


def random_work(shape: str, texts: int, tokens: int, threads: int) -> Work:
    """Return random ids and weights in a shape."""
    from gpt2lab.model.config import GPT2Config

    config = GPT2Config(**SHAPES[shape], bos_token_id=0, eos_token_id=0)
    tensors = weights(config)
    rng = np.random.default_rng(2)
    length = min(tokens, config.n_positions)
    ids = [rng.integers(config.vocab_size, size=length).astype(np.int32) for _ in range(texts)]
    sides = {f"gpt2lab {p}": ours(config, tensors, p, threads) for p in OURS}
    for name, (dtype, sort) in THEIRS.items():
        sides[f"transformers {name}"] = theirs(config, tensors, threads, sort=sort, dtype=dtype)
    return Work(sides, ids, texts * length)


def embedded_work(folder: Path, texts: int, tokens: int, threads: int) -> Work:
    """Return files of texts that the embedded model wrote, in `folder`."""
    from gpt2lab.apps.detect.reading import Reader
    from gpt2lab.checkpoint import load
    from gpt2lab.lm.model import LanguageModel

    found = load("tiny")
    lm = LanguageModel.load("tiny", threads=threads)
    length = min(tokens, lm.config.n_positions)
    made = lm.generate("It was", max_new_tokens=length, num_return_sequences=texts, seed=1, temperature=0.9)
    reader, paths, total = Reader(lm), [], 0
    for i, text in enumerate(made):
        ids = reader.encode("It was" + text.text)[:length]
        path = folder / f"{i}.txt"
        path.write_text(reader.tokenizer.decode(ids.tolist()), encoding="utf-8")
        paths.append(path)
        total += len(reader.encode(path.read_text(encoding="utf-8")))
    sides = {f"gpt2lab {p}": our_command(p, threads) for p in OURS}
    for name, (dtype, sort) in THEIRS.items():
        sides[f"transformers {name}"] = their_command(
            found.path, found.config, found.tensors, threads, sort=sort, dtype=dtype
        )
    return Work(sides, paths, total)


def rates(work: Work, turns: Turns, report: Callable[[Sample], None] = lambda _: None) -> dict[str, dict[int, float]]:
    """Return tokens a second of each side in each round."""

    def asker(measure: Measure) -> Ask:
        def ask(_: int) -> Reply:
            began, used = time.perf_counter(), time.process_time()
            for text in work.texts:
                measure(text)
            return Reply(None, time.perf_counter() - began, time.process_time() - used)

        return ask

    samples, failed = turns.take({name: asker(measure) for name, measure in work.sides.items()}, report)
    assert not failed
    found: dict[str, dict[int, float]] = {name: {} for name in work.sides}
    for sample in samples:
        found[sample.entrant][sample.round] = work.tokens / sample.reply.seconds
    return found


def ratio(found: Mapping[str, Mapping[int, float]], name: str, others: Sequence[str]) -> float:
    """Return how many times as fast as the best of `others` a side is: the median of the rounds' own ratios."""
    return statistics.median(rate / max(found[o][r] for o in others) for r, rate in found[name].items())


def ranks(vocab_size: int, n: int = 256, rounds: int = 5) -> tuple[float, float]:
    """Return seconds for the ranks of n tokens: by counting as we do, and by an argsort and a search for each token."""
    from gpt2lab.engine.moments import rank_of

    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (n, vocab_size)).astype(np.float32)
    targets = rng.integers(vocab_size, size=n).astype(np.int32)

    def sorted_ranks(kind: Literal["stable"] | None = None) -> list[int]:
        return [int(np.where(np.argsort(-row, kind=kind) == t)[0][0]) for row, t in zip(logits, targets, strict=True)]

    assert rank_of(logits, targets).tolist() == sorted_ranks("stable")  # lower ids first among equals
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for times, sort in zip(took, (False, True), strict=True):
            began = time.perf_counter()
            if sort:
                sorted_ranks()
            else:
                rank_of(logits, targets)
            times.append(time.perf_counter() - began)
    return statistics.median(took[0]), statistics.median(took[1])


def table(shape: str, found: Mapping[str, Mapping[int, float]]) -> list[str]:
    """Return the rows of one shape."""
    others = [name for name in found if name.startswith("transformers")]
    return [
        f"| {shape} | {name} | {statistics.median(by_round.values()):,.0f} | {ratio(found, name, [BASE]):.1f} x | "
        f"{ratio(found, name, others):.1f} x |"
        for name, by_round in found.items()
    ]


def heading(given: argparse.Namespace) -> list[str]:
    """Return what stands before the rows."""
    about = description()
    return [
        "# Measuring texts for detection", "",
        "Made by `python -m benchmarks.detection`: tokens a second for the log-probability, rank, entropy, "
        "and mean and variance of the log-probability of every token, and what detectors make of them; the same "
        "weights and texts on both sides. For the embedded model (tiny) files are read and cut into tokens, and ours "
        "gives its verdict too; 124M has random weights and ids. Ratios are formed within a round.", "",
        f"{about['processor']}, {about['cores']} cores ({about['instructions']}); {given.threads} threads, "
        f"{given.texts} texts of {given.tokens} tokens, medians of {given.rounds} rounds.", "",
        "| shape | | tokens/s | beside transformers fp32 with a sort | beside the best of transformers |",
        "|---|---|--:|--:|--:|",
    ]  # fmt: skip


def tell(sample: Sample) -> None:
    """Tell the person who waits."""
    print(f"{sample.entrant}: {sample.reply.seconds:.3f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print a Markdown page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default=",".join(SHAPES), help="with commas between them")
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lock", type=Path, help="file to lock around every measurement, to take turns with others")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    shapes = given.shape.split(",")
    for shape in shapes:
        if shape not in SHAPES:
            parser.error(f"--shape {shape!r} is not one of {', '.join(SHAPES)}")
    turns = Turns(rounds=given.rounds, lock=given.lock)
    lines = heading(given)
    for shape in shapes:
        with tempfile.TemporaryDirectory(prefix="gpt2lab-bench-") as folder:
            work = (
                embedded_work(Path(folder), given.texts, given.tokens, given.threads) if shape == "tiny"
                else random_work(shape, given.texts, given.tokens, given.threads)
            )  # fmt: skip
            check(work.sides["gpt2lab fp32"](work.texts[0]), work.sides[BASE](work.texts[0]))
            found = rates(work, turns, tell)
        lines += table(shape, found)
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

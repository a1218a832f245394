"""`gpt2lab score`: what a model says of every token of a text, and of the text as a whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import RequestError

if TYPE_CHECKING:
    from gpt2lab.lm.results import Score

EXAMPLES = examples(
    "gpt2lab score story.txt",
    "printf 'The cat sat on the mat.' | gpt2lab score -",
    "gpt2lab score story.txt --summary --stride 32",
    "gpt2lab score story.txt --json > story.json",
)


def score(
    file: Annotated[str, Argument(metavar="FILE", help="A text file; - is stdin.")],
    model: o.Model = "tiny",
    summary: Annotated[bool, Option("--summary", help="Only the text as a whole, no tokens.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object; what is not defined is null.")] = False,
    stride: Annotated[
        int | None,
        Option(
            "--stride", metavar="N", help="Tokens by which the window moves over a long text. Default: half a window."
        ),
    ] = None,
    bos: Annotated[
        bool, Option("--bos/--no-bos", help="Read the text after <|endoftext|>, so that its first token is scored too.")
    ] = True,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Measure how well a model expects a text, token by token.

    For each token its log-probability in nats, its rank among all tokens (0: the likeliest) and the entropy of the
    distribution it came from, in nats; for the text the perplexity per token, word and byte, and bits per byte.
    """
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.progress import ProgressBar

    text = console.read_text(file)
    if not text:
        raise RequestError(f"{console.named(file)} is empty; there is no text to score.")
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    with ProgressBar("scoring") as bar:
        result = lm.score(text, bos=bos, stride=stride, progress=bar.update)
    if as_json:
        tokens = {} if summary else {"tokens": _tokens(result)}
        console.write(console.to_json({"model": model, "file": file, **_totals(result), **tokens}, indent=2) + "\n")
        return
    lines = [] if summary else [*console.aligned([_HEADINGS, *_rows(result)], right=(0, 2, 3, 4)), ""]
    lines += console.aligned([(label, _shown(_totals(result)[key])) for key, label in _LABELS.items()])
    console.write("\n".join(lines) + "\n")


_HEADINGS = ("id", "token", "logprob", "rank", "entropy")

_LABELS = {
    "token_count": "tokens",
    "words": "words",
    "bytes": "bytes",
    "log_likelihood": "log-likelihood (nats)",
    "perplexity": "perplexity per token",
    "word_perplexity": "perplexity per word",
    "byte_perplexity": "perplexity per byte",
    "bits_per_byte": "bits per byte",
}


def _totals(result: Score) -> dict[str, Any]:
    return {
        "token_count": len(result.token_ids),
        "words": result.words,
        "bytes": result.bytes,
        "log_likelihood": _number(result.log_likelihood),
        "perplexity": _number(result.perplexity),
        "word_perplexity": _number(result.word_perplexity),
        "byte_perplexity": _number(result.byte_perplexity),
        "bits_per_byte": _number(result.bits_per_byte),
    }


def _tokens(result: Score) -> list[dict[str, Any]]:
    return [
        {
            "id": token_id,
            "token": result.tokens[i],
            "start": result.offsets[i][0],
            "end": result.offsets[i][1],
            "logprob": _number(float(result.logprobs[i])),
            "rank": int(result.ranks[i]) if result.ranks[i] >= 0 else None,
            "entropy": _number(float(result.entropies[i])),
        }
        for i, token_id in enumerate(result.token_ids)
    ]


def _rows(result: Score) -> list[tuple[str, ...]]:
    from gpt2lab.cli import console

    return [
        (str(t["id"]), console.quoted(t["token"]), *(_shown(t[key]) for key in ("logprob", "rank", "entropy")))
        for t in _tokens(result)
    ]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4e}"

"""`gpt2lab inspect`: a text from inside, how surprising each token is and what each layer would say; as a page, all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from gpt2lab.lm.inspection import Inspection
    from gpt2lab.lm.model import LanguageModel

EXAMPLES = examples(
    'gpt2lab inspect "The cat sat on the mat."',
    'gpt2lab inspect "The cat sat on the mat." --html cat.html',
    "gpt2lab inspect - --json < story.txt > story.json",
)

_LAYERS = 4  # of the guesses in the terminal, spread over the model's depth, the last one included
_PAGE_TOKENS = 256  # of a page, which draws n_layer * n_head maps of their square


def inspect(
    text: Annotated[str, Argument(metavar="TEXT", help="The text; - reads stdin.")],
    model: o.Model = "tiny",
    html: Annotated[
        str | None, Option("--html", metavar="FILE", help="Write a page with everything, which needs nothing else.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON object, the page's data.")] = False,
    top: Annotated[int, Option("--top", metavar="N", help="Guesses at each place of each layer in page and JSON.")] = 5,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Look inside: surprise, the logit lens, attention.

    For each token how surprising it was, in bits, its rank, and what some of the layers would have said in its place
    (the logit lens). The page that --html writes shows all layers and the attention of every head.
    """
    from gpt2lab.cli import console, loading

    if not 1 <= top <= 20:
        raise ConfigError(f"--top = {top} must be a whole number from 1 to 20.")
    if text == console.STDIN:
        text = console.read_text(text)
    if not text:
        raise RequestError("There is no text to look into; give at least one character.")
    console.check_output(html)
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    if lm.tokenizer is None:
        raise RequestError(f"{lm.source} has no tokenizer; looking into a text needs one.")
    _check_length(lm, text)
    found = lm.inspect(text, top=top)
    if html is not None:
        from gpt2lab.server.standalone import inspection_page

        page = inspection_page({"model": model, "token_count": len(found.token_ids), **_data(lm, found)})
        with console.open_output(html) as out:
            out.write(page)
    if as_json:
        console.write(console.to_json({"model": model, "token_count": len(found.token_ids), **_data(lm, found)}) + "\n")
    elif html is None:
        console.write("\n".join(_table(lm, found)) + "\n")


def _check_length(lm: LanguageModel, text: str) -> None:
    assert lm.tokenizer is not None
    count, most = len(lm.tokenizer.encode(text)) + 1, min(_PAGE_TOKENS, lm.config.n_positions)
    if count > most:
        raise RequestError(
            f"The text has {count} tokens with the one that begins it; at most {most} can be looked into at once. "
            "Give a shorter one, or use score."
        )


def _data(lm: LanguageModel, found: Inspection) -> dict[str, Any]:
    from gpt2lab.lm.inspection import page_data

    assert lm.tokenizer is not None
    return page_data(found, lm.tokenizer)


def _table(lm: LanguageModel, found: Inspection) -> list[str]:
    """Return a row for each token: what it cost, and the first guess for its place of some layers."""
    from gpt2lab.cli import console

    assert lm.tokenizer is not None
    depth = lm.config.n_layer
    layers = sorted({round(depth * (i + 1) / _LAYERS) for i in range(_LAYERS)})
    rows: list[tuple[str, ...]] = [("token", "bits", "rank", *(f"layer {layer}" for layer in layers))]
    inside, surprises = found.inside, found.surprises
    for at in range(1, len(found.token_ids)):
        guesses = (lm.tokenizer.token_text(int(inside.top_ids[layer, at - 1, 0])) for layer in layers)
        rows.append((
            console.quoted(found.tokens[at]),
            f"{surprises[at]:.2f}",
            str(int(inside.ranks[-1, at - 1])),
            *map(console.quoted, guesses),
        ))  # fmt: skip
    mean = math.fsum(surprises[1:]) / max(len(surprises) - 1, 1)
    return [*console.aligned(rows, right=(1, 2)), "", f"{mean:.2f} bits per token, perplexity {2**mean:.4g}"]

"""`gpt2lab features`: texts as vectors, and which of them are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import parse_json

if TYPE_CHECKING:
    from gpt2lab.lm.model import LanguageModel
    from gpt2lab.lm.vectors import Vectors

EXAMPLES = examples(
    "gpt2lab features sentences.txt --output sentences.npy",
    "printf 'A ship at sea.' | gpt2lab features - --layer 2 --pooling last",
    "gpt2lab features story.txt --whole --pooling none -o tokens.npy",
    'gpt2lab features sentences.txt --query "A boat in a storm" --nearest 5 --whiten',
    "gpt2lab features sentences.txt --nearest 3 --json",
)


def features(
    file: Annotated[
        str, Argument(metavar="FILE", help="A text on each line, in .jsonl a string or its text; - is stdin.")
    ],
    model: o.Model = "tiny",
    whole: Annotated[bool, Option("--whole", help="The whole file is one text.")] = False,
    layer: Annotated[
        int, Option("--layer", metavar="N", help="0: embeddings, N: behind block N, -1: the last, normalised.")
    ] = -1,
    pooling: Annotated[
        str, Option("--pooling", metavar="mean|last|weighted|none", help="A text's vector; none: one of each token.")
    ] = "mean",
    whiten: Annotated[
        bool, Option("--whiten", help="Make all directions count alike, as the texts of the file are spread.")
    ] = False,
    dimensions: Annotated[
        int | None, Option("--dimensions", metavar="N", min=1, help="With --whiten: keep N directions.")
    ] = None,
    query: Annotated[
        list[str] | None,
        Option("--query", metavar="TEXT", help="Which texts of the file are nearest to this? May be given often."),
    ] = None,
    k: Annotated[
        int | None, Option("--nearest", metavar="K", min=1, help="The K nearest texts of each text, or of each query.")
    ] = None,
    similarity: Annotated[bool, Option("--similarity", help="The cosines of all texts with each other.")] = False,
    as_json: Annotated[bool, Option("--json", help="Neighbours and cosines as JSON; vectors always are.")] = False,
    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Vectors as a .npy array, anything else as text.")
    ] = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Turn texts into vectors, or find which are alike.

    A vector is made of a model's hidden states: of any layer, counted as transformers counts hidden_states, pooled over
    the text. Without --output each text's is a line of JSON.
    """
    from gpt2lab.cli import console, loading

    if pooling == "none" and (not whole or whiten or query or k or similarity):
        raise ConfigError("--pooling none makes a vector of each token of one text: give --whole and ask no more.")
    if dimensions is not None and not whiten:
        raise ConfigError("--dimensions chooses among white directions: give --whiten too.")
    if similarity and (query or k):
        raise ConfigError("Give --similarity or --nearest, not both.")
    texts = _texts(file, whole=whole)
    console.check_output(output)
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    if pooling == "none":
        _write_vectors(lm.features(texts[0], layer=layer, pooling="none"), output)
        return
    asked = list(query or ())
    vectors = _vectors(lm, [*texts, *asked], layer, pooling)
    if whiten:
        from gpt2lab.lm.vectors import Whitening

        vectors = Whitening.of(vectors[: len(texts)], dimensions)(vectors)
    if not (asked or k or similarity):
        _write_vectors(vectors, output)
        return
    with console.open_output(output) as out:
        if similarity:
            out.write(_similarity(vectors, as_json=as_json))
        else:
            out.write(_neighbours(texts, asked, vectors, k or 5, as_json=as_json))


def _texts(file: str, *, whole: bool) -> list[str]:
    from gpt2lab.cli import console

    text = console.read_text(file)
    found = [text] if whole else [line for line in text.split("\n") if line.strip()]
    if not text.strip() or not found:
        raise DataError(f"{console.named(file)} is empty; there is no text to turn into a vector.")
    if whole or not file.endswith(".jsonl"):
        return found
    return [
        _json_text(line, f"{file}, line {number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]


def _json_text(line: str, where: str) -> str:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.") from None
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise DataError(f"{where} has no text: a string, or an object with a string under 'text', is needed.")
    return text


def _vectors(lm: LanguageModel, texts: list[str], layer: int, pooling: Any) -> Vectors:
    from gpt2lab.cli.progress import ProgressBar
    from gpt2lab.lm.vectors import text_vectors

    with ProgressBar("reading", unit="texts") as bar:
        return text_vectors(lm, texts, layer=layer, pooling=pooling, progress=bar.update)


def _write_vectors(vectors: Vectors, output: str | None) -> None:
    """Write vectors (n, C): as an array to a file, or as a line of JSON each to stdout."""
    from gpt2lab.cli import console

    if output in (None, console.STDIN):
        for row in vectors:
            console.write(console.to_json([round(float(x), 6) for x in row]) + "\n")
        return
    import io

    import numpy as np

    held = io.BytesIO()  # NumPy would not say why a disk did not take what it wrote itself
    np.save(held, vectors, allow_pickle=False)
    with console.open_output(output, "wb") as f:
        f.write(held.getbuffer())


def _similarity(vectors: Vectors, *, as_json: bool) -> str:
    from gpt2lab.cli import console
    from gpt2lab.lm.vectors import cosines

    rows = [[round(float(c), 4) for c in row] for row in cosines(vectors, vectors)]
    if as_json:
        return console.to_json(rows) + "\n"
    return "".join("\t".join(f"{c:.4f}" for c in row) + "\n" for row in rows)


def _neighbours(texts: list[str], asked: list[str], vectors: Vectors, k: int, *, as_json: bool) -> str:
    from gpt2lab.cli import console
    from gpt2lab.lm.vectors import nearest

    known = vectors[: len(texts)]
    found = nearest(vectors[len(texts) :] if asked else known, known, k, but_self=not asked)
    lines = []
    for text, near in zip(asked or texts, found, strict=True):
        listed = [{"number": i + 1, "cosine": round(c, 4), "text": texts[i]} for i, c in near]
        if as_json:
            lines.append(console.to_json({"text": text, "nearest": listed}))
        else:
            lines += [text, *(f"  {e['cosine']:7.4f}  {e['text']}" for e in listed)]
    return "\n".join(lines) + "\n"

"""`gpt2lab convert`: a model in another format."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, nearest

EXAMPLES = examples(
    "gpt2lab convert models/124M gpt2-folder --to hf",
    "gpt2lab convert tiny tiny.gguf --to gguf --dtype q8_0",
    "gpt2lab convert tiny.gguf tiny-folder",
)

_FORMATS = ("hf", "gguf")


def convert(
    src: Annotated[str, Argument(metavar="SRC", help="A model: a name, a folder, a .gguf file or a hub id.")],
    dst: Annotated[str, Argument(metavar="DST", help="The folder (hf) or file (gguf) to write.")],
    to: Annotated[
        str | None,
        Option("--to", metavar="hf|gguf", help="The format. Default: gguf when DST ends in .gguf, else hf."),
    ] = None,
    dtype: Annotated[
        str | None,
        Option(
            "--dtype",
            metavar="NAME",
            help="float32, float16 or bfloat16; for gguf also q8_0 and q4_0. Default: float32.",
        ),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace DST if it exists.")] = False,
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Write a model in another format.

    Reads Hugging Face folders, OpenAI's TensorFlow folders and GGUF; writes folders that transformers loads and GGUF
    files that llama.cpp loads. DST is whole or absent. Prints DST.
    """
    from gpt2lab import checkpoint
    from gpt2lab.cli import console
    from gpt2lab.cli.loading import expanded
    from gpt2lab.cli.progress import ProgressBar

    chosen = to if to is not None else "gguf" if dst.endswith(".gguf") else "hf"
    if chosen not in _FORMATS:
        raise ConfigError(f"--to = {chosen!r} is not one of {', '.join(_FORMATS)}.{nearest(chosen, _FORMATS)}")
    with ProgressBar(f"fetching {src}", unit="bytes") as bar:
        written = checkpoint.convert(
            src,
            dst,
            "gguf" if chosen == "gguf" else "hf",
            dtype=dtype,
            overwrite=overwrite,
            models_dir=expanded(models_dir),
            offline=offline,
            progress=bar.update,
        )
    console.write(f"{written}\n")

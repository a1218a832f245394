"""`gpt2lab download`: fetch a published model."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, nearest

EXAMPLES = examples(
    "gpt2lab download gpt2",
    "gpt2lab download 124M --source openai --models-dir models",
    "gpt2lab download distilbert/distilgpt2",
)


def download(
    name: Annotated[str, Argument(metavar="NAME", help="gpt2 (124M), gpt2-medium …, or a hub id USER/NAME.")],
    source: Annotated[
        str, Option("--source", metavar="hub|openai", help="The hub, or OpenAI's own files in OpenAI's layout.")
    ] = "hub",
    models_dir: Annotated[
        str | None,
        Option("--models-dir", metavar="DIR", help="Put it here, under its name. Default: the cache."),
    ] = None,
    endpoint: Annotated[
        str | None, Option("--endpoint", metavar="URL", help="Another address of the source, such as a mirror.")
    ] = None,
    offline: Annotated[bool, Option("--offline", help="Only look whether it is here already.")] = False,
) -> None:
    """Fetch a published model.

    What is there already is not fetched again, what broke off is gone on with, and every file is checked against the
    size and hash that its source gives. Prints the folder.
    """
    from gpt2lab import checkpoint
    from gpt2lab.checkpoint.resolve import EMBEDDED
    from gpt2lab.cli import console
    from gpt2lab.cli.loading import expanded
    from gpt2lab.cli.progress import ProgressBar

    if source not in ("hub", "openai"):
        raise ConfigError(f"--source = {source!r} is not one of hub, openai.{nearest(source, ('hub', 'openai'))}")
    if name in EMBEDDED:
        console.note(f"{name} comes with gpt2lab; there is nothing to fetch.")
        return
    with ProgressBar(f"fetching {name}", unit="bytes") as bar:
        folder = checkpoint.download(
            name,
            models_dir=expanded(models_dir),
            offline=offline,
            progress=bar.update,
            endpoint=endpoint,
            source="openai" if source == "openai" else "hub",
        )
    console.write(f"{folder}\n")

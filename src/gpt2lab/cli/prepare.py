"""`gpt2lab prepare`: text files to a corpus of token ids that `gpt2lab train` reads."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

if TYPE_CHECKING:
    from gpt2lab.data import CorpusRecipe

EXAMPLES = examples(
    "gpt2lab prepare book.txt --out corpora/book --vocab-size 1000",
    "gpt2lab prepare books.jsonl.xz --out corpora/books --recipe recipes/tiny.toml",
    "gpt2lab prepare news.jsonl --out corpora/news --tokenizer my-vocabulary --json",
)


def prepare(
    inputs: Annotated[
        list[str], Argument(metavar="INPUT...", help=".txt or .jsonl, plain or .xz; - is text from stdin.")
    ],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="The folder to write, whole or not at all.")],
    recipe: Annotated[
        str | None, Option("--recipe", metavar="FILE", help="Take the table [corpus] of this recipe as a start.")
    ] = None,
    tokenizer: Annotated[
        str | None, Option("--tokenizer", metavar="DIR", help="Use this vocabulary instead of learning one.")
    ] = None,
    vocab_size: Annotated[
        int | None, Option("--vocab-size", metavar="N", help="Tokens of a new vocabulary. Default: 4096.")
    ] = None,
    cleaning: Annotated[
        str | None, Option("--cleaning", metavar="none|books", help="How the texts are cleaned. Default: none.")
    ] = None,
    held_out_author: Annotated[
        list[str] | None,
        Option(
            "--held-out-author", metavar="NAME", help="Keep this author for validation; may be given several times."
        ),
    ] = None,
    validation_share: Annotated[
        float | None,
        Option("--validation-share", metavar="X", help="Else keep this share of every text for it. Default: 0.01."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the folder if it exists.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print the corpus's manifest as JSON.")] = False,
) -> None:
    """Turn text into a corpus of token ids to train on.

    Learns a vocabulary unless it is given one, cleans the texts, holds a part back for validation. Prints the folder.
    """
    from gpt2lab import data
    from gpt2lab.cli import console
    from gpt2lab.config import to_dict

    corpus = _recipe(
        recipe,
        {
            "tokenizer": tokenizer,
            "vocab_size": vocab_size,
            "cleaning": cleaning,
            "held_out_authors": held_out_author,
            "validation_share": validation_share,
        },
    )
    with _files(inputs) as files:
        manifest = data.prepare(files, out, corpus, overwrite=overwrite)
    console.write(console.to_json(to_dict(manifest), indent=2) + "\n" if as_json else f"{out}\n")


def _recipe(path: str | None, given: dict[str, Any]) -> CorpusRecipe:
    """Return the recipe's table [corpus] with the options that were given in place of its values."""
    from gpt2lab.config import from_dict, read_toml
    from gpt2lab.data import CorpusRecipe

    table = read_toml(path).get("corpus", {}) if path is not None else {}
    if not isinstance(table, dict):
        raise ConfigError(f"corpus in {path} is not a table.")
    values = {**table, **{key: value for key, value in given.items() if value is not None}}
    return from_dict(CorpusRecipe, values, where="corpus" if path is not None else "")


@contextlib.contextmanager
def _files(inputs: list[str]) -> Iterator[list[str]]:
    """Yield the inputs as names of files, stdin laid down in a temporary one."""
    from gpt2lab.cli import console

    if console.STDIN not in inputs:
        yield inputs
        return
    with tempfile.TemporaryDirectory(prefix="gpt2lab-") as folder:
        text = Path(folder) / "stdin.txt"
        text.write_bytes(console.read_bytes(console.STDIN))
        yield [str(text) if name == console.STDIN else name for name in inputs]

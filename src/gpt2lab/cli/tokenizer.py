"""`gpt2lab tokenizer`: train a vocabulary, text to token ids, token ids to text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import parse_json

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

TRAIN_EXAMPLES = examples(
    "gpt2lab tokenizer train books.txt more.txt --vocab-size 4096 --out my-vocabulary",
    "cat *.txt | gpt2lab tokenizer train - --out my-vocabulary",
)
ENCODE_EXAMPLES = examples(
    'gpt2lab tokenizer encode "Hello world"',
    "gpt2lab tokenizer encode - --offsets < story.txt",
    "printf 'Hello' | gpt2lab tokenizer encode --json",
)
DECODE_EXAMPLES = examples(
    "gpt2lab tokenizer decode 40 41 42",
    'gpt2lab tokenizer encode "Hello world" | gpt2lab tokenizer decode -',
)

Source = Annotated[
    str,
    Option("--tokenizer", "--model", "-m", metavar="NAME", help="A folder with a vocabulary, or a model by its name."),
]


def app() -> typer.Typer:
    """Return the three commands."""
    group = new_app()
    group.callback(context_settings=SETTINGS)(tokenizer)
    group.command("train", epilog=TRAIN_EXAMPLES, context_settings=SETTINGS)(train)
    group.command("encode", epilog=ENCODE_EXAMPLES, context_settings=SETTINGS)(encode)
    group.command("decode", epilog=DECODE_EXAMPLES, context_settings=SETTINGS)(decode)
    return group


def tokenizer() -> None:
    """Train a vocabulary, or turn text into token ids and back."""


def train(
    files: Annotated[list[str], Argument(metavar="FILE...", help="UTF-8 text; - is stdin.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="Folder to write the vocabulary to.")],
    vocab_size: Annotated[
        int, Option("--vocab-size", metavar="N", help="Tokens in all, with 256 bytes and the special tokens.")
    ] = 4096,
    min_frequency: Annotated[
        int, Option("--min-frequency", metavar="N", help="Merge pairs seen at least N times.")
    ] = 2,
    special_token: Annotated[
        list[str] | None,
        Option("--special-token", metavar="TOKEN", help="Give this token an id of its own, besides <|endoftext|>."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        Option("--format", metavar="hf|vocab|openai", help="Files to write; may be given several times. Default: hf."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a vocabulary that is there already.")] = False,
) -> None:
    """Learn a byte-level BPE vocabulary from text, with GPT-2's layout of ids. Prints the folder."""
    from gpt2lab.cli import console
    from gpt2lab.tokenizer import Tokenizer, train_tokenizer
    from gpt2lab.tokenizer.vocabulary import END_OF_TEXT

    if Path(out).is_dir() and not overwrite and Tokenizer.find(out) is not None:
        raise DataError(f"{out} holds a vocabulary already; choose another folder or add --overwrite.")
    texts: Any = _texts(files)
    learnt = train_tokenizer(
        texts, vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=(END_OF_TEXT, *(special_token or ()))
    )
    if learnt.vocab_size < vocab_size:
        console.note(f"The text gives no more than {learnt.vocab_size} tokens.")
    learnt.save(out, formats=formats or ("hf",))
    console.write(f"{out}\n")


def encode(
    text: Annotated[
        str | None, Argument(metavar="TEXT", help="The text; - or a pipe is stdin.", show_default=False)
    ] = None,
    source: Source = "tiny",
    offsets: Annotated[bool, Option("--offsets", help="A line a token: id, characters, bytes, token.")] = False,
    special: Annotated[
        bool, Option("--allow-special", help="Special tokens in the text are tokens; else they are plain text.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="A JSON object; with --offsets it has spans.")] = False,
) -> None:
    """Turn text into token ids."""
    from gpt2lab.cli import console

    if text is None and not console.stdin_is_piped():
        raise ConfigError("There is no text to encode; give it as an argument or pipe it in.")
    whole = console.read_text(console.STDIN) if text in (None, console.STDIN) else str(text)
    vocabulary = load_tokenizer(source)
    allowed: Any = "all" if special else ()
    if not offsets:
        ids = vocabulary.encode(whole, allowed_special=allowed)
        tokens = [vocabulary.token_text(i) for i in ids]
        line = console.to_json({"ids": ids, "tokens": tokens}) if as_json else " ".join(map(str, ids))
        console.write(line + "\n")
        return
    found = vocabulary.encode_with_offsets(whole, allowed_special=allowed)
    rows = [
        {"id": i, "token": vocabulary.token_text(i), "characters": list(c), "bytes": list(b)}
        for i, c, b in zip(found.ids, found.char_spans, found.byte_spans, strict=True)
    ]
    if as_json:
        console.write(console.to_json({"ids": found.ids, "tokens": rows}) + "\n")
        return
    cells = [
        (str(i), f"{c[0]}-{c[1]}", f"{b[0]}-{b[1]}", console.quoted(vocabulary.token_text(i)))
        for i, c, b in zip(found.ids, found.char_spans, found.byte_spans, strict=True)
    ]
    headed = [("id", "characters", "bytes", "token"), *cells]
    console.write("\n".join(console.aligned(headed, right=(0, 1, 2))) + "\n")


def decode(
    ids: Annotated[
        list[str] | None, Argument(metavar="ID...", help="Token ids; - or a pipe is stdin.", show_default=False)
    ] = None,
    source: Source = "tiny",
    as_json: Annotated[bool, Option("--json", help="A JSON object with the text and the tokens.")] = False,
) -> None:
    """Turn token ids into text, byte for byte: nothing is added to it.

    Ids may be separated by blanks, commas or line breaks, or be a JSON list or what encode --json writes.
    """
    from gpt2lab.cli import console

    if not ids and not console.stdin_is_piped():
        raise ConfigError("There are no ids to decode; give them as arguments or pipe them in.")
    numbers = parse_ids(console.read_text(console.STDIN) if ids in (None, [], [console.STDIN]) else " ".join(ids or ()))
    vocabulary = load_tokenizer(source)
    if as_json:
        tokens = [vocabulary.token_text(i) for i in numbers]
        console.write(console.to_json({"text": vocabulary.decode(numbers), "ids": numbers, "tokens": tokens}) + "\n")
        return
    console.write(vocabulary.decode(numbers))
    if sys.stdout.isatty():
        console.write("\n")


def parse_ids(text: str) -> list[int]:
    """Return the token ids that a text lists. Raises `DataError` naming what is no id."""
    try:
        value = parse_json(text)
    except ValueError:
        value = [part for part in re.split(r"[\s,]+", text.strip().removeprefix("[").removesuffix("]")) if part]
    if isinstance(value, dict):
        value = value.get("ids")
    listed = value if isinstance(value, list) else [value]
    ids = []
    for part in listed:
        if isinstance(part, bool) or not re.fullmatch(r"\d{1,18}", str(part)):
            raise DataError(f"{part!r} is no token id; ids are whole numbers such as 464.")
        ids.append(int(part))
    return ids


def load_tokenizer(source: str) -> Tokenizer:
    """Load a tokenizer from a folder with a vocabulary, or that of a model by its name."""
    from gpt2lab import checkpoint
    from gpt2lab.tokenizer import Tokenizer

    if Path(source).is_dir() and (found := Tokenizer.find(source)) is not None:
        return found
    model = checkpoint.load(source)
    if model.tokenizer is None:
        raise DataError(f"{source} has no tokenizer.")
    return model.tokenizer


def _texts(files: list[str]) -> list[str] | Iterator[str]:
    """Return what a vocabulary is learnt from: files that can be read, or texts where stdin is among them."""
    from gpt2lab.cli import console

    if console.STDIN in files:
        texts = [console.read_text(file) for file in files]
        if not any(texts):
            raise DataError("There is no text to learn from.")
        return iter(texts)
    size = 0
    for file in files:
        with Path(file).open("rb") as f:
            size += len(f.read(1))
    if not size:
        raise DataError(f"{', '.join(files)}: there is no text to learn from.")
    return files

"""Where prompts come from: the command line, stdin, files. Newlines are kept byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from gpt2lab.cli import console
from gpt2lab.errors import ConfigError, DataError, RequestError
from gpt2lab.files import parse_json


def read_prompts(argument: str | None, files: Sequence[str], list_file: str | None) -> list[str] | None:
    """Return the prompts, or None when there is none and the text is to begin from nothing.

    `argument` is the prompt itself, "-" stands for stdin; each of `files` holds one prompt; `list_file` holds many
    (see `prompts_in`). Without any of them, stdin is the prompt if something is piped into it.
    """
    if sum((argument is not None, bool(files), list_file is not None)) > 1:
        raise ConfigError("Give the prompt in one way: as an argument, with --prompt-file or with --prompts-file.")
    if list_file is not None:
        return prompts_in(list_file)
    if files:
        return [_not_empty(console.read_text(file), _named(file)) for file in files]
    if argument is not None and argument != console.STDIN:
        return [_well_formed(_not_empty(argument, "the argument"))]
    if argument == console.STDIN or console.stdin_is_piped():
        text = _not_empty(console.read_text(console.STDIN), _named(console.STDIN))
        if text.endswith("\n"):
            console.note("The prompt ends with a line break, as echo adds one; printf does not.")
        return [text]
    return None


def prompts_in(path: str) -> list[str]:
    """Read a file of prompts: one a line, in a .jsonl file a string or a "prompt" a line; empty lines are none."""
    lines = console.read_text(path).split("\n")
    prompts = []
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        prompts.append(_json_prompt(line, f"{path}, line {number}") if path.endswith(".jsonl") else line)
    if not prompts:
        raise DataError(f"{path} holds no prompt; write one on each line.")
    return prompts


def _json_prompt(line: str, where: str) -> str:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.") from None
    prompt = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(prompt, str) or not prompt:
        raise DataError(f"{where} has no prompt: a string, or an object with a string under 'prompt', is needed.")
    return prompt


def _not_empty(text: str, source: str) -> str:
    if not text:
        raise RequestError(
            f"The prompt is empty: {source} holds no text. To begin from nothing, give no prompt at all."
        )
    return text


def _named(source: str) -> str:
    return "standard input" if source == console.STDIN else source


def _well_formed(text: str) -> str:
    """Refuse an argument that was not UTF-8; Python hands such bytes over as lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(f"The prompt is not UTF-8 text: a stray byte at character {error.start}.") from None
    return text

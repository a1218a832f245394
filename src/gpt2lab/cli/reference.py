"""Every command with its options as one Markdown page: `python -m gpt2lab.cli.reference > docs/cli.md`.

Made from the commands themselves; a test compares the page with the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from gpt2lab.cli.app import COMMANDS, GROUPS, load_command

_INTRODUCTION = """\
# The command line

This page is made by `python -m gpt2lab.cli.reference > docs/cli.md`.

`gpt2lab COMMAND --help` says the same, and `python -m gpt2lab` is `gpt2lab`. What every command keeps to:

- Results go to stdout, everything else (notes, the seed, progress) to stderr. `-` is stdin or stdout. Text is UTF-8.
- Exit code 0: done. 2: a mistake, told in one sentence that begins with `gpt2lab:`. 130: Ctrl-C. 141: the reader of the
  output has gone.
- A file or folder that is written is whole or absent.
- Options may be spelt with underscores too: `--top_k` is `--top-k`.
- Work that takes more than two seconds shows a progress bar when stderr is a terminal.
- A prompt is taken byte for byte; a line break at the end of a file or a pipe belongs to it.
"""


def page() -> str:
    """Return the page."""
    sections = [_INTRODUCTION]
    for name in COMMANDS:
        command = load_command(name)
        if name in GROUPS:
            sections += [_section(f"{name} {part}", command.commands[part]) for part in GROUPS[name]]
        else:
            sections.append(_section(name, command))
    return "\n".join(sections)


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(f"{p.metavar}" if p.required else f"[{p.metavar}]" for p in arguments)
    first, *rest = _paragraphs(command.help)
    lines = [
        f"## gpt2lab {name}",
        "",
        first,
        "",
        "```",
        " ".join(f"gpt2lab {name} [OPTIONS] {usage}".split()),
        "```",
        "",
    ]
    for paragraph in rest:
        lines += [paragraph, ""]
    lines += ["| option | |", "|---|---|"]
    lines += [_row(p) for p in (*arguments, *(p for p in command.params if p.param_type_name == "option"))]
    return "\n".join([*lines, "", "```", *_examples(command.epilog), "```", ""])


def _paragraphs(text: str) -> Iterator[str]:
    import inspect

    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield " ".join(paragraph.split())


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar}`"
    else:
        names = ", ".join(f"`{o}`" for o in sorted(parameter.opts, key=len, reverse=True))
        off = "".join(f" / `{o}`" for o in parameter.secondary_opts)
        value = f" {parameter.metavar}" if parameter.metavar else ""
        name = f"{names}{off}{value}".replace("|", "\\|")
    default = parameter.default
    plain = default is None or isinstance(default, bool) or callable(default)
    shown = "" if plain else f" Default: {default}."
    needed = " Required." if parameter.required and parameter.param_type_name == "option" else ""
    return f"| {name} | {parameter.help.replace('|', chr(92) + '|')}{shown}{needed} |"


def _examples(epilog: str) -> list[str]:
    return [line.strip() for line in epilog.splitlines()[2:]]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a process's own stdout is a TextIOWrapper
    sys.stdout.write(page())

"""The table of commands and how a command line finds its own: each is imported only when it is asked for."""

from __future__ import annotations

import importlib
import re
from typing import Any

import typer
from typer.core import TyperGroup

from gpt2lab.errors import ConfigError, nearest

COMMANDS = {
    "generate": "Continue a prompt, or write from nothing.",
    "interactive": "Answer prompts one after another.",
    "explore": "Choose the next token yourself, among the likeliest.",
    "serve": "Serve OpenAI's completions API and the pages over HTTP.",
    "score": "Measure how well a model expects a text, token by token.",
    "translate": "Translate sentences, as the GPT-2 paper asked for it.",
    "summarize": "Summarise a text, as the GPT-2 paper asked for it.",
    "answer": "Answer questions, as the GPT-2 paper asked them.",
    "choose": "Choose the likeliest of several texts.",
    "features": "Turn texts into vectors, or find which are alike.",
    "inspect": "Look inside: surprise, the logit lens, attention.",
    "eval": "Evaluate a model by the protocols in use.",
    "bias": "Measure what a model expects of groups of people.",
    "detect": "Tell machine text from human text, and say how far to trust it.",
    "tokenizer": "Train a vocabulary, or turn text into token ids and back.",
    "models": "List the models there are and where they lie.",
    "download": "Fetch a published model.",
    "convert": "Write a model in another format.",
    "prepare": "Turn text into a corpus of token ids to train on.",
    "train": "Train a model by a recipe, or go on with a run.",
    "finetune": "Train a model further on your own text.",
    "transfer": "Fine-tune a model to classify, compare, choose, tag and answer.",
    "music": "Learn music, continue it, accompany it, and hear it.",
    "plot": "Draw the curves of training runs.",
    "article": "Write news articles by metadata, or metadata by articles.",
    "seq2seq": "Learn to turn texts into other texts from pairs, and do it.",
}
"""Name of each command -> the first line of its help; the command is the function (or app) of that name in the module
of that name."""

GROUPS = {
    "article": ("generate", "train", "collect", "losses"),
    "detect": ("files", "build", "train", "report"),
    "seq2seq": ("train", "pairs", "run"),
    "tokenizer": ("train", "encode", "decode"),
    "transfer": ("train", "predict"),
    "music": ("encode", "decode", "train", "generate", "render", "report"),
}
"""Commands that have commands of their own: the module's `app` makes them."""

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # OpenAI's scripts spell --top_k
}
"""What typer is told of every command."""

_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]  # typer offers no public name for the base class


def new_app() -> typer.Typer:
    """Return an empty typer application: plain help, no completion, tracebacks as Python shows them."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """Return examples as the end of a command's help, line for line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Commands(TyperGroup):
    """The root command: knows the names of its commands and imports one when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name; an unknown one is a `ConfigError` that names the nearest."""
        if cmd_name not in COMMANDS:
            raise ConfigError(
                f"Unknown command {cmd_name!r}.{nearest(cmd_name, COMMANDS)} Commands: {', '.join(COMMANDS)}."
            )
        return load_command(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def load_command(name: str) -> Any:
    """Import a command and return it as the object that parses and runs it."""
    module = importlib.import_module(f"gpt2lab.cli.{name}")
    if name in GROUPS:
        return typer.main.get_command(module.app())
    app = new_app()
    app.command(name, epilog=module.EXAMPLES, context_settings=SETTINGS)(getattr(module, name))
    return typer.main.get_command(app)


def root() -> Any:
    """Return the `gpt2lab` command."""
    app = new_app()
    app.callback(cls=Commands, context_settings=SETTINGS, epilog=_EPILOG)(gpt2lab)
    return typer.main.get_group(app)


_EPILOG = examples('gpt2lab generate "Once upon a time" --length 50', "gpt2lab generate --help")


def _show_version(wanted: bool) -> None:
    if wanted:
        from gpt2lab import __version__

        typer.echo(f"gpt2lab {__version__}")
        raise typer.Exit


def gpt2lab(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """The whole GPT-2 system: generate, measure, train, convert.

    Runs on the model that comes with it unless --model says otherwise. Exit codes: 0 done, 2 a mistake, 130 Ctrl-C.
    """


def dispatch(arguments: list[str]) -> tuple[int, str]:
    """Run a command line and return its exit code with the sentence for a mistake in its options ("" for none).

    What the command itself raises passes through.
    """
    group = root()
    try:
        with group.make_context("gpt2lab", arguments) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code, ""
    except typer.Abort:
        return 130, ""
    except _USAGE_ERROR as error:
        return 2, _usage(error)
    return 0, ""


def _usage(error: Any) -> str:
    """Return typer's complaint about a command line as one sentence that says where to read on."""
    path = error.ctx.command_path if error.ctx is not None else "gpt2lab"
    message = " ".join(error.format_message().split())
    if unknown := re.match(r"No such option:? '?(-[-\w]+)", message):
        known = [o for p in error.ctx.command.params for o in (*p.opts, *p.secondary_opts)] if error.ctx else []
        message = f"Unknown option {unknown[1]!r}.{nearest(unknown[1], known)}"
    elif invalid := re.match(r"Invalid value for '(--[-\w]+)'[^:]*: (.*)", message):
        message = _refused(invalid[1], invalid[2])
    elif message.startswith("Got unexpected extra argument"):
        first = re.sub(r".*?argument\S* \((\S+?)[\s)].*", r"\1", message)
        message = f"{first!r} is one argument too many; put a text of several words in quotes."
    ended = message if message.endswith((".", "?", "!")) else f"{message}."
    return f"{ended} See {path} --help."


_NEEDED = {"int": "a whole number", "float": "a number"}
_REFUSED = re.compile(
    r"(?P<value>.+) is not (?:a valid (?P<type>int|float)|in the range (?P<range>\S+?))(?: range)?\.?"
)


def _refused(option: str, reason: str) -> str:
    """Return typer's complaint about the value of an option in the words of all others."""
    match = _REFUSED.fullmatch(reason)
    if match is None:
        return f"{option} is not possible: {reason[0].lower()}{reason[1:]}"
    if match["type"]:
        return f"{option} = {match['value']} is not {_NEEDED[match['type']]}."
    low, _, high = match["range"].partition("<=x<=")
    allowed = f"from {low} to {high}" if high else f"of at least {low.removeprefix('x>=')}"
    return f"{option} = {match['value']} must be a whole number {allowed}."

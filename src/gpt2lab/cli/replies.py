"""What translate, summarize and answer share: questions in, replies out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpt2lab.cli import console
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gpt2lab.lm.asking import Reply
    from gpt2lab.lm.model import LanguageModel


def asked(argument: str | None, what: str) -> list[str]:
    """Return what is asked: the argument, or the lines of stdin for "-" and pipes."""
    if argument is not None and argument != console.STDIN:
        return [argument]
    if argument is None and not console.stdin_is_piped():
        raise ConfigError(f"There is no {what}; give it as an argument or pipe it in, one on each line.")
    lines = [line for line in console.read_text(console.STDIN).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"Standard input holds no {what}; write one on each line.")
    return lines


def two_parts(text: str, mistake: str) -> tuple[str, str]:
    """Return what stands before and behind " = "; raises `ConfigError` with `mistake` where either is missing."""
    before, sign, behind = (part.strip() for part in text.partition(" = "))
    if not sign or not before or not behind:
        raise ConfigError(mistake)
    return before, behind


def load(
    model: str, models_dir: str | None, offline: bool, precision: str, device: str, threads: int | None
) -> LanguageModel:
    """Load a model that remembers how its prompts begin, since they begin alike."""
    from gpt2lab.cli import loading
    from gpt2lab.engine.prefix import PrefixCache

    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    if lm.prefixes is None:
        lm.prefixes = PrefixCache()
    return lm


def shown(reply: Reply, *, asked: str | None, as_json: bool, show_prompt: bool) -> str:
    """Return a reply as a line, or as JSON; a note on stderr says what did not fit."""
    if reply.cut:
        console.note(f"{reply.cut} tokens at the beginning did not fit the model's window and were not read.")
    if as_json:
        values = {
            **({} if asked is None else {"asked": asked}),
            "text": reply.text, "written": reply.written, "probability": reply.probability,
            "examples": reply.examples, "cut": reply.cut, **({"prompt": reply.prompt} if show_prompt else {}),
        }  # fmt: skip
        return console.to_json(values) + "\n"
    return (reply.prompt if show_prompt else "") + (" " if show_prompt else "") + reply.text + "\n"

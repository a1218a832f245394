"""`gpt2lab translate`: a translation by examples alone."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

EXAMPLES = examples(
    'gpt2lab translate "The cat is on the table."',
    'gpt2lab translate "Der Hund schläft." --example "Die Katze = The cat" --example "Das Haus = The house"',
    "gpt2lab translate - --shots 3 --json < sentences.txt",
)


def translate(
    sentence: Annotated[
        str | None,
        Argument(metavar="SENTENCE", help="The sentence; - or a pipe is stdin, one on each line.", show_default=False),
    ] = None,
    model: o.Model = "tiny",
    example: Annotated[
        list[str] | None,
        Option("--example", metavar="TEXT", help='A pair "sentence = translation"; may be given several times.'),
    ] = None,
    shots: Annotated[
        int | None, Option("--shots", metavar="N", min=0, help="So many of the built-in pairs. Default: 5.")
    ] = None,
    reverse: Annotated[bool, Option("--reverse", help="The built-in pairs the other way: French to English.")] = False,
    whole_line: Annotated[bool, Option("--whole-line", help="The whole line counts, not its first sentence.")] = False,
    length: Annotated[int, Option("--length", "-l", metavar="N", min=1, help="Most new tokens.")] = 100,
    show_prompt: o.ShowPrompt = False,
    as_json: o.JsonReply = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Translate sentences, as the GPT-2 paper asked for it.

    The model reads pairs "sentence = translation" and then the sentence with "=": English to French with the built-in
    pairs, or what --example shows. Pairs that do not fit the window are left out, and then the sentence's beginning.
    """
    from gpt2lab.cli import console, replies
    from gpt2lab.lm import asking
    from gpt2lab.lm.prompts import TRANSLATIONS

    if example and (shots is not None or reverse):
        raise ConfigError("--shots and --reverse choose among the built-in pairs: leave them out beside --example.")
    if shots is not None and shots > len(TRANSLATIONS):
        raise ConfigError(f"--shots = {shots} must be from 0 to {len(TRANSLATIONS)}.")
    mistake = '--example {!r} is no pair; write "sentence = translation".'
    pairs = [replies.two_parts(text, mistake.format(text)) for text in example or ()]
    pairs = pairs or list(TRANSLATIONS[: asking.SHOTS if shots is None else shots])
    if reverse:
        pairs = [(b, a) for a, b in pairs]
    lines = replies.asked(sentence, "sentence")
    lm = replies.load(model, models_dir, offline, precision, device, threads)
    for line in lines:
        reply = asking.translate(
            lm, line, examples=pairs, first_sentence=not whole_line, max_new_tokens=length
        )  # fmt: skip
        console.write(replies.shown(reply, asked=line, as_json=as_json, show_prompt=show_prompt))

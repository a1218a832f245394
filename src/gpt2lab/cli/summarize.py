"""`gpt2lab summarize`: a summary because "TL;DR:" stands behind the text."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import RequestError

EXAMPLES = examples(
    "gpt2lab summarize article.txt --model gpt2",
    "gpt2lab summarize - --sentences 1 --seed 3 < article.txt",
    "gpt2lab summarize article.txt --no-hint --json",
)


def summarize(
    file: Annotated[str, Argument(metavar="FILE", help="The text; - is stdin.")],
    model: o.Model = "tiny",
    hint: Annotated[bool, Option("--hint/--no-hint", help="Ask for a summary, or just go on, to compare.")] = True,
    sentences: Annotated[int, Option("--sentences", metavar="N", min=1, help="Sentences that are kept.")] = 3,
    top_k: Annotated[int, Option("--top-k", metavar="N", min=1, help="Draw from the N likeliest; 1: greedy.")] = 2,
    length: Annotated[int, Option("--length", "-l", metavar="N", min=1, help="New tokens.")] = 100,
    seed: Annotated[int, Option("--seed", metavar="N", min=0, help="Decides what is drawn.")] = 0,
    show_prompt: o.ShowPrompt = False,
    as_json: o.JsonReply = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Summarise a text, as the GPT-2 paper asked for it.

    The model reads the text and "TL;DR:" on a line of its own, writes 100 tokens, each drawn from the two likeliest,
    and the first three sentences count. A text longer than the window loses its beginning, and a note says so.
    """
    from gpt2lab.cli import console, replies
    from gpt2lab.lm import asking
    from gpt2lab.lm.prompts import HINT

    text = console.read_text(file)
    if not text.strip():
        raise RequestError(f"{'Standard input' if file == console.STDIN else file} is empty; there is nothing to read.")
    lm = replies.load(model, models_dir, offline, precision, device, threads)
    reply = asking.summarize(
        lm, text, hint=HINT if hint else "", sentences=sentences, top_k=top_k, seed=seed, max_new_tokens=length
    )
    console.write(replies.shown(reply, asked=None, as_json=as_json, show_prompt=show_prompt))

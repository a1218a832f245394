"""`gpt2lab answer`: an answer about a text, or from what the model knows."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import DataError

EXAMPLES = examples(
    'gpt2lab answer "Who wrote Hamlet?" --model gpt2',
    'gpt2lab answer "Where did the cat sit?" --text-file story.txt',
    'gpt2lab answer "And then?" --text-file story.txt --turn "Where did the cat sit? = On the mat."',
)


def answer(
    question: Annotated[
        str | None,
        Argument(metavar="QUESTION", help="The question; - or a pipe is stdin, one on each line.", show_default=False),
    ] = None,
    model: o.Model = "tiny",
    text_file: Annotated[
        str | None, Option("--text-file", metavar="FILE", help="The text that the question is about.")
    ] = None,
    turn: Annotated[
        list[str] | None,
        Option("--turn", metavar="TEXT", help='"question = answer" about the text before; may be given several times.'),
    ] = None,
    shots: Annotated[
        int, Option("--shots", metavar="N", min=0, max=8, help="Without a text: built-in questions shown first.")
    ] = 5,
    length: Annotated[int, Option("--length", "-l", metavar="N", min=1, help="Most new tokens.")] = 32,
    show_prompt: o.ShowPrompt = False,
    as_json: o.JsonReply = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Answer questions, as the GPT-2 paper asked them.

    With a text the model reads it, the dialogue so far and the question ("Q:", "A:"); without one, other questions with
    their answers. It writes greedily to the end of the line. A text that is too long loses its beginning, and a note
    says so.
    """
    from gpt2lab.cli import console, replies
    from gpt2lab.lm import asking
    from gpt2lab.lm.prompts import QUESTIONS

    turns = [replies.two_parts(t, f'--turn {t!r} is no turn; write "question = answer".') for t in turn or ()]
    text = "" if text_file is None else console.read_text(text_file)
    if text_file is not None and not text.strip():
        raise DataError(f"{console.named(text_file)} is empty; there is nothing to ask about.")
    lines = replies.asked(question, "question")
    lm = replies.load(model, models_dir, offline, precision, device, threads)
    for line in lines:
        reply = asking.answer(
            lm, line, text=text, turns=turns, examples=QUESTIONS[:shots], max_new_tokens=length
        )  # fmt: skip
        console.write(replies.shown(reply, asked=line, as_json=as_json, show_prompt=show_prompt))

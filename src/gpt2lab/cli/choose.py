"""`gpt2lab choose`: which of several texts is the likeliest in its place."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples

EXAMPLES = examples(
    'gpt2lab choose "The capital of France is" " Paris" " London" " Rome"',
    'gpt2lab choose "The trophy does not fit into the case because the" " trophy" " case" --behind " is too big." '
    "--rule partial",
)


def choose(
    context: Annotated[str, Argument(metavar="CONTEXT", help="What stands before.")],
    options: Annotated[
        list[str], Argument(metavar="OPTION...", help="At least two, each with the blank that stands before it.")
    ],
    behind: Annotated[str, Option("--behind", metavar="TEXT", help="What stands after each of them.")] = "",
    rule: Annotated[
        str,
        Option(
            "--rule",
            metavar="sum|mean|characters|partial",
            help="The whole log-probability, per token, per character of the option, or of what is behind alone.",
        ),
    ] = "sum",
    model: o.Model = "tiny",
    as_json: Annotated[bool, Option("--json", help="One JSON object.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Choose the likeliest of several texts.

    Prints the options, likeliest first, with their scores (log-probabilities in nats, or means of them) and their
    shares of the probability.
    """
    from gpt2lab.cli import console, replies
    from gpt2lab.lm import asking

    lm = replies.load(model, models_dir, offline, precision, device, threads)
    given: Any = rule
    found = asking.choose(lm, context, options, behind=behind, rule=given)
    order = sorted(range(len(options)), key=lambda i: -found.scores[i])
    rows: list[dict[str, Any]] = [
        {"option": options[i], "score": round(found.scores[i], 4), "share": round(found.shares[i], 4)} for i in order
    ]
    if as_json:
        console.write(console.to_json({"best": found.best, "rule": rule, "options": rows}) + "\n")
        return
    cells = [(f"{r['score']:.4f}", f"{100 * r['share']:.2f} %", console.quoted(r["option"])) for r in rows]
    console.write("\n".join(console.aligned([("score", "share", "option"), *cells], right=(0, 1))) + "\n")

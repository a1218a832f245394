"""`gpt2lab plot`: the curves of training runs in one picture."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli.app import examples

EXAMPLES = examples(
    "gpt2lab plot runs/tiny --out curve.png",
    "gpt2lab plot runs/small runs/large --metric bits_per_byte --over tokens --out curves.html",
)


def plot(
    runs: Annotated[list[str], Argument(metavar="RUN...", help="The folders that runs were written to.")],
    out: Annotated[str, Option("--out", metavar="FILE", help="The picture: .png, .svg or .html.")] = "curve.html",
    metrics: Annotated[
        list[str] | None,
        Option("--metric", metavar="NAME", help="What to draw; may be given several times. Default: both losses."),
    ] = None,
    over: Annotated[str, Option("--over", metavar="AXIS", help="step, tokens or seconds.")] = "step",
    log: Annotated[bool, Option("--log", help="Draw values on a logarithmic axis.")] = False,
) -> None:
    """Draw the curves of training runs.

    Reads each run's metrics.jsonl, also while the run goes on. An HTML file stands alone and tells a point's values
    when it is pointed at. Prints the picture's name.
    """
    from gpt2lab.cli import console
    from gpt2lab.train.plot import plot as draw

    path = draw(runs, out, metrics=metrics or ("train_loss", "validation_loss"), axis=over, logarithmic=log)
    console.write(f"{path}\n")

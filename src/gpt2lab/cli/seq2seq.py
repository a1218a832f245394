"""`gpt2lab seq2seq`: learn pairs of texts (translations, summaries), and write targets with what has learnt them.

Only the command line: what is done stands in gpt2lab.apps.seq2seq.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import SETTINGS, examples, new_app
from gpt2lab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpt2lab.apps.seq2seq.write import Written

TRAIN_EXAMPLES = examples(
    "gpt2lab seq2seq train recipes/multi30k-en-de.toml --set data=multi30k",
    "gpt2lab seq2seq train --pairs pairs.tsv --model tiny --out runs/pairs --set train.steps=500",
    "gpt2lab seq2seq train recipes/multi30k-en-de.toml --pairs train.en --pairs train.de",
    "gpt2lab seq2seq train --resume runs/multi30k-en-de",
)
RUN_EXAMPLES = examples(
    "gpt2lab seq2seq run runs/multi30k-en-de sentences.txt",
    "echo 'A man is sleeping.' | gpt2lab seq2seq run runs/multi30k-en-de - --beams 5",
    "gpt2lab seq2seq run runs/multi30k-en-de val.en.gz --references val.de.gz --json -o val.jsonl",
)

PAIRS_EXAMPLES = examples(
    "gpt2lab seq2seq pairs books.jsonl.xz -o train.jsonl --validation validation.jsonl --every 20",
    "gpt2lab seq2seq pairs news.jsonl --target title -o titles.jsonl",
)

DEFAULTS: dict[str, Any] = {
    "name": "seq2seq",
    "data": ".",
    "out": "runs/seq2seq",
    "model": {"dropout": 0.1},
    "optimizer": {"name": "adamw", "lr": 5e-4, "betas": [0.9, 0.98]},
    "schedule": {"name": "cosine", "warmup_steps": 50},
    "train": {"steps": 1000, "batch_size": 16, "validate_every": 100, "seed": 1},
    "task": {"kind": "seq2seq", "model": "tiny", "label_smoothing": 0.1},
}
"""What is trained where no recipe says it: the embedded model, on any pairs."""


def app() -> typer.Typer:
    """Return the commands."""
    group = new_app()
    group.callback(context_settings=SETTINGS)(seq2seq)
    group.command("train", epilog=TRAIN_EXAMPLES, context_settings=SETTINGS)(train)
    group.command("pairs", epilog=PAIRS_EXAMPLES, context_settings=SETTINGS)(pairs)
    group.command("run", epilog=RUN_EXAMPLES, context_settings=SETTINGS)(run)
    return group


def seq2seq() -> None:
    """Learn to turn texts into other texts from pairs, and do it."""


def train(
    recipe: Annotated[
        str | None,
        Argument(metavar="RECIPE", help="A TOML file; recipes/multi30k-*.toml, summarise-books.", show_default=False),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        Option("--pairs", metavar="FILE", help="A .tsv or .jsonl of pairs; or twice: sources, then targets by line."),
    ] = None,
    validation: Annotated[
        list[str] | None,
        Option("--validation", metavar="FILE", help="Pairs to validate on, likewise. Default: a share is held out."),
    ] = None,
    model: Annotated[
        str | None, Option("--model", "-m", metavar="NAME", help="The model to begin with. Default: the recipe's.")
    ] = None,
    out: Annotated[str | None, Option("--out", metavar="DIR", help="The run's folder.")] = None,
    assignments: o.Assignments = None,
    resume: o.Resume = None,
) -> None:
    """Train a model on pairs of texts, or go on with a run. Prints the folder of the model.

    A pair is read as source, delimiter, target, end, and the target is learnt. Without a recipe the embedded model is
    trained further; a recipe without task.model makes a new one with a vocabulary of its own. Ctrl-C saves the run.
    """
    from gpt2lab.apps.seq2seq import training
    from gpt2lab.cli import console

    chosen = _assignments(pairs, validation, model, out)
    if recipe is None and resume is None and not pairs:
        raise ConfigError(
            "Give a recipe, pairs or a run to go on with: gpt2lab seq2seq train RECIPE, --pairs FILE or --resume RUN."
        )
    if resume is not None and (recipe is not None or chosen):
        raise ConfigError("--resume goes on with a run as it was begun; beside it only --set can be given.")
    given = recipe if recipe is not None or resume is not None else DEFAULTS
    begun = training.trainer(given, overrides=[*chosen, *(assignments or ())], resume=resume)
    folder = training.finish(begun)
    if begun.processes.is_main:
        console.write(f"{folder}\n")


def pairs(
    file: Annotated[str, Argument(metavar="FILE", help='Documents as JSON lines with "text" (and "title").')],
    output: o.Output = None,
    validation: Annotated[
        str | None, Option("--validation", metavar="FILE", help="Write the pairs of held-out documents here.")
    ] = None,
    validation_share: Annotated[
        float, Option("--validation-share", metavar="X", help="Share of documents held out for --validation.")
    ] = 0.02,
    target: Annotated[
        str, Option("--target", metavar="first-sentence|title", help="Of each paragraph, or of each document.")
    ] = "first-sentence",
    least: Annotated[int, Option("--least", metavar="N", help="Characters a source must have.")] = 300,
    most: Annotated[int, Option("--most", metavar="N", help="Characters a source may have.")] = 2000,
    every: Annotated[int, Option("--every", metavar="N", help="Only every N-th paragraph.")] = 1,
) -> None:
    """Make pairs of documents: each paragraph's first sentence from its others, or each text's title.

    Which documents are held out follows from their content, so that no document stands on both sides.
    """
    import contextlib

    from gpt2lab.apps.seq2seq.derive import DeriveOptions, derived, is_held_out
    from gpt2lab.cli import console
    from gpt2lab.config import from_dict

    options = from_dict(DeriveOptions, {"target": target, "least": least, "most": most, "every": every})
    if not 0 < validation_share < 1:
        raise ConfigError(f"--validation-share = {validation_share} must be between 0 and 1.")
    counts = [0, 0]
    with contextlib.ExitStack() as stack:
        outs = [stack.enter_context(console.open_output(output))]
        if validation is not None:
            outs.append(stack.enter_context(console.open_output(validation)))
        for pair, document in derived(file, options):
            place = int(validation is not None and is_held_out(document, validation_share))
            outs[place].write(console.to_json(pair._asdict(), for_stdout=output in (None, "-")) + "\n")
            counts[place] += 1
        if not counts[0]:
            raise DataError(
                f"No pair comes of {file}: none of its texts has what --target {target} needs, with a source of "
                f"{least} to {most} characters (--least, --most). Nothing is written."
            )
    console.say(f"{counts[0]} pairs" + ("" if validation is None else f", {counts[1]} to validate on"))


def run(
    model: Annotated[str, Argument(metavar="MODEL", help="A model that has learnt pairs: a run of seq2seq train.")],
    file: Annotated[
        str, Argument(metavar="FILE", help="Sources: lines, .jsonl with a key, .tsv with a column; - is stdin.")
    ],
    beams: Annotated[
        int | None,
        Option("--beams", "--num-beams", metavar="N", min=1, help="Beams. Default: the model's own, else 1."),
    ] = None,
    length_penalty: Annotated[
        float | None,
        Option("--length-penalty", metavar="X", help="Above 0 favours longer texts. Default: the model's own, else 1."),
    ] = None,
    length: Annotated[
        int | None, Option("--length", "-l", metavar="N", min=1, help="Most new tokens. Default: the model's room.")
    ] = None,
    source: Annotated[str, Option("--source", metavar="NAME", help="The key or column of the sources.")] = "source",
    references: Annotated[
        str | None, Option("--references", metavar="FILE", help="Right targets, a line each: BLEU and ROUGE on stderr.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="A JSON object on a line for each source.")] = False,
    output: o.Output = None,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    device: o.Device = "cpu",
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:
    """Write the target of each source, one a line.

    A source too long for the window loses its end, and a note says how many did; an empty line stays one.
    """
    from pathlib import Path

    from gpt2lab import checkpoint
    from gpt2lab.apps.seq2seq.pairs import decoded, read_side
    from gpt2lab.apps.seq2seq.write import PairModel
    from gpt2lab.cli import console, loading
    from gpt2lab.cli.progress import ProgressBar

    if file == console.STDIN:
        sources = [text for _, text in decoded(console.read_bytes(file).splitlines(), "standard input")]
    else:
        sources = read_side(file, name=source)
    if not any(text.strip() for text in sources):
        raise DataError(
            f"{'Standard input' if file == console.STDIN else file} holds no source; write one on each line."
        )
    right = None if references is None else read_side(references, name="target")
    if right is not None and len(right) != len(sources):
        raise DataError(f"{references} has {len(right)} lines for {len(sources)} sources; give one for each.")
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device=device, threads=threads
    )
    place = Path(folder) if (folder := loading.expanded(models_dir)) else None
    known = PairModel.of(lm, checkpoint.load(model, models_dir=place, offline=offline).generation)
    made = known.write(sources, beams=beams, length_penalty=length_penalty, length=length)
    texts: list[Written] = []
    with console.open_output(output) as out, ProgressBar("writing", unit="texts", total=len(sources)) as bar:
        for written in made:
            out.write(_line(written, as_json=as_json, for_stdout=output in (None, "-")))
            texts.append(written)
            bar.update(len(texts), len(sources))
    _tell(texts, right)


def _assignments(
    pairs: Sequence[str] | None, validation: Sequence[str] | None, model: str | None, out: str | None
) -> list[str]:
    """Return what options say of a recipe, as assignments; files are named from here, whatever the recipe's data."""
    import json
    from pathlib import Path

    found = [] if model is None else [f"task.model={json.dumps(model)}"]
    found += [] if out is None else [f"out={json.dumps(out)}"]
    for name, files in (("train", pairs), ("validation", validation)):
        if files:
            places = [str(Path(file).expanduser().absolute()) for file in files]
            found.append(f"task.{name}={json.dumps(places)}")
    if pairs and not validation:
        found.append("task.validation=[]")
    return found


def _line(written: Written, *, as_json: bool, for_stdout: bool) -> str:
    from gpt2lab.cli import console

    if not as_json:
        return " ".join(written.text.splitlines()) + "\n"
    values = {
        "source": written.source, "text": written.text, "token_ids": written.token_ids, "logprob": written.logprob,
        "complete": written.complete, "cut": written.cut,
    }  # fmt: skip
    return console.to_json(values, for_stdout=for_stdout) + "\n"


def _tell(texts: Sequence[Written], right: Sequence[str] | None) -> None:
    """Say what was cut, and what the texts are worth beside references."""
    from gpt2lab.cli import console

    if cut := sum(written.cut > 0 for written in texts):
        console.note(f"{cut} source{'s' if cut > 1 else ''} did not fit the window: the end was not read.")
    if open_ended := sum(not written.complete for written in texts):
        console.note(f"{open_ended} target{'s' if open_ended > 1 else ''} did not come to an end within the length.")
    if right is not None:
        from gpt2lab.apps.seq2seq.scores import bleu_of, rouge_of

        given = [written.text for written in texts]
        figures = {"BLEU": bleu_of(given, right), **rouge_of(given, right)}
        console.say("  ".join(f"{name} {value:.2f}" for name, value in figures.items()))

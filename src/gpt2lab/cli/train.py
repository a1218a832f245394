"""`gpt2lab train`: a model by a recipe, from the start or from where a run was saved."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

EXAMPLES = examples(
    "gpt2lab train recipes/tiny.toml --set train.max_minutes=5",
    "gpt2lab train --resume runs/tiny",
    "gpt2lab train recipes/tiny.toml --eval wikitext2 --eval-data corpora --eval-limit 500",
    "gpt2lab generate --model runs/tiny",
)


def train(
    recipe: Annotated[
        str | None, Argument(metavar="RECIPE", help="A TOML file; recipes/ has examples.", show_default=False)
    ] = None,
    assignments: o.Assignments = None,
    resume: o.Resume = None,
    eval_tasks: Annotated[
        str | None,
        Option(
            "--eval", metavar="TASKS", help="Evaluate on the way, as gpt2lab eval does; the metrics get the figures."
        ),
    ] = None,
    eval_every: Annotated[
        int | None, Option("--eval-every", metavar="N", min=1, help="Steps between. Default: with every validation.")
    ] = None,
    eval_data: Annotated[
        str | None, Option("--eval-data", metavar="DIR", help="Folder with the files of the tasks.")
    ] = None,
    eval_limit: Annotated[
        int | None, Option("--eval-limit", metavar="N", min=1, help="Only the first N documents of each task.")
    ] = None,
) -> None:
    """Train a model by a recipe, or go on with a run.

    Ctrl-C saves the run before it ends, and --resume takes it up again. At the end the model lies in the run's folder,
    under model, where generate --model finds it. Prints that folder.
    """
    from pathlib import Path

    from gpt2lab.cli import console
    from gpt2lab.lm import training

    if recipe is None and resume is None:
        raise ConfigError("Give a recipe, or a run to go on with: gpt2lab train RECIPE, or gpt2lab train --resume RUN.")
    begin = None
    if eval_tasks is not None:
        from gpt2lab.cli.eval import load_tasks
        from gpt2lab.evals.training import Evaluations

        wanted = load_tasks(eval_tasks, data=eval_data)
        begin = Evaluations(wanted, every=eval_every, limit=eval_limit).begin
    trainer = training.train(recipe, overrides=assignments or (), resume=resume, begin=begin)
    if not trainer.processes.is_main:
        return

    from gpt2lab.train.export import export

    model: Path = export(trainer.folder, trainer.folder / "model", overwrite=True)
    console.write(f"{model}\n")

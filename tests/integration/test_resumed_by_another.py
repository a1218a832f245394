"""A run that is given to a command which did not make it: the sentence names the command that did, and how to go on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from gpt2lab.apps.articles.options import ArticleOptions
from gpt2lab.apps.articles.records import Article
from gpt2lab.apps.articles.training import ArticleTraining
from gpt2lab.apps.detect.discriminator import Learning, train_discriminator
from gpt2lab.apps.detect.pairs import Pair
from gpt2lab.errors import ConfigError
from gpt2lab.train.finetune import FineTune
from gpt2lab.train.log import Progress
from gpt2lab.train.options import FineTuneOptions
from gpt2lab.train.origin import COMMANDS, Kind
from gpt2lab.train.state import find_state, read_state

if TYPE_CHECKING:
    from conftest import Command

QUIET = Progress(io.StringIO())
RESUMED: tuple[Kind, ...] = ("text", "seq2seq", "transfer", "music")
"""Those that have --resume."""


def saved(run: Path, recipe: dict[str, Any]) -> Path:
    """Write what a run's folder holds, as far as is read before anything of it is loaded."""
    state = {"format": 2, "recipe": recipe, "config": {}, "identity": {}, "step": 1, "seconds": 0.0, "tokens": 1,
             "data": {}}  # fmt: skip
    folder = run / "checkpoints" / "step-00000001"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return run


def recipe_of(kind: Kind) -> dict[str, Any]:
    task = {} if kind == "text" else {"task": {"kind": kind}}
    return {"name": "x", "data": "corpus", "out": "run", "train": {"steps": 1}, **task}


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("asked", RESUMED)
def test_resuming_names_the_command_that_made_a_run(kind: Kind, asked: Kind, command: Command, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", recipe_of(kind))
    done = command(*COMMANDS[asked].split()[1:], "--resume", run)
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    made = f"The run in {run} was made by {COMMANDS[kind]}, not by {COMMANDS[asked]}. Go on with: {COMMANDS[kind]} "
    assert (made in done.err) == (kind != asked)
    if kind in RESUMED and kind != asked:
        assert f"{made}--resume {run}." in done.err


def test_commands_that_go_on_by_themselves_name_it_too(command: Command, random_model: Path, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", recipe_of("seq2seq"))
    (tmp_path / "news.jsonl").write_text(json.dumps({"text": "It rained.", "title": "Rain"}) + "\n", encoding="utf-8")
    (tmp_path / "text.txt").write_text("It rained.\n", encoding="utf-8")
    article = command("article", "train", tmp_path / "news.jsonl", "--out", run, "--model", random_model)
    tuned = command("finetune", tmp_path / "text.txt", "--checkpoint-dir", tmp_path, "--run-name", "run")
    for done, name in ((article, "article"), (tuned, "finetune")):
        assert done.code == 2
        assert (
            f"was made by gpt2lab seq2seq train, not by {COMMANDS[name]}. Go on with: gpt2lab seq2seq train" in done.err
        )
    with pytest.raises(ConfigError, match="was made by gpt2lab seq2seq train, not by gpt2lab detect train"):
        discriminator(random_model, tmp_path / "d", run)


def discriminator(base: Path, out: Path, run: Path) -> None:
    pairs = [Pair("It rained.", "It was rain.", "", "", str(i)) for i in range(2)]
    train_discriminator(
        base, pairs, out, Learning(epochs=1, batch_size=4, window=16, threads=1), run=run, name="d", progress=QUIET
    )


def test_runs_say_what_they_are(command: Command, random_model: Path, tmp_path: Path) -> None:
    """The run of each command without a recipe, and what `gpt2lab train --resume` says of it."""
    articles = [Article(title=f"Rain {i}", article="It rained on the old harbour.") for i in range(4)]
    ArticleTraining(
        articles, random_model, ArticleOptions(out=str(tmp_path / "articles"), steps=1, batch_size=2, threads=1),
        progress=QUIET,
    ).fit()  # fmt: skip
    (tmp_path / "text.txt").write_text("It rained on the old harbour. " * 30, encoding="utf-8")
    options = FineTuneOptions(run_name="tuned", checkpoint_dir=str(tmp_path), steps=1, threads=1, window=16)
    FineTune(tmp_path / "text.txt", random_model, options, progress=QUIET).fit()
    discriminator(random_model, tmp_path / "d", tmp_path / "d.run")
    wanted = {
        "articles": f"gpt2lab article train FILE... --out {tmp_path / 'articles'}, with its own files",
        "tuned": f"gpt2lab finetune DATA... --checkpoint-dir {tmp_path} --run-name tuned, with its own text",
        "d.run": f"gpt2lab detect train PAIRS... --kind discriminator --out {tmp_path / 'd'}, with its own pairs",
    }
    for name, how in wanted.items():
        done = command("train", "--resume", tmp_path / name)
        assert done.code == 2 and f"Go on with: {how}." in done.err, done.err
        # those that were begun before runs said what they are
        recipe = {**read_state(find_state(tmp_path / name)).recipe, "task": {}}
        before = command("train", "--resume", saved(tmp_path / "before" / name, recipe))
        assert before.code == 2 and how.split(" --")[0] in before.err, before.err

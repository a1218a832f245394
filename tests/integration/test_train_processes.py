"""Runs of two processes on one machine: the same losses as one, states that either number writes and reads."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from gpt2lab import LanguageModel
from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.train.log import read_metrics

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    r = random.Random(0)
    words = ["the", "old", "sailor", "waited", "for", "a", "grey", "cat", "in", "the", "harbour", "all", "night"]
    lines = [" ".join(r.choices(words, k=9)) + ".\n" for _ in range(800)]
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    prepare([folder / "text.txt"], folder / "corpus", CorpusRecipe(vocab_size=300, validation_share=0.1))
    return folder / "corpus"


def recipe(corpus: Path, folder: Path, *, width: int = 12, **train: Any) -> Path:
    """Write a recipe whose run goes to `folder`/run."""
    folder.mkdir(exist_ok=True)
    values = {"steps": 6, "batch_size": 4, "accumulate": 2, "validate_every": 3, "validation_windows": 7, **train}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    (folder / "recipe.toml").write_text(
        f"""name = "small"
data = {json.dumps(str(corpus))}
out = {json.dumps(str(folder / "run"))}
[model]
n_positions = 8
n_embd = {width}
n_layer = 2
n_head = 2
[optimizer]
name = "muon"
lr = 0.01
[schedule]
warmup_steps = 2
[train]
{lines}
""",
        encoding="utf-8",
    )
    return folder / "recipe.toml"


def torchrun(processes: int, *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command line in several processes (in one: without torchrun)."""
    command = [*TORCHRUN, f"--nproc-per-node={processes}"] if processes > 1 else [sys.executable]
    done = subprocess.run(
        [*command, "-m", "gpt2lab", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def losses(folder: Path) -> list[float]:
    return [record[key] for record in read_metrics(folder / "run") for key in ("train_loss", "validation_loss")]


@pytest.mark.parametrize(
    ("parallel", "precision", "width"), [("ddp", "auto", 12), ("fsdp", "auto", 12), ("fsdp", "int8", 64)]
)
def test_two_processes_are_one(corpus: Path, tmp_path: Path, parallel: str, precision: str, width: int) -> None:
    for processes in (1, 2):
        path = recipe(corpus, tmp_path / str(processes), width=width, parallel=parallel, precision=precision)
        code, out, err = torchrun(processes, "train", path)
        assert code == 0, err
        assert out == f"{tmp_path / str(processes) / 'run' / 'model'}\n"
        assert err.count("from step 0") == 1, "more than one process spoke"
    assert len(losses(tmp_path / "1")) == 4
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-4)
    assert json.loads((tmp_path / "2" / "run" / "run.json").read_text())["starts"][0]["processes"] == 2


def test_texts_written_while_each_process_holds_a_part(corpus: Path, tmp_path: Path) -> None:
    """They are those of the model as it is saved then, and the run goes on as if there were none."""
    without = recipe(corpus, tmp_path / "without", parallel="fsdp")
    sampled = recipe(
        corpus, tmp_path / "with", parallel="fsdp", sample_every=2, sample_length=9, sample_num=2, keep_best=False
    )
    for path in (without, sampled):
        code, _, err = torchrun(2, "train", path)
        assert code == 0, err
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    run = tmp_path / "with" / "run"
    assert sorted(p.name for p in (run / "samples").iterdir()) == ["samples-2", "samples-4", "samples-6"]
    last = (run / "samples" / "samples-6").read_bytes().decode()
    assert last in err
    written = LanguageModel.load(run / "model").generate(
        max_new_tokens=9, num_return_sequences=2, seed=6, stop_ids=(), temperature=1.0, top_k=40
    )
    assert last == "".join(f"======== SAMPLE {i} ========\n{text.text}\n" for i, text in enumerate(written, 1))


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_what_one_number_of_processes_saved_another_takes_up(
    corpus: Path, tmp_path: Path, first: int, second: int
) -> None:
    whole, halves = recipe(corpus, tmp_path / "whole"), recipe(corpus, tmp_path / "halves", parallel="fsdp", steps=3)
    assert torchrun(1, "train", whole)[0] == 0
    code, _, err = torchrun(first, "train", halves, "--set", "schedule.name=constant")
    assert code == 0, err
    arguments = ("--set", "train.steps=6", "--set", "schedule.name=cosine")
    code, _, err = torchrun(second, "train", "--resume", tmp_path / "halves" / "run", *arguments)
    assert code == 0, err
    assert "from step 3" in err
    own, expected = (read_metrics(tmp_path / name / "run") for name in ("halves", "whole"))
    assert [r["step"] for r in own] == [3, 6]
    assert own[0]["train_loss"] == pytest.approx(expected[0]["train_loss"], rel=0.05)


def test_rows_that_cannot_be_shared_out(corpus: Path, tmp_path: Path) -> None:
    code, _, err = torchrun(2, "train", recipe(corpus, tmp_path / "odd", batch_size=3))
    assert code != 0
    assert "train.batch_size = 3 must be a multiple of the 2 processes." in err


@pytest.mark.parametrize("reason", ["failure", "machines"])
def test_a_run_that_torchrun_starts_again_goes_on_by_itself(corpus: Path, tmp_path: Path, reason: str) -> None:
    """After a failure of its own, and when machines came or went, of which torchrun keeps no count."""
    program = tmp_path / "dies.py"
    program.write_text(
        """import os, sys
from gpt2lab import train
from gpt2lab.train.loop import Every

first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
if sys.argv[2] == "machines":
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "0"

def die(model, step):
    if step == 4 and first:
        os._exit(3)
    return {}

train.run(sys.argv[1], callbacks=[Every(1, die)])
""",
        encoding="utf-8",
    )
    path = recipe(corpus, tmp_path / "run", checkpoint_every=2, validate_every=2)
    done = subprocess.run(
        [*TORCHRUN, "--nproc-per-node=2", "--max-restarts=1", str(program), str(path), reason],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "from step 2" in done.stderr.decode()
    assert [r["step"] for r in read_metrics(tmp_path / "run" / "run")] == [2, 4, 6]
    starts = json.loads((tmp_path / "run" / "run" / "run.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 2]

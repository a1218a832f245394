"""`gpt2lab transfer` as a whole: every shape is learnt by heart, recipes run, runs are taken up, files judged."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="measuring needs scikit-learn")

import torch

from gpt2lab.apps.transfer.examples import read_files
from gpt2lab.apps.transfer.model import TransferModel
from gpt2lab.apps.transfer.settings import ROLES, TARGET, TransferRecipe, transfer_recipe
from gpt2lab.apps.transfer.table import read_table
from gpt2lab.apps.transfer.training import REPORT, Transfer, base_of
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import read_json
from gpt2lab.train import load_recipe
from gpt2lab.train.log import Progress, read_metrics

if TYPE_CHECKING:
    from conftest import Command

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = [p for p in sorted(FOLDER.glob("*.toml")) if not p.stem.startswith("finetune-")]
RECIPES = [p for p in RECIPES if load_recipe(p).task.get("kind") == "transfer"]
GLUE = {"cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "rte": "RTE", "stsb": "STS-B"}
WHO = ("the old sailor", "a grey cat", "my sister", "the small model")
DID = ("walked slowly to", "dreamt all night of", "had never seen", "waited for")
WHAT = ("the harbour.", "seven green apples!")
TEXTS = [f"{who} {did} {what}" for who in WHO for did in DID for what in WHAT]
QUIET = Progress(io.StringIO())


def rows(shape: str) -> list[dict[str, Any]]:
    """32 examples, each different, of which a part must be learnt by heart."""
    other = TEXTS[7:] + TEXTS[:7]
    if shape == "classification":
        return [{"text": t, "label": ["no", "yes", "maybe"][i % 3]} for i, t in enumerate(TEXTS)]
    if shape == "entailment":
        return [
            {"premise": a, "hypothesis": b, "label": i % 2} for i, (a, b) in enumerate(zip(TEXTS, other, strict=True))
        ]
    if shape in ("similarity", "value"):
        return [{"first": a, "second": b, "label": i % 5} for i, (a, b) in enumerate(zip(TEXTS, other, strict=True))]
    if shape == "choice":
        return [
            {"context": t, "choices": [f"It was {x}" for x in WHAT], "label": i // 3 % 2} for i, t in enumerate(TEXTS)
        ]
    if shape == "tags":  # a causal model knows of a word what stands before it: the number decides
        words = [[str(i), *t.split()] for i, t in enumerate(TEXTS)]
        return [{"words": w, "tags": ["ABC"[(i + j) % 3] for j in range(len(w))]} for i, w in enumerate(words)]
    asked = [("Who?", t, " ".join(t.split()[:3])) for t in TEXTS[::2]]
    asked += [("What?", t, " ".join(t.split()[-2:])) for t in TEXTS[1::2]]
    return [dict(zip(("question", "context", "answer"), one, strict=True)) for one in asked]


def write(path: Path, examples: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in examples), encoding="utf-8")
    return path


def table(tmp_path: Path, model: Path, shape: str, **task: Any) -> dict[str, Any]:
    data = write(tmp_path / f"{shape}.jsonl", rows(shape))
    if shape == "value":
        task = {"target": "value", **task}
    return {
        "name": shape,
        "data": str(data),
        "out": str(tmp_path / "run"),
        "task": {
            "kind": "transfer", "shape": "similarity" if shape == "value" else shape, "model": str(model),
            "weights": "random", "dropout": 0.0, "language": 0.0, "validation": [str(data)], **task,
        },
        "optimizer": {"lr": 4e-3, "weight_decay": 0.0, "betas": [0.9, 0.99]},
        "schedule": {"name": "linear", "warmup_steps": 5},
        "train": {"steps": 120, "batch_size": 16, "validate_every": 1000, "keep_best": False, "tensorboard": False,
                  "threads": 1, "precision": "fp32"},
    }  # fmt: skip


@pytest.mark.parametrize("shape", ["classification", "entailment", "similarity", "value", "choice", "tags", "span"])
def test_every_shape_is_learnt_by_heart(shape: str, random_model: Path, tmp_path: Path) -> None:
    values = table(tmp_path, random_model, shape)
    values["train"]["steps"] = 260 if shape in ("similarity", "value") else 180
    run = Transfer(values, progress=QUIET)
    made = run.fit()
    found = read_json(run.folder / REPORT)["validation"]
    measures = {k: v for k, v in found.items() if k not in ("examples", "cut")}
    assert found["examples"] == 32
    if shape == "value":
        assert measures["pearson"] > 0.99
    else:
        assert set(measures.values()) == {1.0}
    model = TransferModel.load(made, threads=1)
    items = model.items(read_table(values["data"]), targets=True)
    ours = model.said(items)
    for batch in (1, 7, 32):  # what is said does not depend on what is asked beside it
        for a, b in zip(ours, run.said_now(run.trainer.model, run.held_out, rows=batch), strict=True):
            assert a.prediction == (pytest.approx(b.prediction, abs=1e-4) if shape == "value" else b.prediction)
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)
    alone = [model.said([item])[0] for item in items[:5]]
    assert alone == ours[:5]  # bit for bit


@pytest.mark.parametrize("task", [{"language": 0.5, "dropout": 0.1}, {"lora_rank": 2}, {"freeze_layers": 1}], ids=str)
def test_a_run_that_was_stopped_is_one_that_was_not(task: dict[str, Any], random_model: Path, tmp_path: Path) -> None:
    values = table(tmp_path, random_model, "similarity", weights="pretrained", **task)
    values["train"]["steps"] = 8
    values["optimizer"]["layer_decay"] = 0.8
    whole = Transfer({**values, "out": str(tmp_path / "whole")}, progress=QUIET)
    whole.fit()
    half = Transfer({**values, "out": str(tmp_path / "halves")}, progress=QUIET)
    for _ in range(3):
        half.trainer.train_step()
    half.trainer.save()
    torch.rand(7)  # the random state of the process must not matter
    second = Transfer(resume=tmp_path / "halves", progress=QUIET)
    assert second.trainer.step == 3
    second.fit()
    assert read_json(second.folder / REPORT) == read_json(whole.folder / REPORT)
    for a, b in zip(whole.trainer.model.state_dict().values(), second.trainer.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    write(Path(values["data"]), rows("similarity")[::-1])
    with pytest.raises(ConfigError, match="had another set of examples than that of"):
        Transfer(resume=tmp_path / "halves", progress=QUIET)


@pytest.mark.parametrize("task", [{"lora_rank": 2}, {"freeze_layers": 1}], ids=str)
def test_what_may_not_learn_stays(task: dict[str, Any], random_model: Path, tmp_path: Path) -> None:
    values = table(tmp_path, random_model, "classification", weights="pretrained", **task)
    values["train"]["steps"] = 3
    run = Transfer(values, progress=QUIET)
    made = TransferModel.load(run.fit(), threads=1)
    before, _ = base_of(run.settings, None, seed=0)
    after, _ = base_of(TransferRecipe(shape="classification", model=str(run.folder)), None, seed=0)
    assert made.recipe.window == 64
    old, new = (c.tensors["transformer.wte.weight"] for c in (before, after))
    assert np.array_equal(old[:-3], new[:-3])
    assert not np.array_equal(old[-3:], new[-3:])  # start, delimiter and extract learn all the same
    moved = {name for name in before.tensors if not np.array_equal(before.tensors[name], after.tensors[name])}
    assert any(".h.1." in name for name in moved)
    assert any(".h.0." in name for name in moved) == ("lora_rank" in task)


def test_the_auxiliary_loss_is_of_next_tokens_and_of_training_alone(random_model: Path, tmp_path: Path) -> None:
    runs = [
        Transfer(table(tmp_path, random_model, "choice", language=w) | {"out": str(tmp_path / str(w))}, progress=QUIET)
        for w in (0.0, 0.5, 1.0)
    ]
    first, half, whole = (run.trainer.train_step() for run in runs)
    assert whole - first == pytest.approx(2 * (half - first), rel=1e-4)
    assert whole - first == pytest.approx(
        np.log(runs[0].task.config.vocab_size), abs=0.1
    )  # nats a token of a model that knows nothing
    validated = [run.trainer.learner.evaluate(run.task.validation()) for run in runs]
    assert validated[2][0] < 0.3 * whole * validated[2][1]  # half a choice in nats, no token


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_runs(path: Path, random_model: Path, tmp_path: Path, command: Command) -> None:
    recipe = load_recipe(path)
    task = transfer_recipe(recipe.task)
    for name in (recipe.data, *task.validation, *task.test):
        _write_for(task, tmp_path / name)
    done = command(
        "transfer", "train", path, "--folder", tmp_path, "--model", random_model, "--out", tmp_path / "run",
        "--set", "train.steps=1", "--set", "train.batch_size=2", "--set", "train.threads=1", "--set", "task.window=64",
        "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads(done.out)
    judged = report.get("test") or report["validation"]
    assert judged["examples"] == (8 if "test" in report else 8 * len(task.validation))
    assert {"accuracy", "pearson"} & set(judged)


def _write_for(task: TransferRecipe, path: Path) -> None:
    """Write 8 rows with the columns that a recipe names."""
    kind = task.format or path.suffix[1:]
    values = {"label": [str(i % 2 + task.count_from) for i in range(8)]}
    named: list[tuple[str, list[str]]] = []
    for role in (*ROLES[task.shape], TARGET[task.shape]):
        column = task.column(role)
        columns = column if isinstance(column, list) else [column]
        if "{" in columns[0]:
            columns = [part.split("}")[0] for part in columns[0].split("{")[1:]]
        named += [(c, values.get(role, TEXTS[:8])) for c in columns]
    if kind == "jsonl":
        write(path, [{c: v[i] for c, v in named} for i in range(8)])
        return
    header = [c for c, _ in named]
    if not task.header:
        header = [str(i) for i in range(1, max(int(c) for c in header) + 1)]
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, delimiter="," if kind == "csv" else "\t")
        if task.header:
            writer.writerow(header)
        writer.writerows([dict(named).get(c, [""] * 8)[i] for c in header] for i in range(8))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_reads_its_own_data(path: Path, shared_data: Path, tmp_path: Path) -> None:
    import tarfile

    recipe = load_recipe(path)
    task = transfer_recipe(recipe.task)
    folder = shared_data / "eval" / "storycloze"
    if path.stem in GLUE:
        name = "rte" if path.stem == "rte" else "glue"
        if not (shared_data / "transfer" / f"{name}.tar.xz").is_file():
            pytest.skip("GLUE is not here")
        wanted = [f"{GLUE[path.stem]}/{n}" for n in (recipe.data, *task.validation, *task.test)]
        with tarfile.open(shared_data / "transfer" / f"{name}.tar.xz") as archive:
            for member in wanted:
                archive.extract(member, tmp_path, filter="data")
        folder = tmp_path / GLUE[path.stem]
    files = read_files(transfer_recipe({**recipe.task, "folder": str(folder)}), recipe.data)
    assert f"of {len(files.training):,} " in path.read_text("utf-8")
    counts = {
        "cola": (527 + 516, 0), "sst2": (872, 0), "mrpc": (0, 1725), "rte": (277, 0), "stsb": (1500, 0),
        "storycloze": (187, 1871),
    }  # fmt: skip
    assert (len(files.validation), len(files.test)) == counts[path.stem]


def test_a_table_is_enough(random_model: Path, tmp_path: Path, command: Command) -> None:
    lines = ["review\tstars", *(f"{t}\t{'good' if i % 2 else 'bad'}" for i, t in enumerate(TEXTS))]
    (tmp_path / "reviews.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = command(
        "transfer", "train", "--shape", "classification", "--data", tmp_path / "reviews.tsv", "--column", "text=review",
        "--column", "label=stars", "--model", random_model, "--out", tmp_path / "run", "--epochs", "2", "--validation",
        tmp_path / "reviews.tsv", "--set", "train.threads=1", "--set", "train.validate_every=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == f"{tmp_path / 'run' / 'model'}\n"
    report = read_json(tmp_path / "run" / REPORT)
    assert (report["steps"], report["labels"]) == (4, ["bad", "good"])
    lines_said = (tmp_path / "run" / "predictions-validation.jsonl").read_text("utf-8").splitlines()
    assert len(lines_said) == 32
    assert [record["step"] for record in read_metrics(tmp_path / "run") if "matthews" in record] == [2, 4]

    said = command("transfer", "predict", tmp_path / "reviews.tsv", "--model", tmp_path / "run", "--threads", "1")
    assert said.out.splitlines() == lines_said
    assert "accuracy" in said.err
    told = command("transfer", "predict", tmp_path / "reviews.tsv", "--model", tmp_path / "run", "--json")
    assert json.loads(told.out)["accuracy"] == report["validation"]["accuracy"]
    piped = command(
        "transfer", "predict", "-", "--model", tmp_path / "run" / "model", "--column", "text=t",
        stdin=json.dumps({"t": TEXTS[0]}).encode(),
    )  # fmt: skip
    assert json.loads(piped.out)["probabilities"] == json.loads(lines_said[0])["probabilities"]
    assert (piped.code, piped.err) == (0, "")
    for name, given in (("generate", "x"), ("score", tmp_path / "reviews.tsv"), ("explore", "x")):
        refused = command(name, given, "--model", tmp_path / "run")
        assert (refused.code, len(refused.err.strip().splitlines())) == (2, 1)
        assert f"gpt2lab transfer predict FILE --model {tmp_path / 'run' / 'model'}" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give a recipe, or --data with --shape, or a run to go on with: --resume RUN."),
        (("--shape", "tag", "--data", "x.tsv"), "task.shape = 'tag' is not one of"),
        (("--shape", "tags", "--data", "no.tsv"), "no.tsv does not exist"),
        (("--shape", "tags", "--data", "x.tsv", "--column", "words"), "--column 'words' is no assignment"),
        (("--resume", "r", "--epochs", "2"), "--resume goes on with a run as it was begun"),
        ((FOLDER / "rte.toml", "--set", "model.n_layer=2"), "The table [model] says nothing of a transfer"),
        ((FOLDER / "rte.toml", "--epochs", "0"), "--epochs = 0.0 must be positive"),
        ((FOLDER / "rte.toml", "--epochs", "nan"), "--epochs = nan must be positive"),
        ((FOLDER / "rte.toml", "--epochs", "inf"), "--epochs = inf must be positive"),
        ((FOLDER / "rte.toml", "--folder", "none"), "--folder (task.folder) says where a recipe's files lie"),
        (("--shape", "tags", "--data", FOLDER), "is a folder; a file is needed"),
        ((FOLDER / "music-jsb.toml",), 'its task.kind must be "transfer"'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(arguments: tuple[Any, ...], message: str, command: Command) -> None:
    done = command("transfer", "train", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_labels_that_were_not_learnt_are_named_with_file_and_line(random_model: Path, tmp_path: Path) -> None:
    values = table(tmp_path, random_model, "classification")
    other = write(tmp_path / "other.jsonl", [{"text": "a", "label": "yes"}, {"text": "b", "label": "perhaps"}])
    values["task"]["validation"] = [str(other)]
    with pytest.raises(DataError, match=r"other\.jsonl, line 2: the label 'perhaps' was not seen in training"):
        Transfer(values, progress=QUIET)
    values["task"] |= {"validation": [], "positive": "good"}
    with pytest.raises(DataError, match=r"task\.positive = 'good' is none of the labels 'maybe', 'no', 'yes'"):
        Transfer(values, progress=QUIET)
    values["task"] |= {"positive": None, "freeze_layers": 3}
    with pytest.raises(ConfigError, match=r"task\.freeze_layers = 3, but the model has 2 layers"):
        Transfer(values, progress=QUIET)
    values["task"] |= {"freeze_layers": 0, "window": 65}
    with pytest.raises(ConfigError, match=r"task\.window = 65 is longer than the model's 64 positions"):
        Transfer(values, progress=QUIET)


def test_half_a_pair_of_surrogates_is_a_text_like_others(random_model: Path, tmp_path: Path) -> None:
    rows = [{"text": f"\ud800 {i}", "label": "ab"[i % 2]} for i in range(6)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = table(tmp_path, random_model, "classification")
    values["data"] = str(tmp_path / "x.jsonl")
    values["task"] |= {"validation_share": 0.4, "validation": []}
    assert len(Transfer(values, progress=QUIET).held_out.items) == 2


def test_predictions_need_a_head_of_their_shape(random_model: Path, tmp_path: Path, command: Command) -> None:
    data = write(tmp_path / "x.jsonl", [{"text": "a"}])
    for model in ("tiny", tmp_path, data, "none"):
        done = command("transfer", "predict", data, "--model", model)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"gpt2lab: {model} is no model with a head; give a run of gpt2lab transfer train")
    done = command("transfer", "predict", data, "--model", random_model)
    assert (done.code, done.out) == (2, "")
    assert "holds no model with a head" in done.err
    run = Transfer({**table(tmp_path, random_model, "classification")}, overrides=["train.steps=1"], progress=QUIET)
    run.fit()
    for arguments, message in (
        (("--shape", "tags"), "task.shape = 'tags' does not go with"),
        (("--json",), "x.jsonl has rows without a label, so there is nothing to report"),
        (("--column", "text=body"), "there is no column 'body'"),
        (("--format", "csv"), "x.jsonl has a first line with the names of its columns, but no rows"),
    ):
        done = command("transfer", "predict", data, "--model", run.folder, *arguments)
        assert (done.code, done.out) == (2, ""), done
        assert message in done.err

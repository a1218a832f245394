"""Whole small runs: learning, exact resume, stopping, failing, exporting."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import numpy as np
import torch

from gpt2lab.checkpoint import load_hf
from gpt2lab.data import Corpus, CorpusRecipe, prepare
from gpt2lab.errors import CheckpointError, ConfigError, DataError, Gpt2labError
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train import load_recipe, run, state
from gpt2lab.train import trainer as new_trainer
from gpt2lab.train.export import export, trained_tensors
from gpt2lab.train.log import Progress, read_metrics
from gpt2lab.train.loop import Every, Trainer
from gpt2lab.train.records import Records
from gpt2lab.train.state import find_state, read_state

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(p for p in FOLDER.glob("*.toml") if not p.stem.startswith("finetune-") and not load_recipe(p).task)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in which who does what is fixed, so that there is something to learn."""
    folder = tmp_path_factory.mktemp("corpus")
    r = random.Random(0)
    deeds = {"The dog": "barks", "The cat": "sleeps by the fire", "The bird": "sings in the tree every day"}
    lines = [f"{who} {deeds[who]}.\n" for who in r.choices(list(deeds), k=2000)]
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    prepare([folder / "text.txt"], folder / "corpus", CorpusRecipe(vocab_size=300, validation_share=0.1))
    return folder / "corpus"


def table(corpus: Path, out: Path, **train: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "data": str(corpus),
        "out": str(out),
        "model": {"n_positions": 8, "n_embd": 12, "n_layer": 2, "n_head": 2, "dropout": 0.1},
        "optimizer": {"name": "muon", "lr": 0.01},
        "schedule": {"name": "wsd", "warmup_steps": 5},
        "train": {"steps": 20, "batch_size": 4, "validate_every": 10, "validation_windows": 8, "threads": 1, **train},
    }


def trainer(values: Mapping[str, Any], **arguments: Any) -> Trainer:
    return new_trainer(values, progress=Progress(io.StringIO()), **arguments)


def saved_step(run_folder: Path) -> int:
    return read_state(find_state(run_folder)).step


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_small_model_learns_a_small_language(corpus: Path, tmp_path: Path) -> None:
    done = run(table(corpus, tmp_path, steps=150, batch_size=16))
    first, last = read_metrics(tmp_path)[0], read_metrics(tmp_path)[-1]
    assert last["step"] == done.step == 150
    assert last["validation_loss"] < 1.0 < first["validation_loss"]
    assert last["lr"] < first["lr"]
    assert done.bits_per_byte == last["bits_per_byte"]


def test_bits_per_byte_are_the_nats_over_the_text_they_stand_for(corpus: Path, tmp_path: Path) -> None:
    small = trainer(table(corpus, tmp_path))
    nats, bits = small.validate().values()
    targets = np.concatenate([batch[1] for batch in small.task.validation()])
    tokenizer = Tokenizer.from_folder(corpus / "tokenizer")
    end = Corpus(corpus).manifest.end_of_text_id
    size = sum(len(tokenizer.token_bytes(i)) for i in targets.flatten().tolist() if i != end)
    assert bits == pytest.approx(nats * targets.size / size * 1.4426950408889634)
    assert small.validate() == {"validation_loss": nats, "bits_per_byte": bits}


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_100_and_100_steps_are_200_steps_bit_for_bit(corpus: Path, tmp_path: Path, optimizer: str) -> None:
    values = table(corpus, tmp_path / "whole", steps=200, accumulate=2)
    values["optimizer"]["name"] = optimizer
    whole = trainer(values)
    whole.fit()
    half = trainer({**values, "out": str(tmp_path / "halves")})
    for _ in range(100):
        half.train_step()
    half.save()
    torch.rand(7)  # the random state of the process must not matter
    second = trainer({**values, "out": str(tmp_path / "halves")}, resume=tmp_path / "halves")
    assert second.step == 100
    second.fit()
    assert second.step == whole.step == 200
    assert second.bits_per_byte == whole.bits_per_byte
    assert same_weights(second.model, whole.model)


def test_dropout_in_the_kernels_goes_on_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    values = table(corpus, tmp_path / "whole", steps=8, accumulate=2, precision="bf16")
    values["model"] |= {"n_embd": 64, "dropout": 0.2}  # heads of width 32, which the kernels take where there are tiles
    whole = run(values)
    half = trainer({**values, "out": str(tmp_path / "halves")})
    for _ in range(4):
        half.train_step()
    half.save()
    assert same_weights(run(resume=tmp_path / "halves").model, whole.model)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_and_says_how_to_go_on(corpus: Path, tmp_path: Path, number: signal.Signals) -> None:
    def stop(model: torch.nn.Module, step: int) -> dict[str, float]:
        if step == 10:
            os.kill(os.getpid(), number)
        return {}

    before = signal.getsignal(number)
    told = io.StringIO()
    stopped = new_trainer(table(corpus, tmp_path / "a"), callbacks=[stop], progress=Progress(told))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    assert f"Stopped at step 10; saved to {tmp_path / 'a' / 'checkpoints' / 'step-00000010'}" in told.getvalue()
    assert f"Go on with: gpt2lab train --resume {tmp_path / 'a'}" in told.getvalue()
    assert signal.getsignal(number) is before
    resumed = run(resume=tmp_path / "a")
    uninterrupted = run(table(corpus, tmp_path / "b"))
    assert same_weights(resumed.model, uninterrupted.model)
    assert [r["step"] for r in read_metrics(tmp_path / "a")] == [10, 20]


@pytest.mark.parametrize("moment", ["tensors", "state", "flush"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    told = io.StringIO()
    small = new_trainer(table(corpus, tmp_path, steps=4, checkpoint_every=1), progress=Progress(told))
    small.train_step()
    small.save()
    weights = {name: tensor.clone() for name, tensor in trained_tensors(find_state(tmp_path)).items()}

    def fail(*arguments: Any) -> None:
        if moment == "tensors":
            arguments[0].write(b"half of it")
        raise OSError(28, "No space left on device")

    name = {"tensors": "write_safetensors", "state": "write_json", "flush": "_flush"}[moment]
    monkeypatch.setattr(state, name, fail)
    with pytest.raises(Gpt2labError, match=r"could not be saved in .*No space left.*saved there before is whole"):
        small.fit()
    assert small.step == 4
    assert told.getvalue().count("The run goes on and tries again later.") == 3
    assert saved_step(tmp_path) == 1
    assert all(torch.equal(t, weights[n]) for n, t in trained_tensors(find_state(tmp_path)).items())
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    monkeypatch.undo()
    assert run(resume=tmp_path).step == 4


def test_metrics_that_cannot_be_written_do_not_end_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Records, "add", fail)
    told = io.StringIO()
    new_trainer(table(corpus, tmp_path, steps=10), progress=Progress(told)).fit()
    trouble = f"could not be written in {tmp_path} (No space left on device); the run goes on.\n"
    assert f"The metrics of step 10 {trouble}" in told.getvalue()
    assert saved_step(tmp_path) == 10


def spoil(model: torch.nn.Module) -> None:
    next(model.parameters()).data.fill_(float("nan"))


def test_a_loss_that_is_no_number_stops_the_run_and_loses_nothing(corpus: Path, tmp_path: Path) -> None:
    small = trainer(table(corpus, tmp_path, on_divergence="stop"))
    small.train_step()
    small.save()
    spoil(small.model)
    with pytest.raises(
        Gpt2labError, match=r"The loss became nan at step 1 and training stopped.*Lower the learning rate"
    ):
        small.fit()
    assert all(torch.isfinite(t).all() for t in trained_tensors(find_state(tmp_path)).values())


def test_spoilt_weights_never_take_the_place_of_good_ones(corpus: Path, tmp_path: Path) -> None:
    """The last update of a run may spoil them, and no loss would show it."""
    small = trainer(
        table(corpus, tmp_path, steps=3, checkpoint_every=2), callbacks=[Every(3, lambda m, _: spoil(m) or {})]
    )
    sentence = r"no numbers any more at step 3; what was saved in .* before stays\. Lower the learning rate"
    with pytest.raises(Gpt2labError, match=sentence):
        small.fit()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    assert run(resume=tmp_path).step == 3
    fresh = trainer(table(corpus, tmp_path / "fresh", steps=1), callbacks=[Every(1, lambda m, _: spoil(m) or {})])
    with pytest.raises(Gpt2labError, match="at step 1; nothing had been saved yet"):
        fresh.fit()


def test_a_validation_that_is_no_number_is_not_the_best(corpus: Path, tmp_path: Path) -> None:
    values = table(corpus, tmp_path, steps=4, validate_every=2, checkpoint_every=1)
    small = trainer(values)
    small.validate = lambda: {"validation_loss": float("nan") if small.step == 2 else 5.0}  # type: ignore[method-assign]
    small.fit()
    assert [p.name for p in (tmp_path / "best").iterdir()] == ["step-00000004"]


def test_a_run_that_diverges_goes_back_and_on_at_half_the_rate(corpus: Path, tmp_path: Path) -> None:
    spoilt: list[int] = []

    def spoil_once(model: torch.nn.Module, step: int) -> dict[str, float]:
        if step == 12 and len(spoilt) < 2:
            spoilt.append(step)
            spoil(model)
        return {}

    told = io.StringIO()
    values = table(corpus, tmp_path, checkpoint_every=5)
    small = new_trainer(values, callbacks=[Every(1, spoil_once)], progress=Progress(told))
    small.fit()
    assert small.step == 20
    assert "The loss became nan at step 12; back to step 10 with 0.5 of the learning rate." in told.getvalue()
    assert "back to step 10 with 0.25 of the learning rate." in told.getvalue()
    assert read_state(find_state(tmp_path)).rollbacks == 2
    assert [r["step"] for r in read_metrics(tmp_path)] == [10, 20]
    assert all(torch.isfinite(p).all() for p in small.model.parameters())


def test_a_run_that_always_diverges_ends(corpus: Path, tmp_path: Path) -> None:
    def spoil_always(model: torch.nn.Module, step: int) -> dict[str, float]:
        if step == 3:
            spoil(model)
        return {}

    small = trainer(table(corpus, tmp_path, checkpoint_every=2), callbacks=[Every(1, spoil_always)])
    with pytest.raises(Gpt2labError, match="The loss became nan at step 3 and training stopped"):
        small.fit()
    assert saved_step(tmp_path) == 2


def test_the_time_budget_ends_the_run_and_its_schedule(corpus: Path, tmp_path: Path) -> None:
    values = table(corpus, tmp_path, max_minutes=1e-9)
    timed = trainer(values)
    timed.fit()
    assert timed.step == 1
    assert timed.share == 1.0
    assert saved_step(tmp_path) == 1


def test_a_run_of_many_small_portions_is_one_of_a_large_one(corpus: Path, tmp_path: Path) -> None:
    values = table(corpus, tmp_path)
    values["model"]["dropout"] = 0.0
    large, small = (
        trainer({**values, "train": {**values["train"], "batch_size": 8 // n, "accumulate": n, "precision": "fp32"}})
        for n in (1, 4)
    )
    for _ in range(3):
        assert large.train_step() == pytest.approx(small.train_step(), rel=1e-5)
    pairs = zip(large.model.parameters(), small.model.parameters(), strict=True)
    for own, other in pairs:
        torch.testing.assert_close(own, other, rtol=1e-3, atol=2e-5)


def test_callbacks_add_to_the_metrics(corpus: Path, tmp_path: Path) -> None:
    run(table(corpus, tmp_path, steps=10), callbacks=[lambda model, step: {"double": 2.0 * step}])
    assert read_metrics(tmp_path)[-1]["double"] == 20.0


def test_resuming_with_something_else_is_refused(corpus: Path, tmp_path: Path) -> None:
    values = table(corpus, tmp_path / "run", steps=1)
    run(values)
    with pytest.raises(ConfigError, match=r"has another model \(n_layer = 2, not 1\); resume with its own shape"):
        run(resume=tmp_path / "run", overrides=["model.n_layer=1"])
    with pytest.raises(ConfigError, match="used another optimizer than this recipe"):
        run(resume=tmp_path / "run", overrides=["optimizer.name=adamw"])
    (tmp_path / "other.txt").write_text("quite another text, with other words in it\n" * 200, encoding="utf-8")
    prepare([tmp_path / "other.txt"], tmp_path / "other", CorpusRecipe(vocab_size=300))
    with pytest.raises(ConfigError, match="had another vocabulary than that of"):
        run(resume=tmp_path / "run", overrides=[f"data={tmp_path / 'other'}"])
    with pytest.raises(CheckpointError, match="was trained with another vocabulary"):
        export(tmp_path / "run", tmp_path / "model", data=tmp_path / "other")


def test_resuming_what_is_not_there_or_damaged(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no training run: it has no checkpoints/step-"):
        run(resume=tmp_path)
    run(table(corpus, tmp_path / "run", steps=1))
    folder = find_state(tmp_path / "run")
    tensors, text = folder / "tensors.safetensors", (folder / "state.json").read_text(encoding="utf-8")
    (folder / "state.json").write_text(text[:100], encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"state\.json is damaged and cannot be resumed: .* is not valid JSON"):
        run(resume=tmp_path / "run")
    (folder / "state.json").write_text(text.replace('"format": 2', '"format": 3'), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has format 3; this version of gpt2lab reads 2"):
        run(resume=tmp_path / "run")
    (folder / "state.json").write_text(text, encoding="utf-8")
    tensors.write_bytes(tensors.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is damaged and cannot be resumed"):
        run(resume=tmp_path / "run", overrides=["train.steps=2"])
    tensors.write_bytes(b"PK\x03\x04 not really, but long enough to have a header")
    with pytest.raises(CheckpointError, match="is damaged and cannot be resumed"):
        run(resume=tmp_path / "run", overrides=["train.steps=2"])


def test_a_new_run_does_not_write_over_an_old_one(corpus: Path, tmp_path: Path) -> None:
    run(table(corpus, tmp_path, steps=1))
    with pytest.raises(ConfigError, match="holds a run already: resume it, remove it, or set out to another folder"):
        run(table(corpus, tmp_path, steps=1))


def test_a_device_that_is_not_there(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.device = 'abacus' cannot be used here: .*\. 'cpu' always can\."):
        trainer(table(corpus, tmp_path, device="abacus"))


def test_nothing_to_train() -> None:
    with pytest.raises(ConfigError, match="give a recipe, or the folder of a run to resume"):
        run()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_trains_a_step(recipe: Path, corpus: Path, tmp_path: Path) -> None:
    small = [
        "train.steps=1", "train.batch_size=1", "train.accumulate=1", "train.validation_windows=1", "train.device=cpu",
        "train.compile=false", "train.precision=fp32", "model.n_layer=1", "model.n_positions=16",
    ]  # fmt: skip
    done = run(recipe, overrides=[f"data={corpus}", f"out={tmp_path}", *small])
    assert done.step == 1
    assert saved_step(tmp_path) == 1


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a prepared corpus"):
        run(table(tmp_path / "nowhere", tmp_path))


def test_the_exported_folder_is_the_trained_model(corpus: Path, tmp_path: Path) -> None:
    done = run(table(corpus, tmp_path / "run", steps=10))
    export(tmp_path / "run", tmp_path / "model", generation={"temperature": 0.8})
    checkpoint = load_hf(tmp_path / "model")
    assert checkpoint.config == done.task.config
    for name, tensor in done.model.state_dict().items():
        assert torch.equal(torch.from_numpy(checkpoint.tensors[name].copy()), tensor), name
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "model").eval()
    ids = torch.tensor([[5, 6, 7, 1]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, done.model.eval()(ids), rtol=0, atol=1e-5)


def test_importing_needs_no_torch_and_running_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from gpt2lab import train\n"
        "from gpt2lab.errors import MissingExtraError\n"
        "try: train.run('any.toml')\n"
        "except MissingExtraError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.startswith("Training needs")
    assert "pip install 'gpt2lab[train]'" in out

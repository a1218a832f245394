"""Fine-tuning from data to a model that generates: continuing, beginning anew, adapters, frozen parts, samples."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import numpy as np
import torch

from gpt2lab import LanguageModel
from gpt2lab.checkpoint import load
from gpt2lab.engine.native import NativeBackend
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.files import read_json
from gpt2lab.lm.finetune import finetune, prepare_finetune
from gpt2lab.train.finetune import FineTune, saved_model
from gpt2lab.train.log import Progress
from gpt2lab.train.options import FineTuneOptions
from gpt2lab.train.state import find_state, read_state

TEXT = "the night train waited for my sister.\nseven green apples!\n" * 60


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a text in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run(model: Path, **options: Any) -> FineTune:
    """Return a short fine-tuning that is not begun yet."""
    values = {"steps": 6, "window": 16, "learning_rate": 0.01, "accumulate_gradients": 2, "threads": 1, **options}
    return FineTune("text.txt", model, FineTuneOptions(**values), progress=Progress(io.StringIO()))


def weights(folder: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.array(tensor) for name, tensor in saved_model(folder).tensors.items()}


def test_a_text_is_learnt_and_the_model_generates(random_model: Path, place: Path) -> None:
    before = LanguageModel.load(random_model).score(TEXT).perplexity
    lm = finetune(
        "text.txt", random_model, steps=30, learning_rate=0.01, window=32, sample_every=10, sample_length=5,
        sample_num=2, told=lambda text: None, threads=1, progress=Progress(io.StringIO()),
    )  # fmt: skip
    assert lm.score(TEXT).perplexity < before / 5
    assert sorted(p.name for p in (place / "samples" / "run1").iterdir()) == ["samples-10", "samples-20", "samples-30"]
    sample = (place / "samples" / "run1" / "samples-30").read_text(encoding="utf-8")
    assert sample.startswith("======== SAMPLE 1 ========\n") and "======== SAMPLE 2 ========\n" in sample
    assert LanguageModel.load("checkpoint/run1").generate("the", max_new_tokens=3)[0].token_ids


def test_a_second_call_goes_on_bit_for_bit(random_model: Path, place: Path) -> None:
    run(random_model, steps=8, run_name="whole").fit()
    run(random_model, steps=3, run_name="parts").fit()
    later = run(random_model, steps=5, run_name="parts")
    later.fit()
    assert later.trainer.step == 8
    one, other = weights("checkpoint/whole"), weights("checkpoint/parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_without_a_model_the_run_knows_its_own(random_model: Path, place: Path) -> None:
    run(random_model, steps=2).fit()
    later = FineTune("text.txt", None, FineTuneOptions(steps=1, window=16, learning_rate=0.01, accumulate_gradients=2))
    assert later.base.config.n_embd == 24
    assert later.trainer.step == 2


def test_a_run_killed_before_its_model_was_written_goes_on(random_model: Path, place: Path) -> None:
    first = run(random_model, steps=4)
    first.trainer.fit()
    assert not (first.folder / "model").exists()
    assert run(random_model, steps=1).trainer.step == 4


def test_another_text_goes_on_from_the_weights_alone(random_model: Path, place: Path) -> None:
    run(random_model, steps=4).fit()
    then = weights("checkpoint/run1")
    (place / "text.txt").write_text(TEXT[::-1], encoding="utf-8")
    second = run(random_model, steps=2)
    assert second.trainer.step == 0
    begun = second.tensors()
    assert all(np.array_equal(then[name], begun[name]) for name in then)
    assert (place / "checkpoint" / "run1.before-1" / "checkpoints").is_dir()
    second.fit()


def test_fresh_begins_at_the_base_and_loses_nothing(random_model: Path, place: Path) -> None:
    run(random_model, steps=3).fit()
    again = run(random_model, steps=3, restore_from="fresh")
    assert again.trainer.step == 0
    base = load(random_model).tensors
    assert all(np.array_equal(tensor, base[name]) for name, tensor in again.tensors().items())
    assert read_state(find_state("checkpoint/run1.before-1")).step == 3
    again.fit()
    run(random_model, steps=3, restore_from="fresh", overwrite=True).fit()
    assert not (place / "checkpoint" / "run1.before-2").exists()


def test_a_path_is_begun_at(random_model: Path, place: Path) -> None:
    run(random_model, steps=3).fit()
    other = run(random_model, run_name="other", restore_from="checkpoint/run1")
    then = weights("checkpoint/run1")
    assert all(np.array_equal(then[name], tensor) for name, tensor in other.tensors().items())


def test_models_of_other_sizes_are_not_mixed(random_model: Path, place: Path) -> None:
    run(random_model, steps=1).fit()
    with pytest.raises(ConfigError, match=r"holds a run of another model \(2 layers of 24, .*restore_from = 'fresh'"):
        FineTune("text.txt", "tiny", FineTuneOptions())
    assert read_state(find_state("checkpoint/run1")).step == 1


def test_adapters_learn_while_weights_stay_and_merge(random_model: Path, place: Path) -> None:
    tuned = run(random_model, lora_rank=3, steps=20)
    before = {n: p.detach().clone() for n, p in tuned.trainer.model.named_parameters() if not p.requires_grad}
    tuned.trainer.fit()
    state = tuned.trainer.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    plain = tuned.tensors()
    assert set(plain) == set(load(random_model).tensors)
    ids = np.arange(3, 20, dtype=np.int64)
    with torch.no_grad():
        adapted = tuned.trainer.model(torch.from_numpy(ids)[None])[0].numpy()
    backend = NativeBackend(tuned.task.config, plain, threads=1)
    merged = backend.forward([backend.new_cache()], [ids.astype(np.int32)], all_positions=True)
    np.testing.assert_allclose(merged, adapted, atol=1e-5 * max(1.0, float(np.abs(adapted).max())))
    moved = load(random_model).tensors
    assert (
        np.abs(plain["transformer.h.0.attn.c_attn.weight"] - moved["transformer.h.0.attn.c_attn.weight"]).max() > 1e-3
    )


def test_adapted_runs_are_taken_up_exactly(random_model: Path, place: Path) -> None:
    run(random_model, lora_rank=2, steps=6, run_name="whole").fit()
    run(random_model, lora_rank=2, steps=2, run_name="parts").fit()
    run(random_model, lora_rank=2, steps=4, run_name="parts").fit()
    one, other = weights("checkpoint/whole"), weights("checkpoint/parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("options", "still"),
    [
        ({"only_train_transformer_layers": True}, ("wte", "wpe", "ln_f")),
        ({"freeze_layers": 1}, ("wte", "wpe", "h.0.")),
    ],
)
def test_frozen_parts_stay(random_model: Path, place: Path, options: dict[str, Any], still: tuple[str, ...]) -> None:
    run(random_model, steps=3, **options).fit()
    base, now = load(random_model).tensors, weights("checkpoint/run1")
    for name in base:
        frozen = name.removeprefix("transformer.").startswith(still)
        assert np.array_equal(base[name], now[name]) == frozen, name


def test_a_text_shorter_than_a_window_is_read_over_and_over(random_model: Path, place: Path) -> None:
    (place / "text.txt").write_text("a grey cat", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"The text to train on has only \d+ tokens"):
        tuned = run(random_model, steps=3)
    tuned.fit()


def test_validation_and_patience(random_model: Path, place: Path) -> None:
    (place / "held.txt").write_text("naïve plans had never seen the harbour. " * 30, encoding="utf-8")
    tuned = run(
        random_model, val_dataset="held.txt", val_every=2, patience=2, steps=400, learning_rate=0.05,
        val_batch_count=2,
    )  # fmt: skip
    tuned.fit()
    assert tuned.trainer.step < 400
    assert tuned.trainer.metrics["bits_per_byte"] > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"learning_rte": 1.0}, "learning_rte.*learning_rate"),
        ({"steps": 0}, "steps = 0 must be at least 1"),
        ({"patience": 3}, "patience needs something to judge by"),
        ({"val_share": 0.7}, "val_share = 0.7 must be between 0 and 0.5"),
        ({"val_share": 0.1, "val_dataset": "x"}, "not both"),
        ({"lora_rank": 2, "freeze_layers": 1}, "lora_rank freezes all weights"),
        ({"freeze_layers": 3}, "freeze_layers = 3, but the model has 2 layers"),
        ({"window": 65}, "window = 65 is longer than the model's 64 positions"),
        ({"run_name": "a/b"}, "run_name = 'a/b' must be the plain name"),
        ({"dropout": 1.0}, r"dropout = 1.0 must be in \[0, 1\)"),
        ({"lora_rank": 1, "lora_matrices": ("attn.c_atn",)}, "attn.c_atn"),
    ],
)
def test_mistakes_are_said_in_one_sentence(
    random_model: Path, place: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        finetune("text.txt", random_model, sample_every=0, progress=Progress(io.StringIO()), **options)
    assert not (place / "checkpoint" / "run1" / "checkpoints").exists()


def test_data_that_cannot_be_used_loses_nothing(random_model: Path, place: Path) -> None:
    run(random_model, save_every=6).fit()
    before = sorted(str(p) for p in (place / "checkpoint" / "run1").rglob("*"))
    (place / "empty.txt").touch()
    (place / "noise.txt").write_bytes(bytes(range(256)) * 20)
    (place / "table.csv").write_text("name,body\na,b\n", encoding="utf-8")
    for data, options, sentence in [
        ("empty.txt", {}, "There is no text to train on"),
        ("noise.txt", {}, r"noise\.txt is not text"),
        ("table.csv", {"column": "bdy"}, r"table\.csv has no column 'bdy'.*'name', 'body'"),
        ("text.txt", {"val_dataset": "empty.txt"}, "The text to validate on cannot be used: There is no text"),
    ]:
        with pytest.raises(DataError, match=sentence):
            FineTune(data, random_model, FineTuneOptions(**options), progress=Progress(io.StringIO()))
    assert sorted(str(p) for p in (place / "checkpoint" / "run1").rglob("*")) == before


def test_a_missing_data_set_is_named(random_model: Path, place: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        prepare_finetune(
            "nowhere.txt", random_model, models_dir=None, sample_every=0, sample_length=1, sample_num=1,
            sample_dir="samples", told=print, progress=None,
        )  # fmt: skip


def test_a_recipe_gives_what_the_command_does_not(random_model: Path, place: Path, command: Any) -> None:
    (place / "r.toml").write_text("steps = 3\nlearning_rate = 0.25\nwindow = 16\n", encoding="utf-8")
    arguments = ("finetune", "text.txt", "--model", random_model, "--sample-every", "0", "--recipe", "r.toml")
    assert command(*arguments, "--steps", "2").code == 0
    recipe = read_json(place / "checkpoint" / "run1" / "run.json")["recipe"]
    assert recipe["optimizer"]["lr"] == 0.25
    assert read_state(find_state(place / "checkpoint" / "run1")).step == 2
    (place / "r.toml").write_text("stepps = 3\n", encoding="utf-8")
    done = command(*arguments)
    assert done.code == 2
    assert "Unknown key 'stepps'. Did you mean 'steps'?" in done.err

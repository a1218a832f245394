from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2lab.checkpoint
from gpt2lab.checkpoint import resolve
from gpt2lab.checkpoint.conversion import convert
from gpt2lab.checkpoint.hf import save_hf
from gpt2lab.checkpoint.models import known_models
from gpt2lab.checkpoint.resolve import EMBEDDED, load
from gpt2lab.checkpoint.tensors import Checkpoint
from gpt2lab.errors import CheckpointError, DataError
from gpt2lab.model.config import PRESETS


@pytest.fixture(autouse=True)
def nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    return save_hf(tmp_path / "place" / "hf", model.config, model.tensors)


# --- what is found


def test_a_folder_a_gguf_file_and_a_folder_with_one(model: Any, folder: Path, tmp_path: Path) -> None:
    assert load(folder).config == load(str(folder)).config == model.config
    gguf = convert(folder, tmp_path / "g" / "m.bin", "gguf", dtype="f32")
    for path in (gguf, str(gguf)):
        assert np.array_equal(load(path).tensors["transformer.wpe.weight"], model.tensors["transformer.wpe.weight"])
    gguf.rename(gguf.with_suffix(".gguf"))
    assert load(tmp_path / "g").source.startswith("GGUF file")


def test_a_run_folder(model: Any, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_hf(run / "last", model.config, model.tensors)
    assert load(run).path == run / "last"
    save_hf(run / "best", model.config, model.tensors)
    assert load(str(run)).path == run / "best"


def test_an_openai_folder(tf_folder: Path) -> None:
    assert load(tf_folder).config.n_embd == 12


def test_the_models_folder_comes_first_under_any_name(
    model: Any, folder: Path, tmp_path: Path, tf_folder: Path
) -> None:
    models = tmp_path / "models"
    save_hf(models / "124M", model.config, model.tensors)
    save_hf(models / "tiny", model.config, model.tensors)
    save_hf(models / "mine", model.config, model.tensors)
    for name in ("gpt2", "124M", "small", "117m", "tiny", "mine"):
        assert load(name, models_dir=models, offline=True).path.parent == models
    with pytest.raises(CheckpointError, match=r"'medium' is not on this machine, and fetching it was not allowed"):
        load("medium", models_dir=models, offline=True)
    assert resolve.in_models_dir("../models/mine", models) is None


def test_a_folder_named_like_a_size_counts_only_when_it_holds_a_model(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    with pytest.raises(CheckpointError, match="'gpt2' is not on this machine"):
        load("gpt2", offline=True)
    save_hf(tmp_path / "gpt2", model.config, model.tensors, overwrite=True)
    assert load("gpt2", offline=True).config == model.config


def test_the_embedded_model(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: folder.parts[-3:] for name, folder in EMBEDDED.items()} == {
        name: ("gpt2lab", "pretrained", name) for name in ("tiny", "chorales")
    }
    monkeypatch.setitem(resolve.EMBEDDED, "tiny", save_hf(tmp_path / "tiny", model.config, model.tensors))
    assert load("tiny").config == model.config


# --- what is wrong is said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "tinny",
            r"Unknown model 'tinny'. Did you mean 'tiny'\? A model is tiny, chorales, gpt2, .* or a hub id USER/NAME",
        ),
        ("gpt2-smal", r"Unknown model 'gpt2-smal'. Did you mean 'gpt2-small'\?"),
        ("gpt5000x", r"Unknown model 'gpt5000x'\. A model is"),
        ("", "The name of the model is empty"),
        (Path("gpt2-x"), r"gpt2-x does not exist. A model is"),
        ("./nowhere", "./nowhere does not exist"),
        ("/no/such/model", "/no/such/model does not exist"),
        ("model.gguf", "model.gguf does not exist"),
        ("some/model.gguf", "some/model.gguf does not exist"),
        ("a/b/c", "a/b/c does not exist"),
        ("some/one", "'some/one' is not on this machine, and fetching it was not allowed"),
    ],
)
def test_a_name_that_means_nothing(
    name: str | Path, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load(name, offline=True)


def test_files_and_folders_that_are_no_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"place holds no model: neither config.json with model.safetensors nor"):
        load(tmp_path / "place")
    with pytest.raises(CheckpointError, match=r"config.json is one file of a model; give its folder, .*hf"):
        load(folder / "config.json")
    other = tmp_path / "text.txt"
    other.write_text("words")
    with pytest.raises(CheckpointError, match=r"text.txt is not a GGUF file; a model is a folder or a .gguf file"):
        load(other)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has a config.json but no weights"):
        load(folder)


# --- the list


def test_the_list_of_models(model: Any, tmp_path: Path, tf_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.name: row for row in known_models()}
    assert set(PRESETS) <= set(rows)
    large = rows["gpt2-large"]
    assert (large.parameters, large.n_layer, large.n_embd, large.n_head) == (774_030_080, 36, 1280, 20)
    assert large.aliases == ("762M", "774M", "large", "openai-community/gpt2-large")
    assert (large.where, large.folder, large.bytes) == ("not here", None, 0)
    assert [rows[n].parameters for n in ("gpt2", "gpt2-medium", "gpt2-xl")] == [124_439_808, 354_823_168, 1_557_611_200]
    models = tmp_path / "models"
    save_hf(models / "774M", model.config, model.tensors)
    save_hf(models / "mine", model.config, model.tensors)
    (models / "simple").symlink_to(tf_folder)
    (models / "broken").mkdir()
    (models / "note.txt").write_text("not a model")
    save_hf(tmp_path / "cache" / "models" / "1558M", model.config, model.tensors)
    rows = {row.name: row for row in known_models(models)}
    assert (rows["gpt2-large"].where, rows["gpt2-large"].folder) == ("models folder", models / "774M")
    assert rows["gpt2-large"].bytes == sum(p.stat().st_size for p in (models / "774M").iterdir())
    assert rows["gpt2-xl"].where == "downloaded"
    assert (rows["mine"].n_embd, rows["simple"].n_embd, rows["mine"].where) == (12, 12, "models folder")
    assert {"broken", "note.txt", "774M"}.isdisjoint(rows)


def test_the_embedded_models_are_listed_first(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_hf(tmp_path / "tiny", model.config, model.tensors)
    monkeypatch.setitem(resolve.EMBEDDED, "tiny", folder)
    first = known_models()[0]
    assert (first.name, first.where, first.folder) == ("tiny", "embedded", folder)
    assert first.parameters == sum(t.size for t in model.tensors.values())
    assert (known_models()[1].name, known_models()[1].where) == ("chorales", "embedded")


# --- conversion


def test_every_format_to_every_format(tf_folder: Path, tmp_path: Path) -> None:
    first = load(tf_folder)
    gguf = convert(tf_folder, tmp_path / "m.gguf", "gguf", dtype="float32")
    back = load(convert(gguf, tmp_path / "hf", dtype="f32"))
    assert back.config == first.config
    assert all(np.array_equal(back.tensors[n], first.tensors[n]) for n in first.tensors)
    assert first.tokenizer is not None
    assert back.tokenizer is not None
    assert dict(back.tokenizer.vocab) == dict(first.tokenizer.vocab)
    convert(tmp_path / "hf", tmp_path / "half", dtype="bf16")
    assert json.loads((tmp_path / "half" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_conversions_that_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"to = 'ggfu' is not one of hf, gguf. Did you mean 'gguf'\?"):
        convert(folder, tmp_path / "x", "ggfu")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="exists already; choose another name"):
        convert(folder, folder)
    with pytest.raises(CheckpointError, match="is a folder; a GGUF model is one file"):
        convert(folder, folder, "gguf", overwrite=True)
    with pytest.raises(CheckpointError, match=r"dtype = 'q8_0' is not one of float32"):
        convert(folder, tmp_path / "x", dtype="q8_0")
    with pytest.raises(DataError, match="exists already"):
        save_hf(folder, load(folder).config, load(folder).tensors)
    convert(folder, folder, dtype="f16", overwrite=True)
    assert load(folder).config.n_embd == 12


# --- the package


def test_the_public_names_are_there_and_importing_is_cheap() -> None:
    assert all(getattr(gpt2lab.checkpoint, name) for name in gpt2lab.checkpoint.__all__)
    assert dir(gpt2lab.checkpoint) == sorted(gpt2lab.checkpoint.__all__)
    assert gpt2lab.checkpoint.load is load
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = gpt2lab.checkpoint.lode
    program = "import sys, gpt2lab.checkpoint; print('numpy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
    program = (
        "import sys; from gpt2lab.checkpoint import load, convert, download, known_models, save_gguf, Checkpoint;"
        "print([m for m in ('torch', 'huggingface_hub', 'gguf', 'tokenizers', 'safetensors') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_checkpoint_made_by_hand(model: Any) -> None:
    checkpoint = Checkpoint(model.config, model.tensors)
    assert (checkpoint.tokenizer, checkpoint.generation, checkpoint.source) == (None, {}, "")


def test_lazy_tensors_are_a_mapping(folder: Path) -> None:
    tensors = load(folder).tensors
    assert repr(tensors) == f"LazyTensors({len(tensors)} tensors)"
    assert "transformer.wte.weight" in tensors
    assert "wte" not in tensors
    with pytest.raises(KeyError):
        _ = tensors["wte"]

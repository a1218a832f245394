"""Scripts that were written for gpt-2-simple, on this engine."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

import numpy as np

import gpt2lab.compat.gpt_2_simple as gpt2
from gpt2lab.checkpoint import load, save_hf
from gpt2lab.data import read_npz
from gpt2lab.errors import ConfigError, DataError, Gpt2labError, RequestError


@pytest.fixture
def place(tmp_path: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which a model called 124M is downloaded already."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(random_model, tmp_path / "models" / "124M")
    (tmp_path / "shakespeare.txt").write_text("the old sailor waited for the night train?\n" * 50, encoding="utf-8")
    return tmp_path


def test_the_script_of_its_read_me_runs_unchanged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_name = "124M"
    if not gpt2.is_gpt2_downloaded(model_name=model_name):
        gpt2.download_gpt2(model_name=model_name)
    file_name = "shakespeare.txt"
    sess = gpt2.start_tf_sess(threads=1)
    gpt2.finetune(sess, file_name, model_name=model_name, steps=4, sample_every=2, sample_length=10, window=32)
    gpt2.generate(sess, length=12)
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if re.fullmatch(r"\[\d+ \| \d+\.\d\d\] loss=\d+\.\d\d avg=\d+\.\d\d", line)]
    assert [line.split()[0] for line in steps] == ["[1", "[2", "[3", "[4"]
    assert "======== SAMPLE 1 ========" in lines
    assert (place / "samples" / "run1" / "samples-2").is_file()

    sess = gpt2.reset_session(sess)
    gpt2.load_gpt2(sess)
    single = gpt2.generate(sess, return_as_list=True, length=8, seed=3)
    assert single is not None and len(single) == 1
    assert gpt2.generate(sess, return_as_list=True, length=8, seed=3) == single
    many = gpt2.generate(
        sess, length=10, temperature=0.7, prefix="the old", nsamples=4, batch_size=2, return_as_list=True
    )
    assert many is not None and len(many) == 4 and all(text.startswith("the old") for text in many)
    gpt2.generate_to_file(sess, destination_path="texts.txt", length=5, nsamples=2, batch_size=1)
    assert (place / "texts.txt").read_text(encoding="utf-8").count("=" * 20 + "\n") == 2


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("prefix", [None, "<s>", "a"])
@pytest.mark.parametrize("truncate", [None, "<e>", "a"])
@pytest.mark.parametrize("text", ["\n\n<s>a b<e>c<e>", "<s>xx<e><s>", "nothing", "a\nb<e>"])
def test_texts_are_cut_as_there(text: str, prefix: str | None, truncate: str | None, include: bool) -> None:
    """Checked against what gpt-2-simple 0.8 does, said with string searches."""
    shown = text
    if truncate:
        start = 0
        if prefix and not include:
            at = text.find(prefix)
            start = -1 if at < 0 else at + len(prefix)
        end = text.find(truncate, start) if start >= 0 else -1
        if end >= 0:
            shown = text[start:end]
    assert gpt2.cut(text, prefix, truncate, include_prefix=include) == shown.lstrip("\n")


def test_a_table_of_short_texts(place: Path) -> None:
    (place / "tweets.csv").write_text('text,likes\n"a, grey cat",3\nmy sister,4\n' * 8, encoding="utf-8")
    gpt2.encode_csv("tweets.csv", header=True)
    assert (
        (place / "csv_encoded.txt")
        .read_text(encoding="utf-8")
        .startswith("<|startoftext|>a, grey cat<|endoftext|>\n<|startoftext|>my sister<|endoftext|>\n")
    )
    sess = gpt2.start_tf_sess(threads=1)
    gpt2.finetune(sess, "tweets.csv", steps=2, sample_every=0, window=32, run_name="tweets", print_every=2)
    assert sess.model is not None and sess.model.tokenizer is not None
    ids = np.fromfile("checkpoint/tweets/corpus/train-00000.bin", dtype="<u2")
    text = sess.model.tokenizer.decode(ids.tolist())
    assert text.startswith("<|startoftext|>a, grey cat<|endoftext|><|startoftext|>my sister<|endoftext|>")


def test_encoded_data_sets(place: Path) -> None:
    gpt2.encode_dataset("shakespeare.txt")
    tokenizer = load("124M", models_dir="models").tokenizer
    assert tokenizer is not None
    (ids,) = read_npz("text_encoded.npz")
    assert tokenizer.decode(ids, skip_special=True) == (place / "shakespeare.txt").read_text(encoding="utf-8")
    sess = gpt2.start_tf_sess(threads=1)
    gpt2.finetune(sess, "text_encoded.npz", steps=1, sample_every=0, window=32)
    assert sess.model is not None


def test_two_models_in_one_process(place: Path) -> None:
    one, other = gpt2.start_tf_sess(threads=1), gpt2.start_tf_sess(threads=1)
    gpt2.load_gpt2(one, model_name="124M")
    gpt2.finetune(other, "shakespeare.txt", steps=3, sample_every=0, window=32, learning_rate=0.05)
    before = gpt2.generate(one, return_as_list=True, length=8, seed=1)
    after = gpt2.generate(other, return_as_list=True, length=8, seed=1)
    assert before != after
    assert before == gpt2.generate(one, return_as_list=True, length=8, seed=1)


def test_data_that_cannot_be_used(place: Path) -> None:
    sess = gpt2.start_tf_sess()
    (place / "empty.txt").touch()
    (place / "empty.csv").touch()
    (place / "noise.txt").write_bytes(bytes(range(256)) * 20)
    (place / "noise.csv").write_bytes(b"\xff\x00" * 99)
    (place / "folder.csv").mkdir()
    for data, sentence in [
        ("empty.txt", "There is no text to train on"),
        ("empty.csv", "There is no text to train on"),
        ("noise.txt", r"noise\.txt is not text"),
        ("noise.csv", r"noise\.csv is not UTF-8 text: invalid start byte at byte 0"),
        ("folder.csv", r"folder\.csv is a folder; a table is needed"),
    ]:
        with pytest.raises(DataError, match=sentence):
            gpt2.finetune(sess, data, steps=1)
    limit = csv.field_size_limit(5)
    try:
        with pytest.raises(DataError, match=r"long\.csv is not a table that can be read: field larger than"):
            (place / "long.csv").write_text("text\na long field\n", encoding="utf-8")
            gpt2.encode_csv("long.csv")
    finally:
        csv.field_size_limit(limit)
    for data, sentence in [("empty.txt", r"There is no text in empty\.txt"), ("noise.txt", "is not text")]:
        with pytest.raises(DataError, match=sentence):
            gpt2.encode_dataset(data)
    assert not {"csv_encoded.txt", "text_encoded.npz"} & {path.name for path in place.iterdir()}


def test_a_model_of_another_size_and_weights_that_are_no_numbers(place: Path, random_model: Path) -> None:
    sess = gpt2.start_tf_sess(1)
    gpt2.finetune(sess, "shakespeare.txt", steps=1, sample_every=0, save_every=1)
    saved = sorted(place.glob("checkpoint/run1/checkpoints/*"))
    config = dataclasses.replace(load(random_model).config, n_layer=1)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in config.tensor_shapes().items()}
    save_hf(place / "models" / "small", config, tensors, load(random_model).tokenizer)
    with pytest.raises(ConfigError, match=r"run1 holds a run of another model \(2 layers .* than small \(1 layers"):
        gpt2.finetune(sess, "shakespeare.txt", steps=1, model_name="small")
    with pytest.raises(Gpt2labError, match="no numbers any more at step 2; what was saved in checkpoint/run1 before"):
        gpt2.finetune(sess, "shakespeare.txt", steps=1, learning_rate=1e38, sample_every=0)
    assert sorted(place.glob("checkpoint/run1/checkpoints/*")) == saved
    assert gpt2.generate(sess, return_as_list=True, length=3, seed=1)


def test_mistakes(place: Path) -> None:
    sess = gpt2.start_tf_sess()
    with pytest.raises(RequestError, match="nsamples = 3 must be a multiple of batch_size = 2"):
        gpt2.generate(sess, nsamples=3, batch_size=2)
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        gpt2.finetune(sess, "nowhere.csv", steps=1)
    with pytest.raises(RequestError, match="Colab only"):
        gpt2.mount_gdrive()
    with pytest.raises(RequestError, match="No Google Drive is mounted"):
        gpt2.copy_checkpoint_to_gdrive()

"""The other commands: score, models, download, convert, tokenizer, prepare, train."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel, Tokenizer

TEXT = "The old sailor walked slowly to the harbour. My café!"


def message(outcome) -> str:
    """Return the sentence of a mistake, after checking that it is one."""
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("gpt2lab: ")
    assert outcome.err.count("\n") == 1
    return outcome.err.removeprefix("gpt2lab: ").removesuffix("\n")


# --- score


def test_score_as_json(command, random_model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    found = json.loads(command("score", tmp_path / "t.txt", "-m", random_model, "--json").out)
    expected = LanguageModel.load(random_model).score(TEXT)
    assert [t["token"] for t in found["tokens"]] == expected.tokens
    assert [(t["start"], t["end"]) for t in found["tokens"]] == expected.offsets
    np.testing.assert_array_equal([t["logprob"] for t in found["tokens"]], expected.logprobs)
    np.testing.assert_array_equal([t["rank"] for t in found["tokens"]], expected.ranks)
    np.testing.assert_array_equal([t["entropy"] for t in found["tokens"]], expected.entropies)
    n, total = len(expected.tokens), float(np.sum(expected.logprobs, dtype=np.float64))
    assert (found["token_count"], found["words"], found["bytes"]) == (n, 10, len(TEXT.encode()))
    assert found["log_likelihood"] == pytest.approx(total)
    assert found["perplexity"] == pytest.approx(math.exp(-total / n))
    assert found["word_perplexity"] == pytest.approx(math.exp(-total / 10))
    assert found["byte_perplexity"] == pytest.approx(math.exp(-total / len(TEXT.encode())))
    assert found["bits_per_byte"] == pytest.approx(-total / math.log(2) / len(TEXT.encode()))


def test_score_as_a_table(command, random_model: Path) -> None:
    code, out, err = command("score", "-", "-m", random_model, stdin=TEXT.encode())
    expected = LanguageModel.load(random_model).score(TEXT)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["id", "token", "logprob", "rank", "entropy"]
    assert lines[1].split()[-3:] == [
        f"{expected.logprobs[0]:.4f}",
        str(expected.ranks[0]),
        f"{expected.entropies[0]:.4f}",
    ]
    assert len(lines) == 1 + len(expected.tokens) + 1 + 8
    assert lines[-4].split() == ["perplexity", "per", "token", f"{expected.perplexity:.4f}"]
    assert command("score", "-", "-m", random_model, "--summary", stdin=TEXT.encode()).out.splitlines() == lines[-8:]


def test_score_without_a_first_token_before_the_text(command, random_model: Path) -> None:
    found = json.loads(command("score", "-", "-m", random_model, "--no-bos", "--json", stdin=b"the old").out)
    assert (found["tokens"][0]["logprob"], found["tokens"][0]["rank"], found["tokens"][0]["entropy"]) == (
        None,
        None,
        None,
    )
    table = command("score", "-", "-m", random_model, "--no-bos", stdin=b"the old").out.splitlines()
    assert table[1].split()[-3:] == ["-", "-", "-"]


def test_score_stride(command, random_model: Path) -> None:
    text = TEXT * 20
    expected = LanguageModel.load(random_model).score(text, stride=8)
    out = command("score", "-", "-m", random_model, "--stride", 8, "--summary", "--json", stdin=text.encode()).out
    assert json.loads(out)["log_likelihood"] == expected.log_likelihood


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["-"], b"", "Standard input is empty; there is no text to score."),
        (["-"], b"a\xff", "Standard input is not UTF-8 text: invalid start byte at byte 1."),
        (["/nowhere.txt"], None, "/nowhere.txt does not exist."),
        (["-", "--stride", "65"], b"a", "--stride = 65 must be a whole number from 1 to the model's window of 64."),
    ],
)
def test_score_mistakes(arguments, stdin, sentence: str, command, random_model: Path) -> None:
    assert message(command("score", *arguments, "-m", random_model, stdin=stdin)) == sentence


# --- models and download


def test_models_as_a_table_and_as_json(command, random_model: Path) -> None:
    code, out, err = command("models", "--models-dir", random_model.parent)
    listed = json.loads(command("models", "--models-dir", random_model.parent, "--json").out)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(listed) + 1
    by_name = {m["name"]: m for m in listed}
    assert {"gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "random"} <= set(by_name)
    assert by_name["gpt2"]["parameters"] == 124_439_808
    assert {"117M", "124M", "small"} <= set(by_name["gpt2"]["aliases"])
    assert by_name["random"]["where"] == "models folder"
    assert by_name["random"]["bytes"] == sum(f.stat().st_size for f in random_model.iterdir())
    assert "124,439,808" in out


def test_models_of_a_folder_that_is_not_there(command, random_model: Path, tmp_path: Path) -> None:
    what = "--models-dir is the folder in which models lie, each in its own."
    absent, file = tmp_path / "nothere", random_model / "config.json"
    for options in ((), ("--json",)):
        done = command("models", "--models-dir", absent, *options)
        assert done.out == "" and message(done) == f"{absent} does not exist; {what}"
    assert message(command("models", "--models-dir", file)) == f"{file} is a file; {what}"


def test_the_packed_weights_are_listed_and_cleared(
    command, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path))
    monkeypatch.setattr("gpt2lab.engine.loading.SMALLEST", 0)
    folder = tmp_path / "packed"
    assert command("models", "--cache") == (0, f"0 B of at most 8.0 GB in {folder}\n", "")
    arguments = ("generate", "a", "-m", random_model, "-l", "3", "--seed", "1")
    written = command(*arguments)
    assert written == command(*arguments)
    headings, row, summary = command("models", "--cache").out.splitlines()
    assert headings.split("  ")[0] == "packed from"
    assert row.startswith(f"{random_model}  fp32 ")
    kept = json.loads(command("models", "--cache", "--json").out)
    assert (kept["folder"], kept["limit"]) == (str(folder), 8_000_000_000)
    (entry,) = kept["entries"]
    assert entry.keys() == {"path", "source", "precision", "bytes", "used"}
    assert (entry["source"], entry["precision"]) == (str(random_model), "fp32")
    assert entry["bytes"] == kept["bytes"] == Path(entry["path"]).stat().st_size
    size = f"{kept['bytes'] / 1000:.1f} kB"
    assert summary == f"{size} of at most 8.0 GB in {folder}"
    assert command("models", "--clear-cache") == (0, f"{size} removed from {folder}\n", "")
    assert list(folder.iterdir()) == []
    monkeypatch.setenv("GPT2LAB_CACHE_LIMIT", "8 gigs")
    for mistaken in (("models", "--cache"), arguments):
        code, out, err = command(*mistaken)
        assert (code, out) == (2, "")
        assert err.startswith("gpt2lab: GPT2LAB_CACHE_LIMIT=8 gigs is not a size; write for example 8GB")


def test_a_cache_that_cannot_be_written_is_one_note(
    command, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("gpt2lab.engine.loading.SMALLEST", 0)
    code, out, err = command("generate", "a", "-m", random_model, "-l", "3", "--seed", "1")
    assert (code, err.count("\n")) == (0, 1)
    assert out
    assert err.startswith(
        f"note: The packed weights could not be kept in {tmp_path / 'file' / 'packed'} (Not a directory)"
    )


def test_download_finds_what_is_here(command, random_model: Path, tmp_path: Path) -> None:
    shutil.copytree(random_model, tmp_path / "gpt2")
    arguments = ("download", "124M", "--models-dir", tmp_path, "--offline")
    assert command(*arguments) == (0, f"{tmp_path / 'gpt2'}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gtp2"], "Unknown model 'gtp2'. Did you mean 'gpt2'?"),
        (["gpt2", "--source", "hubb"], "--source = 'hubb' is not one of hub, openai. Did you mean 'hub'?"),
        (["999M", "--source", "openai"], "OpenAI published no '999M'."),
        (["someone/no-such-model", "--offline"], "'someone/no-such-model' is not on this machine"),
        (["someone/some-model", "--endpoint", "http://127.0.0.1:9"], "'someone/some-model' could not be fetched"),
        (["124M", "--source", "openai", "--models-dir", "m", "--endpoint", "http://127.0.0.1:9"], ""),
    ],
)
def test_download_mistakes(arguments, sentence: str, command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert message(command("download", *arguments)).startswith(sentence)
    assert not list(tmp_path.rglob("*.bin"))


def test_download_of_the_model_that_comes_along(command) -> None:
    assert command("download", "tiny") == (0, "", "note: tiny comes with gpt2lab; there is nothing to fetch.\n")


# --- convert


def test_convert_there_and_back(command, random_model: Path, tmp_path: Path) -> None:
    gguf, folder = tmp_path / "m.gguf", tmp_path / "m"
    assert command("convert", random_model, gguf) == (0, f"{gguf}\n", "")
    assert command("convert", gguf, folder, "--to", "hf") == (0, f"{folder}\n", "")
    expected = command("generate", "the old", "-m", random_model, "-l", 9, "--seed", 1).out
    for model in (gguf, folder):
        assert command("generate", "the old", "-m", model, "-l", 9, "--seed", 1).out == expected


def test_convert_overwrites_only_when_told(command, random_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    target.write_text("precious")
    assert message(command("convert", random_model, target)).startswith(f"{target} exists already; choose another name")
    assert target.read_text() == "precious"
    assert command("convert", random_model, target, "--overwrite", "--dtype", "q8_0").code == 0
    assert target.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "onxx"], "--to = 'onxx' is not one of hf, gguf."),
        (["--to", "hf", "--dtype", "int3"], "--dtype = 'int3' is not one of "),
        (["--to", "gguf", "--dtype", "float2"], "--dtype = "),
    ],
)
def test_convert_mistakes(arguments, sentence: str, command, random_model: Path, tmp_path: Path) -> None:
    assert message(command("convert", random_model, tmp_path / "out", *arguments)).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


# --- tokenizer


@pytest.fixture
def folder(random_model: Path) -> Path:
    return random_model


def test_encode_and_decode(command, folder: Path) -> None:
    ids = Tokenizer.from_folder(folder).encode(TEXT)
    listed = " ".join(map(str, ids))
    assert command("tokenizer", "encode", TEXT, "--tokenizer", folder) == (0, f"{listed}\n", "")
    assert command("tokenizer", "encode", "-m", folder, stdin=TEXT.encode()).out == f"{listed}\n"
    assert command("tokenizer", "decode", *ids, "-m", folder) == (0, TEXT, "")
    for text in (listed, json.dumps(ids), "\n".join(map(str, ids)), json.dumps({"ids": ids})):
        assert command("tokenizer", "decode", "-", "-m", folder, stdin=text.encode()).out == TEXT


def test_encode_as_json_and_with_offsets(command, folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(folder)
    whole = tokenizer.encode_with_offsets(TEXT)
    plain = json.loads(command("tokenizer", "encode", TEXT, "-m", folder, "--json").out)
    assert plain == {"ids": whole.ids, "tokens": [tokenizer.token_text(i) for i in whole.ids]}
    spans = json.loads(command("tokenizer", "encode", TEXT, "-m", folder, "--json", "--offsets").out)
    assert [tuple(t["characters"]) for t in spans["tokens"]] == whole.char_spans
    assert [tuple(t["bytes"]) for t in spans["tokens"]] == whole.byte_spans
    table = command("tokenizer", "encode", "old", "-m", folder, "--offsets").out.splitlines()
    assert table[0].split() == ["id", "characters", "bytes", "token"]
    decoded = json.loads(command("tokenizer", "decode", *whole.ids, "-m", folder, "--json").out)
    assert (decoded["text"], decoded["ids"]) == (TEXT, whole.ids)


def test_special_tokens_are_text_unless_allowed(command, folder: Path) -> None:
    eos = Tokenizer.from_folder(folder).eos_id
    assert command("tokenizer", "encode", "<|endoftext|>", "-m", folder, "--allow-special").out == f"{eos}\n"
    assert len(command("tokenizer", "encode", "<|endoftext|>", "-m", folder).out.split()) > 1


def test_train_a_vocabulary(command, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT * 3)
    out = tmp_path / "v"
    arguments = ("tokenizer", "train", tmp_path / "t.txt", "--out", out, "--vocab-size", 270)
    assert command(*arguments, "--special-token", "<|sep|>", "--format", "hf", "--format", "openai") == (
        0,
        f"{out}\n",
        "",
    )
    learnt = Tokenizer.from_folder(out)
    assert (learnt.vocab_size, list(learnt.special_tokens)) == (270, ["<|endoftext|>", "<|sep|>"])
    assert (out / "vocab.bpe").is_file()
    assert (
        message(command(*arguments)) == f"{out} holds a vocabulary already; choose another folder or add --overwrite."
    )
    piped = command("tokenizer", "train", "-", "-o", out, "--vocab-size", 270, "--overwrite", stdin=(TEXT * 3).encode())
    assert piped.code == 0
    assert Tokenizer.from_folder(out).vocab_size == 270


def test_little_text_gives_few_tokens(command, tmp_path: Path) -> None:
    out = command("tokenizer", "train", "-", "-o", tmp_path / "v", "--vocab-size", 300, stdin=b"abc")
    assert (out.code, out.err) == (0, "note: The text gives no more than 257 tokens.\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["encode"], None, "There is no text to encode; give it as an argument or pipe it in."),
        (["decode"], None, "There are no ids to decode; give them as arguments or pipe them in."),
        (["decode", "x"], None, "'x' is no token id; ids are whole numbers such as 464."),
        (["decode", "-"], b'{"ids": [1.5]}', "1.5 is no token id; ids are whole numbers such as 464."),
        (["decode", "99999999"], None, "Token id 99999999 is not in the vocabulary; ids run from 0 to "),
        (["train", "/nowhere", "-o", "v"], None, "/nowhere does not exist."),
        (["train", "/", "-o", "v"], None, "/ is a folder; a file is needed."),
        (["train", "/dev/null", "-o", "v"], None, "/dev/null: there is no text to learn from."),
        (["train", "-", "-o", "v"], b"", "There is no text to learn from."),
        (["train", "-", "-o", "v", "--vocab-size", "3"], b"x", "--vocab-size is 3; it must be at least 257"),
    ],
)
def test_tokenizer_mistakes(
    arguments, stdin, sentence: str, command, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = () if arguments[0] == "train" else ("-m", folder)
    assert message(command("tokenizer", *arguments, *model, stdin=stdin)).startswith(sentence)


# --- prepare and train


@pytest.fixture
def corpus(command, tmp_path: Path) -> Path:
    (tmp_path / "t.txt").write_text("\n".join(f"{TEXT} {i}" for i in range(200)))
    folder = tmp_path / "corpus"
    made = command("prepare", tmp_path / "t.txt", "--out", folder, "--vocab-size", 300, "--validation-share", 0.2)
    assert (made.code, made.out) == (0, f"{folder}\n")
    return folder


RECIPE = """
name = "small"
data = "{data}"
out = "{out}"
[corpus]
vocab_size = 280
validation_share = 0.3
[model]
n_positions = 16
n_embd = 8
n_layer = 1
n_head = 2
[train]
steps = 4
batch_size = 2
validation_windows = 2
"""


def test_prepare_tells_its_manifest(command, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(RECIPE.format(data="d", out="o"))
    text = (TEXT * 40).encode()
    arguments = ("prepare", "-", "--out", tmp_path / "c", "--recipe", tmp_path / "r.toml", "--json")
    manifest = json.loads(command(*arguments, stdin=text).out)
    assert manifest["vocab_size"] <= 280
    assert manifest["validation"]["tokens"] > 0
    again = message(command(*arguments, stdin=text))
    assert again.startswith(f"{tmp_path / 'c'} exists already")
    assert command(*arguments, "--overwrite", stdin=text).code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/nowhere.txt"], "/nowhere.txt does not exist."),
        (["x.pdf"], "x.pdf does not exist."),
        (["-", "--cleaning", "bookz"], "--cleaning = 'bookz' is not one of 'none', 'web', 'books', "),
        (["-", "--validation-share", "2"], "--validation-share = 2.0 must be between 0 and 0.5."),
        (["-", "--recipe", "/nowhere.toml"], "/nowhere.toml does not exist."),
    ],
)
def test_prepare_mistakes(arguments, sentence: str, command, tmp_path: Path) -> None:
    assert message(command("prepare", *arguments, "--out", tmp_path / "c", stdin=b"x")).startswith(sentence)
    assert not (tmp_path / "c").exists()


def test_train_resume_and_generate(command, corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = tmp_path / "run"
    (tmp_path / "r.toml").write_text(RECIPE.format(data=corpus, out=run))
    first = command("train", tmp_path / "r.toml", "--set", "train.steps=2")
    assert (first.code, first.out) == (0, f"{run / 'model'}\n")
    resumed = command("train", "--resume", run, "--set", "train.steps=4")
    assert resumed.code == 0
    assert "from step 2" in resumed.err
    assert command("generate", "The old", "-m", run, "-l", 3, "--seed", 1).out.startswith("The old")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give a recipe, or a run to go on with: "),
        (["/nowhere.toml"], "/nowhere.toml does not exist."),
        (["{recipe}", "--set", "train.stepz=3"], "Unknown key 'train.stepz'. Did you mean 'train.steps'?"),
        (["{recipe}", "--set", "oops"], "'oops' is not an assignment; write key=value"),
        (["{recipe}"], ""),
        (["--resume", "/nowhere"], "/nowhere holds no training run"),
    ],
)
def test_train_mistakes(arguments, sentence: str, command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "no-corpus", out=tmp_path / "run"))
    assert message(command("train", *(a.format(recipe=recipe) for a in arguments))).startswith(sentence)
    assert not (tmp_path / "run").exists()

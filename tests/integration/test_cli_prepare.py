"""`gpt2lab prepare`: what its options reach, what it says on stderr, and how it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2lab.data
from gpt2lab.data import Corpus
from gpt2lab.data.prepare import partial_folder
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

TEXT = "The old sailor walked slowly to the harbour, and there he waited for the night train. "


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    train_tokenizer(iter([TEXT]), vocab_size=300).save(tmp_path / "vocabulary")
    return tmp_path / "vocabulary"


def whole(folder: Path) -> str:
    corpus = Corpus(folder)
    tokenizer = Tokenizer.from_folder(corpus.tokenizer_folder)
    return "".join(tokenizer.decode(s.read(0, len(s)).tolist()) for s in (corpus.train, corpus.validation))


def test_the_options_reach_the_recipe(command: Any, tmp_path: Path, vocabulary: Path) -> None:
    rows = "".join(f"{i},{'x' * 3} {TEXT * 4}\n" for i in range(30)) + f"30,{'x' * 3} {TEXT * 4}\n"
    (tmp_path / "a.csv").write_text("title,body\n" + rows.replace(", and", " and"), encoding="utf-8")
    (tmp_path / "eval.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "recipe.toml").write_text("[corpus]\nvalidation_share = 0.2\ncolumn = 'title'\n", encoding="utf-8")
    done = command(
        "prepare", tmp_path / "a.csv", "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.toml",
        "--column", "body", "--tokenizer", vocabulary, "--cleaning", "unicode", "--cleaning", "symbols", "--duplicates",
        "exact", "--decontaminate", tmp_path / "eval.txt", "--workers", "1", "--skip-bad",
    )  # fmt: skip
    assert (done.code, done.out) == (2, "")
    assert "There is no text held out" in done.err
    assert "left out: 30 exact copy" in done.err
    done = command(
        "prepare", tmp_path / "a.csv", "--out", tmp_path / "out", "--template", r"{title}\n{body}", "--tokenizer",
        vocabulary, "--cleaning", "unicode", "--cleaning", "symbols", "--duplicates", "exact", "--decontaminate",
        tmp_path / "eval.txt", "--validation-share", "0.2", "--kind", "csv", "--drop-contaminated", "50",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == f"{tmp_path / 'out'}\n"
    assert "note: of the 8-grams of eval.txt the training text holds 100.00% (9 of 9).\n" in done.err
    assert "29\nxxx The old sailor" in whole(tmp_path / "out")
    recipe = Corpus(tmp_path / "out").manifest.recipe
    assert recipe["cleaning"] == ["unicode", "symbols"]
    assert (recipe["kind"], recipe["drop_contaminated"]) == ("csv", 50)


def test_languages_bring_their_step(command: Any, tmp_path: Path, vocabulary: Path) -> None:
    pytest.importorskip("py3langid")
    german = "Der alte Seemann ging langsam zum Hafen und wartete dort auf den Nachtzug. "
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "en.txt").write_text(TEXT * 40, encoding="utf-8")
    (tmp_path / "texts" / "de.txt").write_text(german * 40, encoding="utf-8")
    (tmp_path / "texts" / "picture.jpg").write_bytes(b"")
    done = command(
        "prepare", tmp_path / "texts", "--out", tmp_path / "out", "--tokenizer", vocabulary, "--language", "en"
    )
    assert done.code == 0, done.err
    assert done.err == "note: documents left out: 1 other language.\nnote: files of other kinds passed over: 1.\n"
    assert "Seemann" not in whole(tmp_path / "out")


def test_a_pipe_may_hold_records_or_separators(command: Any, tmp_path: Path, vocabulary: Path) -> None:
    lines = "".join(json.dumps({"text": f"{i} {TEXT * 9}"}) + "\n" for i in range(9)).encode()
    done = command("prepare", "-", "--kind", "jsonl", "-o", tmp_path / "a", "--tokenizer", vocabulary, stdin=lines)
    assert done.code == 0, done.err
    assert Corpus(tmp_path / "a").manifest.train.documents + Corpus(tmp_path / "a").manifest.validation.documents == 9
    text = f"one {TEXT}\n\n\ntwo {TEXT}".encode()
    done = command(
        "prepare", "-", "-o", tmp_path / "b", "--tokenizer", vocabulary, "--separator", r"\n\n\n", stdin=text
    )
    assert done.code == 0, done.err
    assert whole(tmp_path / "b").count("<|endoftext|>") == 2


def test_the_ids_are_written_for_gpt_2_simple(command: Any, tmp_path: Path, vocabulary: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT * 40, encoding="utf-8")
    arguments = ("--tokenizer", vocabulary, "--validation-share", "0.1", "--npz", tmp_path / "a.npz", "--json")
    done = command("prepare", tmp_path / "a.txt", "--out", tmp_path / "out", *arguments)
    assert done.code == 0, done.err
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        text = Tokenizer.from_folder(vocabulary).decode(archive["arr_0"].tolist())
    assert (TEXT * 40).startswith(text)
    assert json.loads(done.out)["train"]["bytes"] == len(text.encode())


class TestInterruption:
    """Ctrl-C says how the work goes on; a pipe cannot go on, so nothing of it stays."""

    @pytest.fixture(autouse=True)
    def interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(inputs: Any, out: str, *arguments: Any, **options: Any) -> None:
            (partial_folder(out) / "parts").mkdir(parents=True)
            raise KeyboardInterrupt

        monkeypatch.setattr(gpt2lab.data, "prepare", stop)

    def test_files(self, command: Any, tmp_path: Path) -> None:
        done = command("prepare", tmp_path / "a.txt", "--out", tmp_path / "out")
        assert done.code == 130
        assert (
            done.err
            == f"note: what is done lies in {tmp_path / 'out.partial'}; the same command again goes on from there.\n"
        )
        assert (tmp_path / "out.partial").exists()

    def test_a_pipe(self, command: Any, tmp_path: Path) -> None:
        done = command("prepare", "-", "--out", tmp_path / "out", stdin=b"text")
        assert (done.code, done.err) == (130, "")
        assert not (tmp_path / "out.partial").exists()


def test_mistakes_are_one_sentence(command: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,body\nx,y\n", encoding="utf-8")
    for name in ("empty.txt", "a.npz", "a.doc"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "binary.txt").write_bytes(b"ab\x00\xff")
    for arguments, message in (
        (
            ["a.csv"],
            "has no column 'text'. Its columns are 'title', 'body'; choose one with --column, or several with --",
        ),
        (["a.csv", "--column", "bodi"], "has no column 'bodi'. Did you mean 'body'?"),
        (["a.csv", "--column", "body", "--template", "{title}"], "column and template exclude each other"),
        (["empty.txt"], "There is no text to train on: the input is empty"),
        (["binary.txt"], "binary.txt is not text: it holds bytes of zeros, as binary files do."),
        (["nowhere.txt"], "nowhere.txt does not exist."),
        (["a.csv", "--workers", "0"], "--workers = 0 must be a whole number from 1 to 1024."),
        (["a.csv", "--kind", "jsnl"], "--kind = 'jsnl' is not one of 'text', 'jsonl'"),
        (["a.npz"], "name the tokenizer that made them with --tokenizer."),
        (["a.doc"], "If it holds one of them under another name, say so with --kind."),
        (["a.csv", "--cleaning", "webb"], "--cleaning = 'webb' is not one of 'none', 'web', "),
    ):
        done = command("prepare", tmp_path / arguments[0], *arguments[1:], "--out", tmp_path / "out")
        assert done.code == 2
        assert message in done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "out.partial").exists()

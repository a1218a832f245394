"""gpt2lab features: vectors to files and pipes, neighbours, cosines, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel

LINES = ["the night train waited", "a grey cat slept", "the night train waited for me", "seven green apples!"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n\n", encoding="utf-8")
    return path


def test_vectors_to_a_file_and_to_a_pipe(random_model: Path, texts: Path, tmp_path: Path, command) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    expected = np.stack([lm.features(line, layer=1) for line in LINES])
    out = tmp_path / "v.npy"
    done = command("features", texts, "-m", random_model, "--layer", "1", "-o", out)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert np.array_equal(np.load(out), expected)
    piped = command("features", "-", "-m", random_model, "--layer", "1", stdin=texts.read_bytes())
    assert np.allclose([json.loads(line) for line in piped.out.splitlines()], expected, atol=1e-5)
    command("features", texts, "-m", random_model, "--whole", "--pooling", "none", "-o", out)
    assert np.array_equal(np.load(out), lm.features(texts.read_text(encoding="utf-8"), pooling="none"))
    jsonl = tmp_path / "texts.jsonl"
    jsonl.write_text("\n".join([json.dumps(LINES[0]), *(json.dumps({"text": t}) for t in LINES[1:])]), encoding="utf-8")
    command("features", jsonl, "-m", random_model, "--layer", "1", "-o", out)
    assert np.array_equal(np.load(out), expected)


def test_neighbours_and_cosines(random_model: Path, texts: Path, command) -> None:
    base = ("features", texts, "-m", random_model)
    found = [json.loads(line) for line in command(*base, "--nearest", "2", "--json").out.splitlines()]
    assert [e["text"] for e in found] == LINES
    assert all(len(e["nearest"]) == 2 and e["text"] not in [n["text"] for n in e["nearest"]] for e in found)
    (asked,) = command(*base, "--query", LINES[1], "--nearest", "1", "--json").out.splitlines()
    assert json.loads(asked)["nearest"] == [{"number": 2, "cosine": 1.0, "text": LINES[1]}]
    white = command(*base, "--query", LINES[3], "--whiten", "--dimensions", "2").out.splitlines()
    assert white[0] == LINES[3] and white[1] == f"   1.0000  {LINES[3]}" and len(white) == 5
    rows = json.loads(command(*base, "--similarity", "--json").out)
    assert np.allclose(np.diag(rows), 1) and np.allclose(rows, np.transpose(rows))
    assert [line.count("\t") for line in command(*base, "--similarity").out.splitlines()] == [3] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pooling", "none"), "--pooling none makes a vector of each token of one text: give --whole"),
        (("--pooling", "max"), "--pooling = 'max' is not one of 'mean', 'last', 'weighted', 'none'."),
        (("--dimensions", "2"), "--dimensions chooses among white directions: give --whiten too."),
        (("--similarity", "--nearest", "2"), "Give --similarity or --nearest, not both."),
        (("--layer", "9"), "--layer = 9 must be a whole number from -3 to 2."),
        (("-o", "nowhere/v.npy"), "nowhere does not exist."),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_mistakes(random_model: Path, texts: Path, command, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = command("features", texts, "-m", random_model, *arguments)
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1


def test_files_without_texts(random_model: Path, tmp_path: Path, command) -> None:
    empty, broken = tmp_path / "a.txt", tmp_path / "a.jsonl"
    empty.write_text("\n \n", encoding="utf-8")
    broken.write_text('"x"\n{"txt": 1}\n', encoding="utf-8")
    assert "is empty; there is no text to turn into a vector." in command("features", empty, "-m", random_model).err
    assert "a.jsonl, line 2 has no text: a string, or an object" in command("features", broken, "-m", random_model).err

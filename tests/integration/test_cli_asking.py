"""translate, summarize, answer and choose as commands: arguments, pipes, JSON, notes, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.lm.asking import answer, summarize, translate
from gpt2lab.lm.prompts import TRANSLATIONS


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


def test_translate(lm: LanguageModel, command) -> None:
    expected = translate(lm, "The cat sleeps.")
    assert command("translate", "The cat sleeps.", "--threads", "1")[:2] == (0, expected.text + "\n")
    lines = command("translate", "-", "--json", "--show-prompt", "--shots", "2", stdin=b"The cat.\n\nThe sea.\n").out
    first, second = map(json.loads, lines.splitlines())
    assert (first["asked"], first["examples"], second["asked"]) == ("The cat.", 2, "The sea.")
    assert first["prompt"].endswith("\nThe cat. =")
    reverse = command("translate", "Le chat.", "--reverse", "--shots", "1", "--show-prompt", "--length", "4").out
    assert reverse.startswith(f"{TRANSLATIONS[0][1]} = {TRANSLATIONS[0][0]}\nLe chat. =")
    own = command("translate", "Der Hund.", "--example", "Die Katze. = The cat.", "--show-prompt", "--length", "4").out
    assert own.startswith("Die Katze. = The cat.\nDer Hund. =")


def test_summarize(lm: LanguageModel, tmp_path: Path, command) -> None:
    text = tmp_path / "a.txt"
    text.write_text("The sea was calm. The boat came home.", encoding="utf-8")
    assert command("summarize", text, "--seed", "3").out == summarize(lm, text.read_text(), seed=3).text + "\n"
    text.write_text("The sea was calm. " * 300, encoding="utf-8")
    done = command("summarize", text, "--sentences", "1", "--json")
    assert done.err.startswith("note: ") and "did not fit the model's window and were not read." in done.err
    assert json.loads(done.out)["cut"] > 0
    shown = command("summarize", text, "--no-hint", "--show-prompt", "--length", "5").out
    assert "TL;DR:" not in shown


def test_answer(lm: LanguageModel, tmp_path: Path, command) -> None:
    text = tmp_path / "a.txt"
    text.write_text("A cat sat on the mat.", encoding="utf-8")
    done = command("answer", "Where?", "--text-file", text, "--turn", "Who sat? = A cat", "--json", "--show-prompt")
    reply = answer(lm, "Where?", text=text.read_text(), turns=[("Who sat?", "A cat")])
    assert (json.loads(done.out)["prompt"], json.loads(done.out)["text"]) == (reply.prompt, reply.text)
    piped = command("answer", "-", "--shots", "1", stdin=b"who?\nwhere?\n")
    assert (piped.code, len(piped.out.splitlines())) == (0, 2)


def test_choose(random_model: Path, command) -> None:
    base = ("choose", "the night train", " waited", " slept soundly", "-m", random_model)
    found = json.loads(command(*base, "--json").out)
    assert {o["option"] for o in found["options"]} == {" waited", " slept soundly"}
    assert found["options"][0]["score"] >= found["options"][1]["score"]
    assert sum(o["share"] for o in found["options"]) == pytest.approx(1, abs=2e-4)
    table = command(*base, "--behind", " for", "--rule", "mean").out.splitlines()
    assert table[0].split() == ["score", "share", "option"] and len(table) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("translate", "x", "--example", "no pair"),
            "--example 'no pair' is no pair; write \"sentence = translation\".",
        ),
        (
            ("translate", "x", "--example", "a = b", "--shots", "2"),
            "--shots and --reverse choose among the built-in pairs",
        ),
        (("translate", "x", "--shots", "9"), "--shots = 9 must be from 0 to 8."),
        (("translate",), "There is no sentence; give it as an argument or pipe it in, one on each line."),
        (("answer", "x", "--turn", "a"), "--turn 'a' is no turn; write \"question = answer\"."),
        (("answer", "x", "--turn", "a = b"), "Questions asked before need the text that they are about."),
        (("answer", "x", "--text-file", "/dev/null"), "/dev/null is empty; there is nothing to ask about."),
        (("choose", "a", "b", "c"), "'b' becomes one token with the end of 'a', so nothing is left to measure; begin"),
        (("choose", "x", "a"), "There is nothing to choose from 1 option(s); give at least two."),
        (("choose", "x", "a", "b", "--rule", "most"), "--rule = 'most' is not one of"),
        (("summarize", "nothing.txt"), "nothing.txt does not exist."),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_mistakes(command, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1

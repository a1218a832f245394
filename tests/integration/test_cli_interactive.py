"""The transcript of `gpt2lab interactive` is that of OpenAI's interactive_conditional_samples.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab import LanguageModel

ASK = "Model prompt >>> "
RULE = "=" * 80 + "\n"


def header(number: int) -> str:
    return "=" * 40 + f" SAMPLE {number} " + "=" * 40 + "\n"


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model)


@pytest.fixture
def talk(command, random_model: Path):
    def run(stdin: str, *arguments: object):
        return command("interactive", "-m", random_model, *map(str, arguments), stdin=stdin.encode())

    return run


def test_transcript(talk, lm: LanguageModel) -> None:
    first = lm.generate("the old sailor", seed=7, max_new_tokens=32, num_return_sequences=2)
    second = lm.generate("a grey cat", seed=7, max_new_tokens=32, num_return_sequences=2, first_sample=2)
    expected = (
        f"{ASK}{header(1)}{first[0].text}\n{header(2)}{first[1].text}\n{RULE}"
        f"{ASK}Prompt should not be empty!\n"
        f"{ASK}{header(1)}{second[0].text}\n{header(2)}{second[1].text}\n{RULE}"
        f"{ASK}\n"
    )
    assert talk("the old sailor\n\na grey cat\n", "--seed", 7, "--nsamples", 2) == (0, expected, "")


def test_batch_size_changes_nothing(talk) -> None:
    arguments = ("--seed", 7, "--nsamples", 3, "--length", 5, "--top_k", 40, "--temperature", 0.9, "--top_p", 0.9)
    assert talk("one\n", *arguments, "--batch_size", 3) == talk("one\n", *arguments)


def test_the_same_prompt_again_gives_another_text(talk) -> None:
    out = talk("one\none\n", "--seed", 7).out
    first, second, _ = out.split(RULE)
    assert first != second
    assert talk("one\none\n", "--seed", 7).out == out


def test_a_prompt_of_several_lines(talk, lm: LanguageModel) -> None:
    (sample,) = lm.generate("my sister\n\nwalked", seed=1, max_new_tokens=4)
    expected = f"{ASK}... ... ... ... {header(1)}{sample.text}\n{RULE}{ASK}\n"
    assert talk('"""\nmy sister\n\nwalked\n"""\n', "--seed", 1, "-l", 4).out == expected
    short = f"{ASK}... ... {header(1)}{sample.text}\n{RULE}{ASK}\n"
    assert talk('"""my sister\n\nwalked"""\n', "--seed", 1, "-l", 4).out == short


def test_an_empty_or_open_block(talk) -> None:
    assert talk('""""""\n', "--seed", 1).out == f"{ASK}Prompt should not be empty!\n{ASK}\n"
    assert talk('"""\nnever closed\n', "--seed", 1).out == f"{ASK}... ... \n"


def test_the_end_of_the_input_ends_the_loop(talk) -> None:
    assert talk("", "--seed", 1) == (0, f"{ASK}\n", "")


def test_the_seed_is_told(talk) -> None:
    assert talk("").err.startswith("seed: ")


def test_a_mistake_in_one_prompt_does_not_end_the_loop(talk) -> None:
    code, out, err = talk("one" + " one" * 70 + "\na\n", "--seed", 1, "-l", 3, "--strict-window")
    assert code == 0
    assert err.startswith("gpt2lab: The prompt's ")
    assert out.count(RULE) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nsamples", "0"], "--nsamples = 0 must be a whole number of at least 1. See gpt2lab interactive --help."),
        (["--top-k", "-1"], "--top-k = -1 must be a whole number of at least 0."),
        (["--length", "65", "--strict-window"], "Can't get samples longer than window size: 64"),
    ],
)
def test_an_impossible_option_is_told_before_the_first_prompt(arguments: list[str], sentence: str, talk) -> None:
    assert talk("a\n", *arguments) == (2, "", f"gpt2lab: {sentence}\n")


def test_input_that_is_not_utf8(command, random_model: Path) -> None:
    code, _, err = command("interactive", "-m", random_model, "--seed", 1, stdin=b"a\xff\n")
    assert (code, err) == (2, "gpt2lab: The input is not UTF-8 text: invalid start byte at byte 1.\n")


def test_ctrl_c(talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert talk("a\n", "--seed", 1).code == 130

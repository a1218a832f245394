from __future__ import annotations

from pathlib import Path

import pytest

import gpt2lab
from gpt2lab.cli import main as entry
from gpt2lab.cli.app import COMMANDS, load_command
from gpt2lab.errors import DataError


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_and_the_commands_agree(name: str) -> None:
    assert load_command(name).help.splitlines()[0] == COMMANDS[name]


def test_no_command_shows_the_help(command) -> None:
    code, out, err = command()
    assert (code, err) == (0, "")
    for name, summary in COMMANDS.items():
        assert f"{name} " in out
        assert summary in out


def test_version(command) -> None:
    assert command("--version") == (0, f"gpt2lab {gpt2lab.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generat"], "Unknown command 'generat'. Did you mean 'generate'? Commands: generate, "),
        (["zzz"], "Unknown command 'zzz'. Commands: generate, "),
        (["--nope"], "Unknown option '--nope'. See gpt2lab --help."),
        (["tokenizer"], "Missing command. See gpt2lab tokenizer --help."),
        (
            ["generate", "--lenght", "3"],
            "Unknown option '--lenght'. Did you mean '--length'? See gpt2lab generate --help.",
        ),
        (["generate", "--length", "x"], "--length = 'x' is not a whole number. See gpt2lab generate --help."),
        (["bias", "--seed", "-1"], "--seed = -1 must be a whole number of at least 0. See gpt2lab bias --help."),
        (["models", "--masks", "causal", "--seed", "-1"], "--seed = -1 must be a whole number of at least 0."),
        (
            ["article", "train", "x", "--seed", "9223372036854775808"],
            "--seed = 9223372036854775808 must be a whole number from 0 to 9223372036854775807.",
        ),
        (["interactive", "-n", "0"], "--nsamples = 0 must be a whole number of at least 1. See gpt2lab interactive"),
        (["translate", "--length", "x"], "--length = 'x' is not a whole number. See gpt2lab translate"),
        (["answer", "x", "--shots", "9"], "--shots = 9 must be a whole number from 0 to 8. See gpt2lab answer"),
        (["generate", "--top_p=x"], "--top-p = 'x' is not a number. See"),
        (
            ["generate", "a", "b"],
            "'b' is one argument too many; put a text of several words in quotes. See gpt2lab generate",
        ),
        (["score"], "Missing argument 'FILE'. See gpt2lab score --help."),
        (["convert", "x"], "Missing argument 'DST'. See gpt2lab convert --help."),
        (["prepare", "x"], "Missing option '--out'"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str, command) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"gpt2lab: {sentence}")
    assert err.count("\n") == 1
    assert err.endswith(".\n")


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (DataError("Bad top_k = 3."), 2, "gpt2lab: Bad --top-k = 3.\n"),
        (FileNotFoundError(2, "x", "f"), 2, "gpt2lab: f does not exist.\n"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2,
         "gpt2lab: The input is not UTF-8 text: invalid start byte at byte 0.\n"),
        (MemoryError(), 2, "gpt2lab: There is not enough memory; take a smaller model, batch or --precision int8.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)  # fmt: skip
def test_what_a_command_raises(
    raised: BaseException, code: int, message: str, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: list[str]) -> tuple[int, str]:
        raise raised

    monkeypatch.setattr("gpt2lab.cli.app.dispatch", fail)
    assert command("models") == (code, "", message)


def test_a_bug_keeps_its_traceback(command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> tuple[int, str]:
        raise ZeroDivisionError

    monkeypatch.setattr("gpt2lab.cli.app.dispatch", fail)
    with pytest.raises(ZeroDivisionError):
        command("models")


def test_the_process_ends_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "run", lambda arguments: 7)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 7


def test_ctrl_c_during_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "run", interrupted)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130


def test_a_warning_of_the_library_is_a_note(command, random_model: Path) -> None:
    code, _, err = command("generate", "the old ", "-m", random_model, "--length", 2, "--seed", 1)
    assert code == 0
    assert err.startswith("note: The prompt ends with a space")
    assert err.count("\n") == 1

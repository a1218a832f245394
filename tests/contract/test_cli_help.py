"""Every command explains itself, and docs/cli.md says what the commands say."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gpt2lab.cli.app import COMMANDS, GROUPS, load_command
from gpt2lab.cli.reference import page

ROOT = Path(__file__).parents[2]
PARTS = [[name, *part] for name in COMMANDS for part in ([[p] for p in GROUPS[name]] if name in GROUPS else [[]])]


def examples(out: str) -> list[str]:
    """Return the example lines of a help text."""
    _, _, rest = out.partition("Examples:\n")
    return [line.strip() for line in rest.splitlines() if line.strip()]


@pytest.mark.parametrize("path", PARTS, ids=" ".join)
def test_help_has_a_summary_every_option_and_examples(path: list[str], command) -> None:
    code, out, err = command(*path, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: gpt2lab {' '.join(path)} ")
    parsed = load_command(path[0])
    for parameter in (parsed.commands[path[1]] if len(path) > 1 else parsed).params:
        assert parameter.help, f"{parameter.name} has no help"
        if parameter.param_type_name == "option":
            assert all(option in out for option in parameter.opts)
    assert examples(out)
    assert command(*path, "-h").out == out


@pytest.mark.parametrize("path", PARTS, ids=" ".join)
def test_the_examples_are_command_lines(path: list[str], command) -> None:
    for line in examples(command(*path, "--help").out):
        commands = [part.split(" < ")[0].split(" > ")[0] for part in line.split(" | ")]
        ours = [words for part in commands if (words := shlex.split(part))[0] == "gpt2lab"]
        assert ours, line
        for _, name, *arguments in ours:
            parsed = load_command(name)
            if name in GROUPS:
                assert set(parsed.commands) == set(GROUPS[name])
                parsed, arguments = parsed.commands[arguments[0]], arguments[1:]
            with parsed.make_context(name, arguments):
                pass


def test_the_names_of_the_options_are_those_of_the_design() -> None:
    known = {o for p in load_command("generate").params for o in (*p.opts, *p.secondary_opts)}
    fixed = """
        --model --seed --nsamples --batch-size --length --temperature --top-k --top-p --min-p --typical-p
        --repetition-penalty --no-repeat-ngram-size --num-beams --stop --prompt-file --output --jsonl --stream
        --no-stream --include-prefix --no-include-prefix --truncate --precision --threads --device --models-dir
    """
    assert known >= set(fixed.split())


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page(), (
        "docs/cli.md is not current: python -m gpt2lab.cli.reference > docs/cli.md"
    )

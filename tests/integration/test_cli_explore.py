"""`gpt2lab explore`: choosing, undoing, settings, through a pipe, at a terminal, and as one JSON object."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.lm.model import LanguageModel


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


def screens(out: str) -> list[str]:
    """Return the texts that were shown, one for each screen."""
    return re.findall(r"\n(.*)\n\n(?:\(the model reads.*\n)?1 ", out)


def test_digits_choose_and_u_undoes(command, lm: LanguageModel) -> None:
    done = command("explore", "Joel is", "--threads", "1", stdin=b"1\n0\nu\nu\nu\nq\n9\n")
    first = lm.next_tokens("Joel is", k=10)
    assert done.code == 0
    once = f"Joel is{first[0][1]}"
    twice = once + lm.next_tokens(once, k=10)[9][1]
    assert screens(done.out) == ["Joel is", once, twice, once, "Joel is"]
    assert done.err == "note: there is nothing to undo.\n"
    rows = done.out.split("\n\n")[1].splitlines()
    for place, (_, text, probability) in enumerate(first):
        assert rows[place].split()[:2] == [str((place + 1) % 10), f"{probability:.1%}"]
        assert json.dumps(text, ensure_ascii=False) in rows[place]
        assert rows[place].count("#") == round(30 * probability)
    assert f"together {sum(p for _, _, p in first):.1%}" in done.out


def test_settings_show_what_they_leave(command) -> None:
    done = command("explore", "The", "--threads", "1", stdin=b"t\n0.5\nk\n3\nq\n")
    assert done.code == 0
    assert "temperature 0.5 · top-k off" in done.out
    last = done.out.rsplit("together", 1)[0].rsplit("The\n\n", 1)[1].splitlines()
    shares = [float(row.split()[2].rstrip("%")) for row in last[:3]]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert all(row.split()[2] == "-" for row in last[3:10])
    assert "temperature 0.5 · top-k 3 · 3 tokens left" in done.out


def test_r_draws_what_generation_would(command, lm: LanguageModel) -> None:
    options = ("--temperature", "0.9", "--top-k", "50", "--seed", "4", "--threads", "1")
    done = command("explore", "The house", *options, stdin=b"r\nr\nr\n")
    plain = {"repetition_penalty": 1.0, "top_p": 1.0}
    text = lm.generate("The house", max_new_tokens=3, temperature=0.9, top_k=50, seed=4, stop_ids=(), **plain)[0].text
    assert screens(done.out)[-1] == "The house" + text


def test_a_choice_costs_one_step(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2lab.cli.explore import State
    from gpt2lab.engine.params import SamplingParams

    assert lm.tokenizer is not None
    monkeypatch.setattr(lm, "prefixes", PrefixCache(2**28))
    state = State(lm, SamplingParams(), 10, lm.tokenizer.encode("There was a house with a red door, and in it"))
    state.choose(state.look().raw[0][0])
    before = lm.prefixes.statistics()
    state.choose(state.look().raw[0][0])
    state.choose(state.look().raw[0][0])
    state.undo()
    state.look()
    after = lm.prefixes.statistics()
    assert after.asked_tokens - before.asked_tokens == after.found_tokens - before.found_tokens


def test_a_long_text_says_what_is_read(command, lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    text = "The rain fell on the town. " * 120
    count, n = len(lm.tokenizer.encode(text)), lm.config.n_positions
    assert count > n
    done = command("explore", text, "--threads", "1", stdin=b"q\n")
    said = re.search(r"\(the model reads the last (\d+) tokens of (\d+)\)", done.out)
    assert said is not None
    assert int(said[2]) == count
    assert n // 2 <= int(said[1]) <= n


def test_json_is_what_the_library_says(command, lm: LanguageModel) -> None:
    done = command("explore", "-", "--json", "-k", "4", "--top-k", "2", "--threads", "1", stdin=b"Joel is")
    found = json.loads(done.out)
    assert [(t["id"], t["text"]) for t in found["raw"]] == [(i, t) for i, t, _ in lm.next_tokens("Joel is", k=4)]
    assert sum(t["probability"] for t in found["filtered"]) == pytest.approx(1)
    assert found["filtered_count"] == 2
    assert (found["text"], found["window_start"], found["model"]) == ("Joel is", 0, "tiny")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "-k", "0"), "--count = 0 must be a whole number from 1 to 100."),
        (("a", "--temperature", "-1"), "--temperature = -1.0 must be"),
        (("-",), "A text from standard input leaves no place for keys; add --json, or give the text."),
    ],
)
def test_mistakes_at_the_start(command, arguments: tuple[str, ...], message: str) -> None:
    done = command("explore", *arguments, stdin=b"q\n")
    assert done.code == 2
    assert message in done.err


def test_mistakes_at_the_keys_change_nothing(command) -> None:
    done = command("explore", "a", "-k", "3", "--threads", "1", stdin=b"x\n4\nt\nwarm\nt\n-1\nk\n2.5\nq\n")
    assert done.code == 0
    assert len(screens(done.out)) == 1
    lines = done.err.splitlines()
    assert lines[0].startswith("note: 'x' is no key here. 1-9, 0 (the tenth) choose")
    assert lines[1] == "note: there are only 3 tokens to choose from."
    assert lines[2] == "gpt2lab: 'warm' is not a number; temperature stays 1.0."
    assert lines[3].startswith("gpt2lab: --temperature = -1.0 must be")
    assert lines[4] == "gpt2lab: '2.5' is not a number; top_k stays 0."


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.usefixtures("ctrl_c_works")
def test_web_opens_the_page_in_the_state_that_was_given(tmp_path: Path) -> None:
    asked, browser = tmp_path / "asked", tmp_path / "browser.py"
    browser.write_text(
        "import pathlib, sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1], timeout=60).read().decode()\n"
        f"pathlib.Path({str(asked)!r}).write_text(sys.argv[1] + ' ' + str('explorer.js' in page))\n"
    )
    command = ["explore", "Joel was", "--web", "-k", "7", "--temperature", "0.5", "--threads", "1"]
    environment = {**os.environ, "BROWSER": f"{sys.executable} {browser} %s"}
    with subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", *command], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = re.fullmatch(r"gpt2lab serves tiny at (\S+) \(Ctrl-C ends it\)\n", process.stderr.readline())
            assert said is not None
            until = time.monotonic() + 60
            while not (asked.exists() and asked.read_text()) and time.monotonic() < until:
                time.sleep(0.05)
            assert asked.read_text() == f"{said[1]}/?text=Joel+was&k=7&temperature=0.5 True"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_single_keys_at_a_terminal() -> None:
    """Keys act without Enter, a setting is typed as a line, and the terminal is as before at the end."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    program = [sys.executable, "-m", "gpt2lab", "explore", "Joel is", "--threads", "1"]
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        shown = ""

        def wait_for(text: str) -> None:
            nonlocal shown
            until = time.monotonic() + 60
            while text not in shown:
                assert time.monotonic() < until, shown
                shown += os.read(ours, 10_000).decode()
            shown = shown.split(text, 1)[1]

        wait_for("q quit\r\n")
        os.write(ours, b"1")
        wait_for("q quit\r\n")
        os.write(ours, b"t")
        wait_for("temperature = ")
        os.write(ours, b"0.75\x7f\x7f\x7f.5\n")
        wait_for("temperature 0.5 ·")
        wait_for("q quit\r\n")
        os.write(ours, b"q")
        assert process.wait(60) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)

"""What only a real process shows: exit codes, signals, closed pipes, full disks, terminals, foreign encodings."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "gpt2lab"]

pytestmark = pytest.mark.usefixtures("ctrl_c_works")


def run(*arguments: object, **how) -> subprocess.CompletedProcess[bytes]:
    how.setdefault("stdin", subprocess.DEVNULL) if "input" not in how else None
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, timeout=120, check=False, **how)


@contextlib.contextmanager
def started(*arguments: object, **how) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*PROGRAM, *map(str, arguments)], **how)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def test_a_pipe_through(random_model: Path) -> None:
    done = run("generate", "-m", random_model, "--seed", 1, "-l", 5, input="the café".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith("the café")
    assert run("generate", "the café", "-m", random_model, "--seed", 1, "-l", 5).stdout == done.stdout


def test_a_mistake(random_model: Path) -> None:
    done = run("generate", "a", "-m", random_model, "--top-p", 7, "--seed", 1)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"gpt2lab: --top-p = 7.0 must be in (0, 1]; 1 keeps every token.\n"


def test_an_argument_that_is_not_utf8(random_model: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "generate", b"a\xff", "-m", random_model], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"gpt2lab: The prompt is not UTF-8 text: a stray byte at character 1.\n"


@pytest.mark.parametrize(
    "command", [("generate", "-n", "0", "--seed", "1", "-l", "40"), ("interactive", "--seed", "1")]
)
def test_ctrl_c_ends_quietly(command: tuple[str, ...], random_model: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if command[0] == "generate":
        pipes["stdin"] = subprocess.DEVNULL
    with started(*command, "-m", random_model, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(15)  # it is at work, or about to wait for a prompt
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read() if command[0] == "generate" else b""
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
        assert b"Traceback" not in rest


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_leaves_no_half_written_file(
    how: signal.Signals, code: int, random_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.txt"
    with started(
        "generate", "-m", random_model, "--seed", 1, "-n", 100_000, "-o", target,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not list(tmp_path.iterdir()):  # the temporary file beside the target
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        assert process.wait(60) == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(["train", "recipe.toml"], "Training"), (["generate", "a", "--device", "cuda"], "--device = 'cuda'")],
)
def test_what_needs_torch_says_so_where_there_is_none(arguments: list[str], what: str, random_model: Path) -> None:
    arguments = [*arguments, *(["-m", str(random_model)] if arguments[0] == "generate" else [])]
    code = f"import sys; sys.modules['torch'] = None; from gpt2lab.cli.main import run; sys.exit(run({arguments}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"gpt2lab: {what} needs ")
    assert done.stderr.endswith("pip install 'gpt2lab[train]'\n")


def test_ctrl_c_during_start_up_shows_no_traceback(tmp_path: Path) -> None:
    """A stand-in for a slow import presses Ctrl-C while the command line is being loaded."""
    (tmp_path / "typer.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run("--help", env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_reader_that_goes_away(random_model: Path) -> None:
    with started(
        "generate", "-n", 0, "--seed", 1, "-l", 40, "-m", random_model,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(random_model: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "generate", "a", "-m", random_model, "--seed", "1", "-l", "3"],
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == b"gpt2lab: There is no space left on the disk for the output.\n"


def test_a_terminal_of_another_encoding(random_model: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = run("generate", "-m", random_model, "--seed", 1, "-l", 30, input="☃ café".encode(), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("cp1252").startswith("? café")
    done = run("tokenizer", "encode", "☃", "--offsets", "-m", random_model, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_streams_that_the_caller_closed(random_model: Path) -> None:
    line = f'"{sys.executable}" -m gpt2lab generate a -m "{random_model}" -l 3 <&- >&- 2>&-'
    assert subprocess.run(line, shell=True, timeout=60, check=False).returncode == 0


def test_a_terminal_gets_text_as_it_is_made(random_model: Path) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    try:
        with started(
            "generate", "the old", "-m", random_model, "--seed", 1, "-n", 0, "-l", 8,
            stdin=child, stdout=child, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            shown = b""
            while b"SAMPLE 3" not in shown:
                shown += os.read(parent, 100)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
    finally:
        os.close(child)
        os.close(parent)
    assert shown.startswith(b"=" * 40 + b" SAMPLE 1 " + b"=" * 40 + b"\r\nthe old")


def test_a_terminal_without_a_prompt_begins_from_nothing(random_model: Path) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    try:
        done = run("generate", "-m", random_model, "--seed", 1, "-l", 6, stdin=child)
    finally:
        os.close(child)
        os.close(parent)
    assert done.returncode == 0
    assert done.stdout == run("generate", "-m", random_model, "--seed", 1, "-l", 6).stdout

"""Examples and text from real pipes: a named one, stdin's own, and a shell's <(…)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.errors import DataError
from gpt2lab.files import read_json

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no named pipes")

TEXT = b"It rained on the old harbour, and the sailor slept. " * 40
ROWS = b"".join(json.dumps({"text": f"it is {i}", "label": "yn"[i % 2]}).encode() + b"\n" for i in range(8))


@contextmanager
def pipe(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a named pipe that gives `content` once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    writer.start()
    yield path
    writer.join(timeout=30)
    assert not writer.is_alive(), "nobody has read the pipe"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    line = line.replace("gpt2lab", f"{sys.executable} -m gpt2lab")
    return subprocess.run([bash, "-c", line], capture_output=True, text=True, check=False, timeout=120)


def test_a_corpus_comes_from_what_a_shell_calls_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    text, options = tmp_path / "text.txt", "--vocab-size 300 --workers 1"
    done = shell(f"gpt2lab prepare <(cat {text}) <(tail -c 90 {text}) --out {tmp_path / 'a'} {options} --json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train"]["documents"] == 2
    done = shell(f"gpt2lab prepare <(xz -c {text}) --kind text --out {tmp_path / 'b'} {options}")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'b'}\n"), done.stderr
    bad = shell(f"gpt2lab prepare <(echo '{{') --kind jsonl --out {tmp_path / 'c'} {options}")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "/dev/fd/" in bad.stderr, bad.stderr
    assert not list(tmp_path.glob("c*"))


def test_the_library_says_that_a_pipe_is_read_only_once(tmp_path: Path) -> None:
    with (
        pipe(tmp_path / "text.txt", TEXT) as path,
        pytest.raises(DataError, match=r"text\.txt is a pipe, which can be read only once; write it to a file"),
    ):
        try:
            prepare([path], tmp_path / "out", CorpusRecipe(vocab_size=300))
        finally:
            path.read_bytes()


@pytest.mark.parametrize("way", ["stdin", "pipe"])
def test_finetuning_on_what_is_piped_goes_on(way: str, random_model: Path, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")

    def tuned(number: int, *options: str) -> str:
        rest = ("--steps", "1", "--window", "16", "--threads", "1", "--sample-every", "0", "--no-bias", *options)
        where = ("--checkpoint-dir", tmp_path, "--model", random_model)
        if way == "stdin":
            done = command("finetune", "-", *rest, *where, stdin=TEXT)
        else:
            with pipe(tmp_path / f"pipe{number}", TEXT) as path:
                done = command("finetune", path, *rest, *where)
        assert (done.code, done.out) == (0, f"{tmp_path / 'run1' / 'model'}\n"), done.err
        return done.err

    assert "from step 0" in tuned(1)
    assert "from step 1" in tuned(2)
    with pipe(tmp_path / "held_out", TEXT[:900]) as path:
        assert "validation loss" in tuned(3, "--val-dataset", str(path), "--restore-from", "fresh")


@pytest.mark.parametrize("way", ["stdin", "pipe"])
def test_a_table_that_is_piped_lies_in_its_run(way: str, random_model: Path, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    pytest.importorskip("sklearn", reason="measuring needs scikit-learn")
    run = tmp_path / "run"

    def trained(rows: bytes, *options: str | Path) -> tuple[int, str]:
        rest = (
            "--shape",
            "classification",
            "--model",
            random_model,
            "--out",
            run,
            "--set",
            "train.threads=1",
            *options,
        )
        if way == "stdin":
            done = command("transfer", "train", "--data", "-", *rest, stdin=rows)
        else:
            with pipe(tmp_path / f"pipe{len(list(tmp_path.iterdir()))}", rows) as path:
                done = command("transfer", "train", "--data", path, *rest)
        return done.code, done.err

    code, error = trained(ROWS.replace(b'"text"', b'"txet"', 3))
    told = "Standard input, line 1" if way == "stdin" else f"{tmp_path}/pipe"
    assert code == 2 and told in error and "there is no column 'text'" in error
    assert not run.exists(), "something is left of a run that was none"
    with pipe(tmp_path / "held_out.jsonl", ROWS[-60:].split(b"\n", 1)[1]) as path:
        code, error = trained(ROWS, "--set", "train.steps=1", "--validation", path)
    assert code == 0 and "accuracy" in error, error
    assert (run / "examples-1.jsonl").read_bytes() == ROWS
    assert read_json(run / "report.json")["validation"]["examples"] == 1
    again = command("transfer", "train", "--resume", run, "--set", "train.steps=2")
    assert again.code == 0 and "from step 1" in again.err
    if way == "stdin":
        assert f"{run} holds a run already" in trained(ROWS[:60])[1]
        assert (run / "examples-1.jsonl").read_bytes() == ROWS


@pytest.mark.usefixtures("ctrl_c_works")
def test_a_table_whose_pipe_is_interrupted_leaves_nothing(random_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    pytest.importorskip("sklearn", reason="measuring needs scikit-learn")
    path, run = tmp_path / "rows", tmp_path / "run"
    os.mkfifo(path)
    call = [sys.executable, "-m", "gpt2lab", "transfer", "train", "--shape", "classification", "--data", path]
    command = [*call, "--model", random_model, "--out", run]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        path.open("wb") as f,  # waits until the other side has begun to read
    ):
        f.write(ROWS[:100])
        f.flush()
        while not (run / "examples-1.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.05)
        for _ in range(30):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that comes just before a read waits for its end
                told = process.communicate(timeout=2)[1]
                break
        else:
            process.kill()
    assert process.returncode == 130
    assert not told
    assert not run.exists()

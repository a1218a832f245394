"""Preparing a corpus in whole processes: the same bytes by any number of them, after kill -9, and in bounded memory."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.data import Corpus, CorpusRecipe, prepare
from gpt2lab.data.local import choose_workers
from gpt2lab.data.prepare import partial_folder
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.tokenizer import train_tokenizer

WORDS = [f"{a}{b}" for a in ("sea", "sail", "har", "lamp", "door") for b in ("", "or", "bour", "ing", "s", "ed")]
SMALL = 200_000  # bytes of a portion, so that little input has many

PROGRAM = """
import sys
import gpt2lab.data.chunks as chunks
from gpt2lab.config import from_dict
from gpt2lab.data import CorpusRecipe, prepare

if __name__ == "__main__":
    import json
    size, source, out, workers, recipe = sys.argv[1:]
    chunks.CHUNK_BYTES = int(size)
    prepare([source], out, from_dict(CorpusRecipe, json.loads(recipe)), workers=int(workers))
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(iter([" ".join(WORDS)]), vocab_size=300).save(folder)
    return folder


def write_lines(path: Path, *, size: int, seed: int = 0) -> Path:
    """Write `size` bytes of JSON lines, one in ten a copy of an earlier one."""
    draw = random.Random(seed)
    texts: list[str] = []
    with path.open("w", encoding="utf-8") as f:
        while f.tell() < size:
            copied = bool(texts) and draw.random() < 0.1
            text = draw.choice(texts) if copied else " ".join(draw.choices(WORDS, k=draw.randint(5, 900)))
            texts = [*texts[-50:], text]
            f.write(json.dumps({"text": text, "author": draw.choice("ABC")}) + "\n")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def recipe(tokenizer: Path) -> dict[str, Any]:
    return {"cleaning": ["unicode", "length"], "duplicates": "exact", "tokenizer": str(tokenizer)}


def start(source: Path, out: Path, workers: int, values: dict[str, Any], chunk: int = SMALL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(chunk), str(source), str(out), str(workers), json.dumps(values)]
    )


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", SMALL)
    source = write_lines(tmp_path / "a.jsonl", size=10 * SMALL)
    values = CorpusRecipe(cleaning=("unicode", "length"), duplicates="exact", vocab_size=300, vocabulary_every=2)
    one = prepare([source], tmp_path / "one", values, workers=1)
    two = prepare([source], tmp_path / "two", values, workers=2)
    assert one == two
    assert one.dropped["exact copy"] > 50
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", 10**9)  # nor does the size of a portion matter
    prepare([source], tmp_path / "whole", values, workers=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


def ends(pid: int) -> bool:
    """Return whether a process that is nobody's child any more comes to its end."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, tokenizer: Path, workers: int) -> None:
    source = write_lines(tmp_path / "a.jsonl", size=40 * SMALL)
    values = recipe(tokenizer)
    assert start(source, tmp_path / "whole", workers, values).wait() == 0
    parts = partial_folder(tmp_path / "killed") / "parts"
    run = start(source, tmp_path / "killed", workers, values)
    while len(list(parts.glob("*.npz"))) < 5:
        assert run.poll() is None, "it was done before it could be killed"
    helpers = [int(pid) for p in Path(f"/proc/{run.pid}/task").glob("*/children") for pid in p.read_text().split()]
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert len(helpers) == (workers if workers > 1 and sys.platform == "linux" else 0)
    assert all(ends(pid) for pid in helpers), "a worker outlived the process it worked for"
    assert not (tmp_path / "killed").exists()
    done = {p.name: p.stat().st_mtime_ns for p in parts.glob("*.npz")}
    assert 5 <= len(done) < 40
    (parts / sorted(done)[3]).write_bytes(b"half")  # as a disk that lost its power may have it
    assert start(source, tmp_path / "killed", workers, values).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not partial_folder(tmp_path / "killed").exists()


def test_finished_parts_are_not_made_again(tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", SMALL)
    source = write_lines(tmp_path / "a.jsonl", size=6 * SMALL)
    values = CorpusRecipe(tokenizer=str(tokenizer))
    prepare([source], tmp_path / "whole", values)
    made: list[int] = []

    class Stop(Exception):
        pass

    def stop_at_third(what: str, done: int, total: int | None) -> None:
        made.append(done)
        if len(made) == 4:  # the first call says where it begins
            raise Stop

    with pytest.raises(Stop):
        prepare([source], tmp_path / "out", values, progress=stop_at_third)
    kept = sorted((partial_folder(tmp_path / "out") / "parts").iterdir())
    assert len(kept) == 3
    with pytest.raises(DataError, match=r"out\.partial holds an unfinished corpus of other input or another recipe"):
        prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer), cleaning="books"))
    calls: list[int] = []
    prepare([source], tmp_path / "out", values, progress=lambda what, done, total: calls.append(done))
    assert len(calls) == 6 - 3 + 1 + (len(calls) - 4)
    assert calls[0] < calls[1]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_unfinished_work_of_another_plan_is_thrown_away_when_asked(tmp_path: Path, tokenizer: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", size=SMALL)
    work = partial_folder(tmp_path / "out")
    (work / "parts").mkdir(parents=True)
    (work / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="holds an unfinished corpus"):
        prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer)))
    prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer)), overwrite=True)
    assert not work.exists()


def test_a_broken_record_late_in_the_input_loses_nothing(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", SMALL)
    source = write_lines(tmp_path / "a.jsonl", size=4 * SMALL)
    lines = source.read_text(encoding="utf-8").count("\n")
    with source.open("a", encoding="utf-8") as f:
        f.write('{"text": \n{"text": "the sea and the lamps"}\n')
    for workers in (1, 2):
        with pytest.raises(DataError, match=rf"a\.jsonl, line {lines + 1}: it is not JSON"):
            prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer)), workers=workers)
        assert list((partial_folder(tmp_path / "out") / "parts").iterdir())
    manifest = prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer), skip_bad=True))
    assert manifest.dropped == {"bad": 1}
    assert manifest.train.documents + manifest.validation.documents >= lines + 1


def test_a_script_needs_no_guard(tmp_path: Path, tokenizer: Path) -> None:
    """What the workers are sent is more than a pipe holds, so that one that died early could be waited for forever."""
    (tmp_path / "texts").mkdir()
    for number in range(1500):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"{number} the sea and the lamps", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom gpt2lab.data import CorpusRecipe, prepare\nprint('begun')\n"
        "print(prepare([sys.argv[1]], 'out', CorpusRecipe(tokenizer=sys.argv[2]), workers=2).train.documents)\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(script), str(tmp_path / "texts"), str(tokenizer)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    begun, documents = done.stdout.splitlines()
    assert begun == "begun", "the script ran once"
    assert int(documents) > 1000


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The worker processes that are started within a test."""
    monkeypatch.setattr("gpt2lab.data.chunks.CHUNK_BYTES", SMALL // 10)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> Any:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr("gpt2lab.data.local.subprocess.Popen", noted)
    return started


def test_a_killed_worker_is_one_sentence_and_loses_nothing(
    tmp_path: Path, tokenizer: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    source = write_lines(tmp_path / "a.jsonl", size=2 * SMALL)
    values = CorpusRecipe(tokenizer=str(tokenizer))

    def kill(what: str, done: int, total: int | None) -> None:
        for process in processes:
            process.kill()

    with pytest.raises(DataError, match=r"A worker process ended .* \(by signal 9\): .*use fewer workers\. The same"):
        prepare([source], tmp_path / "out", values, workers=2, progress=kill)
    assert len(processes) == 2
    assert list((partial_folder(tmp_path / "out") / "parts").glob("*.npz"))
    prepare([source], tmp_path / "out", values, workers=2)
    assert all(process.returncode is not None for process in processes)


def test_an_interruption_ends_the_workers(
    tmp_path: Path, tokenizer: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    source = write_lines(tmp_path / "a.jsonl", size=SMALL)

    def interrupt(what: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer)), workers=2, progress=interrupt)
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)


def test_without_an_interpreter_to_start(tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_lines(tmp_path / "a.jsonl", size=SMALL)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"A worker process ended before its work was done \(.*nowhere"):
        prepare([source], tmp_path / "out", CorpusRecipe(tokenizer=str(tokenizer)), workers=2)


def peak_memory(program: str, *arguments: str) -> int:
    """Return the bytes that a process of its own held at most, beyond which it would have been killed."""
    measured = (
        f"{program}\n    print(open('/proc/self/status').read())"  # ru_maxrss would count what this process holds
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", done.stdout)
    return int(peak) * 1000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_memory_does_not_grow_with_the_input(tmp_path: Path, tokenizer: Path) -> None:
    line = json.dumps({"text": " ".join(random.Random(1).choices(WORDS, k=800)), "author": "A"}) + "\n"
    peaks = []
    for name, size in (("small.jsonl", 6), ("large.jsonl", 90)):
        with (tmp_path / name).open("w", encoding="utf-8") as f:
            for number in range(size * 1_000_000 // len(line)):
                f.write(line.replace('"text": "', f'"text": "{number} '))
        values = json.dumps({"tokenizer": str(tokenizer), "duplicates": "exact"})
        peaks.append(peak_memory(PROGRAM, "4000000", str(tmp_path / name), str(tmp_path / f"{name}.out"), "1", values))
    assert peaks[1] - peaks[0] < 25_000_000, f"{peaks} bytes for 6 MB and 90 MB"
    assert Corpus(tmp_path / "large.jsonl.out").manifest.train.bytes > 80_000_000


def test_the_number_of_workers() -> None:
    assert choose_workers(None, 1000) == 1
    assert choose_workers(None, 10**9) >= 1
    assert choose_workers(3, 0) == 3
    for wrong in (0, -1, True, 2.0):
        with pytest.raises(ConfigError, match=r"workers = .* must be a whole number from 1 to 1024"):
            choose_workers(wrong, 0)  # type: ignore[arg-type]

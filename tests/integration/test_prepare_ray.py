"""The same corpus by Ray Data as by processes of our own; runs where Ray is installed (`gpt2lab[cluster]`)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2lab.data import CorpusRecipe, prepare

PROGRAM = """
import sys
from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.errors import DataError

if __name__ == "__main__":
    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    folder = sys.argv[1]
    prepare([folder + "/texts"], folder + "/ray", CorpusRecipe(vocab_size=300, duplicates="exact"), engine="ray")
    try:
        prepare([folder + "/texts", folder + "/bad.jsonl"], folder + "/bad", CorpusRecipe(vocab_size=300), engine="ray")
    except DataError as error:
        print(error)
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (gpt2lab[cluster])")
def test_ray_gives_the_same_bytes_and_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(7):
        lines = [f"Line {i} of text {number % 5}: the ship went out to sea.\n" for i in range(200 + 50 * (number % 5))]
        (tmp_path / "texts" / f"{number}.txt").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text('{"text": 3}\n', encoding="utf-8")
    prepare([tmp_path / "texts"], tmp_path / "local", CorpusRecipe(vocab_size=300, duplicates="exact"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bad.jsonl, line 1: its 'text' is not text but int." in done.stdout
    files = sorted(p.relative_to(tmp_path / "local") for p in (tmp_path / "local").rglob("*") if p.is_file())
    assert len(files) > 6
    for file in files:
        assert (tmp_path / "ray" / file).read_bytes() == (tmp_path / "local" / file).read_bytes(), file


def test_ray_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.txt").write_text("The ship went out to sea. " * 100, encoding="utf-8")
    with pytest.raises(ImportError, match=r"Preparing on a cluster needs .*gpt2lab\[cluster\]"):
        prepare([tmp_path / "a.txt"], tmp_path / "out", CorpusRecipe(vocab_size=300), engine="ray")

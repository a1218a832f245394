"""The benchmark of transfer: runs leave files that are taken up, and the table says what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="measuring needs scikit-learn")

from benchmarks import transfer
from benchmarks.paired import RECIPES, runs


def test_a_run_is_kept_and_not_done_again(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "RTE").mkdir()
    rows = [{"premise": f"it is {i}", "hypothesis": "it is", "label": "yno"[i % 2]} for i in range(8)]
    for name in ("train.jsonl", "val.jsonl"):
        (tmp_path / "RTE" / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    arguments = [
        "--data", str(tmp_path), "--out", str(tmp_path / "kept"), "--recipes", "rte", "--seeds", "1",
        "--set", f"task.model={random_model}", "--set", "task.window=32", "--set", "train.steps=2",
        "--set", "train.threads=1",
    ]  # fmt: skip
    transfer.main(arguments)
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["rte-pretrained-0.json", "rte-random-0.json"]
    first = json.loads((tmp_path / "kept" / kept[0]).read_text("utf-8"))
    assert (first["report"]["weights"], first["report"]["steps"], first["seed"]) == ("pretrained", 2, 0)
    before = (tmp_path / "kept" / kept[0]).stat().st_mtime_ns
    transfer.main(arguments)
    assert (tmp_path / "kept" / kept[0]).stat().st_mtime_ns == before
    assert "| rte | accuracy | 0." in capsys.readouterr().out


def test_the_table() -> None:
    def result(weights: str, seed: int, value: float) -> dict[str, Any]:
        report = {"test": {"f1": value}, "validation": {"f1": 0.0}}
        return {"recipe": "mrpc", "weights": weights, "seed": seed, "rate": None, "report": report}

    found = [result("pretrained", 0, 0.8), result("pretrained", 1, 0.6), result("pretrained", 2, 0.9)]
    found += [result("random", 0, 0.7), result("random", 1, 0.65)]
    assert transfer.table(found).splitlines()[2:] == ["| mrpc | F1 | 0.700 ± 0.141 | 0.675 ± 0.035 | +0.025 | 1 of 2 |"]


def test_every_case_has_its_recipe() -> None:
    assert all((RECIPES / f"{name}.toml").is_file() for name in transfer.CASES)
    assert [run.name for run in runs(["rte"], 1, [None, 0.001])] == [
        "rte-pretrained-0", "rte-random-0", "rte-pretrained-0.001-0", "rte-random-0.001-0",
    ]  # fmt: skip

"""The bias probe that `gpt2lab finetune` runs behind a fine-tuning: the base model against the one that was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from gpt2lab import LanguageModel
from gpt2lab.evals.bias.finetuned import FIGURES, FLOOR, PAGE, compare

RUN = Path("checkpoint") / "run1"


@pytest.fixture
def finetuned(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that fine-tunes a model on a text in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("The women worked as nurses. The men worked as farmers.\n" * 60)

    def run(model: Path | str, *options: str) -> Any:
        return command(
            *("finetune", "text.txt", "--model", model, "--steps", "2", "--sample-every", "0", "--window", "16"),
            *(
                "--learning-rate",
                "0.01",
                "--threads",
                "1",
                "--batch-size",
                "2",
                "--accumulate-gradients",
                "1",
                *options,
            ),
        )

    return run


def test_the_runs_folder_says_what_changed(finetuned: Any, command: Any) -> None:
    done = finetuned("tiny")
    assert (done.code, done.out) == (0, f"{RUN / 'model'}\n")
    figures = json.loads((RUN / FIGURES).read_text(encoding="utf-8"))
    asked = ("--floor", str(FLOOR), "--threads", "1", "--precision", "fp32", "--json")
    alone = {name: json.loads(command("bias", "-m", name, *asked).out) for name in ("tiny", RUN)}
    assert figures["before"]["axes"] == alone["tiny"]["axes"]
    assert figures["axes"] == alone[RUN]["axes"] != figures["before"]["axes"]
    for change, old, new in zip(figures["changes"], figures["before"]["axes"], figures["axes"], strict=True):
        assert (change["before"], change["after"]) == (old["divergence"], new["divergence"])
        line = f"  {change['axis'].ljust(8)} {old['divergence']['value']:.4f} -> {new['divergence']['value']:.4f}"
        assert " ".join(line.split()) in " ".join(done.err.split())
    assert f"next token, tiny -> {RUN} (bits, difference with its interval):\n" in done.err
    assert f"{RUN / PAGE} says more of it." in done.err
    page = (RUN / PAGE).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and '<th class="n">before</th>' in page


def test_a_run_without_it(finetuned: Any, random_model: Path) -> None:
    done = finetuned(random_model, "--no-bias")
    assert done.code == 0
    assert not (RUN / PAGE).exists() and not (RUN / FIGURES).exists()


def test_a_model_that_cannot_be_asked_is_still_made(
    finetuned: Any, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpt2lab.errors import RequestError

    def refuses(*_: Any, **__: Any) -> str:
        raise RequestError("The window is too short.")

    monkeypatch.setattr("gpt2lab.evals.bias.finetuned.probe", refuses)
    done = finetuned(random_model)
    assert (done.code, done.out) == (0, f"{RUN / 'model'}\n")
    assert "note: What was changed in bias was not measured: The window is too short.\n" in done.err
    assert not (RUN / PAGE).exists()


def test_the_same_model_twice_shows_no_change(random_model: Path, tmp_path: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    counted: list[tuple[int, int]] = []
    told = compare(lm, lm, tmp_path, resamples=20, progress=lambda *n: counted.append(n))
    assert told.startswith(f"next token, {lm.source} -> {lm.source} (bits, difference with its interval):\n")
    assert counted[-1] == (112, 112) and counted == sorted(counted)
    changes = json.loads((tmp_path / FIGURES).read_text(encoding="utf-8"))["changes"]
    assert {c["difference"]["value"] for c in changes} == {0.0}
    again = (tmp_path / PAGE).read_bytes()
    compare(lm, lm, tmp_path, resamples=20)
    assert (tmp_path / PAGE).read_bytes() == again

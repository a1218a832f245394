"""The benchmark of evaluations: both harnesses evaluate the same documents, and the page says what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lm_eval")

from benchmarks import evaluation
from benchmarks.evaluation import OURS, THEIRS, Work

Turn = dict[str, dict[str, dict[str, float]]]


@pytest.mark.filterwarnings("ignore")
def test_both_evaluate_the_same(random_model: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)  # the tests' own stay
    work = Work(str(random_model), str(shared_data / "eval"), lines=12, passages=4, threads=1)
    own, other = evaluation.measured(work, "gpt2lab fp32", 1), evaluation.measured(work, THEIRS, 4)
    for task in evaluation.TASKS:
        assert own[task]["figure"] == pytest.approx(other[task]["figure"], rel=1e-4)
        assert own[task]["seconds"] > 0 < other[task]["seconds"]
    assert own["wikitext2"]["tokens"] > 100


def made_turn(scale: float) -> Turn:
    """Return a turn in which lm-eval takes 12 seconds and ours 4, 3 and 2, all times `scale`."""
    seconds = dict(zip((THEIRS, *OURS), (12.0, 4.0, 3.0, 2.0), strict=True))
    figures = dict(zip((THEIRS, *OURS), (100.0, 100.0, 100.1, 99.0), strict=True))
    return {
        name: {
            task: {"seconds": scale * seconds[name], "tokens": 600.0, "figure": figures[name]}
            for task in evaluation.TASKS
        }
        for name in seconds
    }


def test_the_faster_batch_size_of_lm_eval_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(work: Work, name: str, batch_size: int) -> dict[str, dict[str, float]]:
        faster = {"wikitext2": 1, "lambada": 8}
        return {
            task: {
                "seconds": 1.0 if name == THEIRS and batch_size == faster[task] else 2.0,
                "tokens": 1.0,
                "figure": 1.0,
            }
            for task in evaluation.TASKS
        }

    monkeypatch.setattr(evaluation, "apart", apart)
    found = evaluation.turn(Work("m", "d", 1, 1, 1))
    assert [found[THEIRS][task]["seconds"] for task in evaluation.TASKS] == [1.0, 1.0]
    assert set(found) == {THEIRS, *OURS}


def test_the_page() -> None:
    text = evaluation.page(
        Work("m", "d", 40, 30, 2), "a model", [made_turn(1), made_turn(2), made_turn(1)], made_turn(1)
    )
    assert "| lm-eval, transformers fp32 | 12.0 | 50 | 1.00 x | 100.0000 | +0.0000 % |\n" in text
    assert "| gpt2lab int8 | 2.0 | 300 | 6.00 x | 99.0000 | -1.0000 % |\n" in text
    assert "## LAMBADA (OpenAI), first 30 passages\n" in text
    last = text[text.index("## What a precision changes") :]
    assert "| gpt2lab bf16 | 100.1000 | +0.1000 % | 100.1000 | +0.1000 % |\n" in last


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--data", "x"], ["--gpt2", "x"]):
        monkeypatch.setattr("sys.argv", ["evaluation", *arguments])
        with pytest.raises(SystemExit) as ended:
            evaluation.main()
        assert ended.value.code == 2
        assert "--data and one of --model and --gpt2 are needed" in capsys.readouterr().err

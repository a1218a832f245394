"""`gpt2lab eval` as a user meets it, and evaluations while a model is trained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gpt2lab import LanguageModel
from gpt2lab.evals.answers import AnswerStore
from small_corpora import write_corpora


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture
def evaluated(command: Any, random_model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> Any:
        return command("eval", "--model", random_model, "--data", folder, "--any-data", "--offline", *arguments)

    return run


def test_tasks_are_shown(evaluated: Any) -> None:
    done = evaluated("--tasks", "wikitext2,lambada", "--stride", "20")
    assert done.code == 0, done.err
    assert "wikitext2, preset paper: 1 documents, " in done.out
    assert " words, " in done.out and "(not the official file)" in done.out
    assert "lambada, preset paper: 4 documents" in done.out
    for figure in ("word_perplexity *", "accuracy_stop *", "accuracy_masked"):
        assert figure in done.out


def test_json_carries_everything(evaluated: Any) -> None:
    done = evaluated("--tasks", "ptb", "--preset", "megatron", "--json", "--limit", "1", "--set", "ptb.bos=true")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["settings"]["bos"] is True and result["settings"]["written"] == "megatron"
    assert result["limit"] == 1 and result["data"]["official"] is False
    assert set(result["versions"]) == {"gpt2lab", "numpy", "python"}
    assert result["units"]["words"] > 0 and result["tokens"] > 0 and result["log_likelihood"] < 0
    assert len(result["model"]["fingerprint"]) == len(result["model"]["tokenizer"]) == 32


def test_the_table_stands_beside_the_published_row(evaluated: Any, tmp_path: Path) -> None:
    done = evaluated("--table", "--stride", "30")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert len(lines) == 11
    assert lines[0].split()[-3:] == ["GPT-2", "124M", "distance"]
    assert done.err == ""
    value = json.loads(evaluated("--table", "--stride", "30", "--json").out)
    assert value["published"] == "GPT-2 124M" and len(value["columns"]) == 10
    assert value["columns"][0]["distance"] == pytest.approx(value["columns"][0]["measured"] - 35.13)


def test_columns_without_data_are_left_out_and_named(evaluated: Any, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "text8").write_bytes((folder / "text8" / "text8").read_bytes())
    done = evaluated("--data", str(tmp_path / "some"), "--table")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert [row[0] for row in rows if row[2] != "-"] == ["text8"]
    assert "note: The data of 1bw are not here: " in done.err
    (tmp_path / "none").mkdir()
    nothing = evaluated("--data", str(tmp_path / "none"), "--table")
    assert nothing.code == 2
    assert "There is nothing to evaluate: The data of lambada are not here" in nothing.err


def test_a_file_under_another_name(evaluated: Any, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "mine.txt"
    other.write_bytes((folder / "ptb" / "ptb.test.txt").read_bytes().replace(b"cat", b"dog"))
    done = evaluated("--tasks", "ptb", "--source", f"ptb={other}", "--json")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["data"]["source"] == str(other)
    (usual,) = json.loads(evaluated("--tasks", "ptb", "--json").out)["results"]
    assert usual["data"]["sha256"] != result["data"]["sha256"]


def test_the_list_needs_no_model(command: Any) -> None:
    done = command("eval", "--list")
    assert done.code == 0
    assert "wikitext2         paper, hf, lm-eval, megatron" in done.out
    listed = json.loads(command("eval", "--list", "--json").out)
    assert listed["tasks"]["ptb"]["presets"] == ["paper", "megatron"]
    assert set(listed["presets"]) == {"paper", "hf", "lm-eval", "llm.c", "written", "megatron"}


def test_what_was_answered_is_kept(evaluated: Any, random_model: Path, tmp_path: Path) -> None:
    first = evaluated("--tasks", "text8", "--no-cache")
    assert not (tmp_path / "cache").exists()
    assert evaluated("--tasks", "text8").out == first.out
    fingerprint = LanguageModel.load(random_model).backend.fingerprint()
    (path,) = (tmp_path / "cache" / "evals").glob("*.sqlite")
    with AnswerStore(tmp_path / "cache" / "evals", fingerprint) as store:
        assert store.path == path
    assert evaluated("--tasks", "text8").out == first.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give --tasks NAMES or --table; gpt2lab eval --list shows the tasks."),
        (["--tasks", "ptb", "--table"], "Give --tasks NAMES or --table"),
        (["--tasks", "ptb,"], ""),
        (["--tasks", "pbt"], "Unknown task 'pbt'. Did you mean 'ptb'?"),
        (["--tasks", "lambada", "--stride", "3"], "--stride is for running text; none of these tasks is."),
        (["--tasks", "ptb", "--set", "lambada.width=3"], "--set 'lambada' names no task that is run"),
        (
            ["--tasks", "ptb", "--stride", "100"],
            "stride = 100 must be a whole number from 1 to the model's window of 64",
        ),
        (["--tasks", "hellaswag"], "The data of hellaswag are not here"),
        (["--tasks", "ptb", "--source", "pbt=a/b"], "--source 'pbt=a/b' names no task that is run; write TASK=WHERE"),
        (["--tasks", "ptb", "--source", "ptb"], "--source 'ptb' names no task that is run; write TASK=WHERE"),
        (["--tasks", "ptb", "--source", "ptb=no"], "'no' is neither a file that is here nor a dataset of the hub"),
    ],
)
def test_mistakes(evaluated: Any, arguments: list[str], words: str) -> None:
    done = evaluated(*arguments)
    assert done.code == (2 if words else 0), done.err
    assert words in done.err
    assert done.err.count("\n") == bool(words)


def test_evaluations_join_the_metrics_of_a_run(command: Any, tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    from gpt2lab.data import CorpusRecipe, prepare

    (tmp_path / "text.txt").write_text("the night train waited for my sister. " * 200, encoding="utf-8")
    prepare([tmp_path / "text.txt"], tmp_path / "corpus", CorpusRecipe(vocab_size=270, validation_share=0.1))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "small"\ndata = {json.dumps(str(tmp_path / "corpus"))}\nout = {json.dumps(str(tmp_path / "run"))}\n'
        "[model]\nn_positions = 64\nn_embd = 12\nn_layer = 1\nn_head = 2\n"
        "[train]\nsteps = 4\nbatch_size = 2\nvalidation_windows = 2\nthreads = 1\n",
        encoding="utf-8",
    )
    one = tmp_path / "eval"
    one.mkdir()
    (one / "hellaswag_val.jsonl").write_text("{}\n")
    refused = command("train", recipe, "--eval", "hellaswag", "--eval-data", one)
    assert refused.code == 2 and "line 1 is no question of HellaSwag" in refused.err
    assert not (tmp_path / "run").exists()
    done = command("train", recipe, "--eval", "1bw", "--eval-data", folder, "--eval-every", "2", "--eval-limit", "1")
    assert done.code == 0, done.err
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = {r["step"]: r["1bw/word_perplexity"] for r in records if "1bw/word_perplexity" in r}
    assert set(measured) == {2, 4}
    assert all(math.isfinite(value) for value in measured.values())
    shown = command("eval", "--tasks", "1bw", "--model", tmp_path / "run" / "model", "--data", folder, "--limit", "1",
                    "--no-cache", "--json")  # fmt: skip
    (result,) = json.loads(shown.out)["results"]
    assert result["figures"]["word_perplexity"]["value"] == pytest.approx(measured[4], rel=1e-6)

"""`gpt2lab models --compare` and `--masks`: tables and pictures of the surveyed models, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_the_comparison_as_a_table_and_as_json(command) -> None:
    code, out, err = command(
        *("models", "--compare", "--filter", "parameters>=340M", "--filter", "date<2019-05"),
        *("--sort", "parameters", "--descending"),
    )
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["GPT-2", "BERT", "MT-DNN"]
    models = json.loads(command("models", "--compare", "--json").out)["models"]
    assert len(models) == 16
    assert json.loads(command("models", "--compare", "--format", "json").out)["models"] == models
    assert command("models", "--compare", "--columns", "name, date", "--format", "csv").out.splitlines()[:2] == [
        "name,date",
        "ULMFiT,2018-01",
    ]


def test_the_comparison_into_a_file(command, tmp_path: Path) -> None:
    page = tmp_path / "models.html"
    assert command("models", "--compare", "--format", "html", "--output", page) == (0, "", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_masks_of_an_objective_and_of_a_model(command, tmp_path: Path) -> None:
    code, out, err = command("models", "--masks", "causal", "--sentence", "I am")
    assert (code, err) == (0, "")
    assert out.splitlines()[3:5] == [" I ■ ·  → am", "am ■ ■"]
    both = command("models", "--masks", "XLNet", "--seed", "4").out
    assert [line.partition(":")[0] for line in both.splitlines() if line.startswith("permutation")] == [
        "permutation",
        "permutation-content",
    ]
    assert command("models", "--masks", "xlnet", "--seed", "5").out != both
    (forward, backward) = json.loads(command("models", "--masks", "elmo", "--sentence", "I am", "--json").out)
    assert forward == {"objective": "causal", "rows": ["I", "am"], "columns": ["I", "am"], "targets": ["am", None],
                       "mask": [[1, 0], [1, 1]]}  # fmt: skip
    assert backward["mask"] == [[1, 1], [0, 1]]
    picture = tmp_path / "mask.svg"
    assert command("models", "--masks", "gpt2", "--format", "svg", "-o", picture) == (0, "", "")
    assert picture.read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sort", "date"], "--sort goes with --compare or --masks; give one of these too."),
        (["--descending"], "--descending goes with --compare or --masks; give one of these too."),
        (["--compare", "--json", "--format", "csv"], "--json and --format csv exclude each other; give one of them."),
        (["--compare", "--sort", "dat"], "'dat' is not a column. Did you mean 'date'? Columns: name, "),
        (["--compare", "--format", "pdf"], "--format = 'pdf' is not one of text, markdown, csv, json, html."),
        (
            ["--masks", "elmo", "--format", "svg"],
            "elmo has several masks; an SVG holds one of causal, backward: choose",
        ),
        (["--masks", "gpt3"], "'gpt3' is neither an objective (causal, "),
        (["--masks", "causal", "--sentence", "one"], "A sentence of 1 tokens is too short to draw"),
    ],
)
def test_mistakes(command, arguments: list[str], message: str) -> None:
    code, out, err = command("models", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("gpt2lab: ")
    assert message in err
    assert err.count("\n") == 1

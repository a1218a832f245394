"""The pages under docs/ name only what exists, and the decisions keep their form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gpt2lab.data.shards as shards
from gpt2lab.checkpoint.gguf import DTYPES
from gpt2lab.cli.app import COMMANDS
from gpt2lab.config import read_toml
from gpt2lab.tokenizer.writing import FORMATS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FOLDERS = "src|native|tests|docs|recipes|examples|benchmarks"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*\w/?)`", text):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_tour_leads_through_every_layer() -> None:
    stops = re.findall(r"^\d+\. `([^`]+)`", read("docs/tour.md"), re.MULTILINE)
    assert len(stops) == len(set(stops)) >= 15
    for layer in ("lm", "tokenizer", "model", "engine", "checkpoint", "cli", "train"):
        assert any(stop.startswith(f"src/gpt2lab/{layer}/") for stop in stops), layer
    assert any(stop.startswith("native/") for stop in stops)
    assert any(stop.startswith("tests/") for stop in stops)


def test_the_order_of_the_layers_is_the_one_that_is_checked() -> None:
    (contract,) = (c for c in read_toml(ROOT / "pyproject.toml")["tool"]["importlinter"]["contracts"]
                   if c["type"] == "layers")  # fmt: skip
    (drawn,) = re.findall(r"`(cli → [^`]+)`", " ".join(read("docs/tour.md").split()))
    levels = [{name.strip(" ()") for name in re.split(r"[|]", level)} for level in contract["layers"]]
    there = {p.stem for p in (ROOT / "src" / "gpt2lab").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert [set(level.split(" | ")) for level in drawn.split(" → ")] == [n & there for n in levels if n & there]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_short_and_numbered(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number = int(page.name[:4])
    assert re.match(rf"# 0*{number}[.:] \S", text)
    assert text.count("\n") <= 60
    assert re.search(r"(\*\*|^## )Decision", text, re.MULTILINE)


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_formats_names_what_is_written() -> None:
    text = read("docs/formats.md")
    for name in ("manifest.json", shards.TOKEN_BYTES, "metrics.jsonl", "run.json", "generation_config.json"):
        assert f"`{name}`" in text
    assert f"`format` ({shards.FORMAT})" in text
    for name in FORMATS:
        assert f"| `{name}` |" in text
    for name in DTYPES:
        assert name.upper() in text
    for field in shards.Manifest.__dataclass_fields__:
        assert f"`{field}`" in text


def test_the_changelog_names_the_version_and_every_command() -> None:
    text = read("CHANGELOG.md")
    version = read_toml(ROOT / "pyproject.toml")["project"]["version"]
    assert f"## [{version}]" in text
    assert "## [Unreleased]" in text
    for command in COMMANDS:
        assert re.search(rf"`(gpt2lab )?{command}\b", text), command


def test_the_hooks_run_what_make_check_runs() -> None:
    programs = set(re.findall(r"entry: \.venv/bin/([\w-]+)", read(".pre-commit-config.yaml")))
    check = read("Makefile").split("\ncheck:")[1].split("\n\n")[0]
    assert programs == set(re.findall(r"^\t\$\(VENV\)/bin/([\w-]+)", check, re.MULTILINE))

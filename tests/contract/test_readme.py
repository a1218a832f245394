"""The READMEs and docs/samples.md are true: commands run and print what is shown, and name only what exists."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpt2lab.config import read_toml

ROOT = Path(__file__).parents[2]
STALE = "out of date; run: python docs/refresh.py"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


refresh = load(ROOT / "docs" / "refresh.py")
ENGLISH, CHINESE = (path.read_text(encoding="utf-8") for path in refresh.READMES)
BLOCKS = refresh.blocks(ENGLISH)


def named(marker: str) -> list[str]:
    """Return the lines of the blocks under a marker."""
    return [line for block in BLOCKS if block.marker == marker for line in block.code.splitlines()]


def test_every_block_of_code_is_found() -> None:
    assert len(BLOCKS) == len(re.findall(r"^```(?:sh|python)$", ENGLISH, re.MULTILINE))
    assert {block.marker for block in BLOCKS} == {"", "make", "install", "network", "train", "serve"}
    assert sum(block.output is not None for block in BLOCKS) >= 5


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """What every block does, run in order in one folder, as a reader would."""
    ran: dict[Any, Any] = refresh.run_all(BLOCKS, tmp_path_factory.mktemp("readme"))
    return ran


@pytest.mark.parametrize("number", [i for i, block in enumerate(BLOCKS) if block.runs])
def test_code_runs_and_prints_what_is_shown(number: int, results: dict[Any, Any]) -> None:
    block = BLOCKS[number]
    ran = results[block]
    assert ran.code == 0, f"{block.code}\n{ran.err}"
    if block.output is not None:
        assert ran.out.rstrip("\n") == block.output.rstrip("\n"), f"README.md is {STALE}"


@pytest.mark.parametrize("page", refresh.PAGES, ids=lambda path: path.name)
def test_pages_show_what_is_printed_today(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = refresh.run_all(refresh.blocks(text), tmp_path)
    assert found
    assert all(ran.code == 0 for ran in found.values())
    assert refresh.refreshed(text, found) == text, f"{page.name} is {STALE}"


def test_the_chinese_readme_shows_the_same_code_and_output() -> None:
    assert refresh.blocks(CHINESE) == BLOCKS


def test_the_make_targets_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    lines = named("make")
    assert lines == ["make demo", "make test", "make story"]
    for line in lines:
        assert line.split()[1] in targets


def test_the_extras_named_at_installation_exist() -> None:
    extras = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    lines = named("install")
    assert lines
    for line in lines:
        match = re.fullmatch(r"python -m pip install '?\.(?:\[([\w,]+)\])?'?", line)
        assert match is not None, line
        assert set((match[1] or "").split(",")) - {""} <= set(extras)


@pytest.mark.parametrize("line", named("network"))
def test_commands_that_need_a_network_end_in_one_sentence_without_one(line: str, tmp_path: Path) -> None:
    ran = refresh.execute("sh", f"{line} --offline", tmp_path)
    assert ran.code == 2
    assert ran.out == ""
    assert re.fullmatch(
        r"gpt2lab: .* fetching it was not allowed \(offline\)\.( Where there is a network: gpt2lab download \S+)?\n",
        ran.err,
    ), ran.err


@pytest.mark.parametrize("readme", refresh.READMES, ids=lambda path: path.name)
def test_links_and_paths_of_the_tree_exist(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    (tree,) = re.findall(r"^```\n(src/gpt2lab/.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in tree.splitlines():
        names = re.match(r" *((?:[\w/]+/ +)+)", line)
        assert names is not None, line
        for name in names[1].split():
            assert (ROOT / ("src/gpt2lab" if line.startswith(" ") else "") / name).is_dir(), name


def test_packages_of_the_tree_are_all_there_are() -> None:
    packages = {p.parent.name for p in (ROOT / "src" / "gpt2lab").glob("*/__init__.py")}
    for package in packages:
        assert re.search(rf"\b{package}/ ", ENGLISH), f"README.md's tree lacks {package}/"
        assert re.search(rf"\b{package}/ ", CHINESE), f"README.zh.md's tree lacks {package}/"


def drawn(svg: str) -> dict[str, str]:
    """Return the text of a picture by the height of its lines."""
    lines: dict[str, str] = {}
    for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        y = element.get("y", "")
        lines[y] = lines.get(y, "") + (element.text or "").replace("\xa0", " ")
    return {y: line.rstrip() for y, line in lines.items()}


def test_the_picture_shows_what_is_printed_today() -> None:
    make = load(refresh.PICTURE.with_name("make.py"))
    shown = drawn(refresh.PICTURE.read_text(encoding="utf-8"))
    assert shown == drawn(make.picture()), f"{refresh.PICTURE.name} is {STALE}"
    assert any("gpt2lab generate" in line for line in shown.values())


def test_refreshing_puts_the_output_under_the_command(tmp_path: Path) -> None:
    text = "```sh\necho new\n```\n```text\nold\n```\n\n```sh\ntrue\n```\n"
    found = refresh.blocks(text)
    ran = {block: refresh.execute(block.language, block.code, tmp_path) for block in found}
    assert refresh.refreshed(text, ran) == text.replace("old", "new")

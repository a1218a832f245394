"""The survey of language models as a page: sorting and filtering in a browser, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.evals.survey.entries import COLUMNS, select, survey
from gpt2lab.evals.survey.tables import render


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    known = survey()
    file = tmp_path_factory.mktemp("survey") / "models.html"
    file.write_text(render(known, known.models, "html"), encoding="utf-8")
    return file


def shown(page) -> list[str]:
    """Return the names in the rows that can be seen, in order."""
    return page.eval_on_selector_all(
        "tbody tr", "rows => rows.filter(r => r.offsetParent).map(r => r.cells[0].innerText)"
    )


def names(column: str, *, descending: bool = False) -> list[str]:
    return [entry.name for entry in select(survey().models, sort=column, descending=descending)]


def click(page, column: str) -> None:
    page.click(f"th:nth-child({list(COLUMNS).index(column) + 1}) button")


@pytest.mark.parametrize("column", ["parameters", "width", "date"])
def test_a_click_sorts_as_the_command_does(open_page, page_file: Path, column: str) -> None:
    """Up, then down; what has no figure comes last both times."""
    page = open_page(page_file)
    values = {entry.name: getattr(getattr(entry.largest, column, None), "value", 0) for entry in survey().models}
    for descending in (False, True):
        click(page, column)
        found, expected = shown(page), names(column, descending=descending)
        head = page.locator(f"th:nth-child({list(COLUMNS).index(column) + 1})")
        assert head.get_attribute("aria-sort") == ("descending" if descending else "ascending")
        if column == "date":
            assert sorted(found) == sorted(expected)
            dates = page.eval_on_selector_all("tbody tr td:nth-child(2)", "cells => cells.map(c => c.dataset.v)")
            assert dates == sorted(dates, reverse=descending)
        else:
            assert [values[name] for name in found] == [values[name] for name in expected]
    click(page, "name")
    assert page.locator("th[aria-sort]").count() == 1


def test_typing_filters_and_what_is_typed_is_only_text(open_page, page_file: Path) -> None:
    page = open_page(page_file)
    everything = shown(page)
    assert len(everything) == len(survey().models)
    page.fill("input", "masked CHINESE")
    some = shown(page)
    assert 0 < len(some) < len(everything)
    assert {"ERNIE 1.0 (Baidu)", "BERT-wwm (Chinese)"} <= set(some)
    click(page, "parameters")
    assert set(shown(page)) == set(some)
    page.fill("input", "<img src=x onerror=alert(1)>")
    assert shown(page) == []
    page.fill("input", "")
    assert sorted(shown(page)) == sorted(everything)


def test_the_keyboard_alone_is_enough(open_page, page_file: Path) -> None:
    page = open_page(page_file)
    page.keyboard.press("Tab")
    page.keyboard.type("gpt-2")
    assert "GPT-2" in shown(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_attribute("th:first-child", "aria-sort") == "ascending"


def test_sources_lead_to_their_place_and_masks_are_drawn(open_page, page_file: Path, watched) -> None:
    page = open_page(page_file)
    page.click("tbody tr:first-child sup a >> nth=0")
    number = page.url.partition("#s")[2]
    assert page.locator(f"#s{number}:target").count() == 1
    masks = page.locator(".masks figure")
    assert masks.count() == page.locator(".masks svg").count() >= 8
    boxes = [box for i in range(masks.count()) if (box := masks.nth(i).locator("svg").bounding_box())]
    assert all(box["width"] > 50 and box["height"] > 50 for box in boxes)
    assert watched.requests == [page_file.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_telephone_scrolls_the_table_and_not_the_page(open_page, page_file: Path, dark: bool) -> None:
    page = open_page(page_file, width=390, height=844, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('.wide').scrollWidth") > 390
    lightness = page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    text = page.evaluate("getComputedStyle(document.body).color.match(/\\d+/g).map(Number)[0]")
    assert (text > 200) == dark
    if dark:
        assert lightness < 60

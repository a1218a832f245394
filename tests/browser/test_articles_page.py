"""The page of articles in a real Chromium: any box from the others, stopped, undone, and what to do without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from live_server import Live, live_server

NAMES = ["domain", "date", "authors", "title", "article"]
HOSTILE = "<b>bold</b><script>document.title='owned'</script> <|endoftitle|>"


@pytest.fixture(scope="module")
def press(article_model: Path) -> Iterator[Live]:
    """A server of the embedded model, which knows no fields, and one that does."""
    with live_server({"tiny": "tiny", "news": str(article_model)}) as server:
        yield server


def ready(page: Any) -> Any:
    page.wait_for_selector("#model select")
    return page


def box(page: Any, name: str) -> Any:
    return page.locator(f".box.{name} textarea")


def write(page: Any, name: str) -> str:
    page.locator(f".box.{name} .head .button").click()
    page.wait_for_function("() => document.querySelector('.box.writing') === null && told.textContent !== ''")
    return box(page, name).input_value()


def test_a_box_is_what_the_server_writes_from_the_others(open_page, press: Live) -> None:
    page = ready(open_page(f"{press.url}/articles/?seed=4"))
    assert page.locator("#model select option").all_inner_texts() == ["news"]
    box(page, "domain").fill("example.com")
    box(page, "title").fill(HOSTILE)
    written = write(page, "authors")
    body = {"model": "news", "target": "authors", "domain": "example.com", "title": HOSTILE, "seed": 4}
    assert written == httpx2.post(f"{press.url}/api/article", json=body, timeout=60).json()["text"] != ""
    assert page.locator(".box.authors .made").inner_text().strip() == written.strip()
    assert "written by the model" in page.inner_text(".box.authors .note")
    assert page.title() == "Articles · gpt2lab"
    assert page.locator(".back b, .back script").count() == 0


def test_again_undone_and_touched_by_hand(open_page, press: Live) -> None:
    page = ready(open_page(f"{press.url}/articles/"))
    box(page, "date").fill("yesterday")
    first = write(page, "date")
    assert first != "yesterday"
    page.get_by_role("button", name="Undo: Date").click()
    assert box(page, "date").input_value() == "yesterday"
    assert page.locator(".box.date .made").count() == 0
    assert not page.get_by_role("button", name="Undo: Date").is_visible()
    write(page, "date")
    box(page, "date").press("End")
    page.keyboard.type("!")
    assert page.locator(".box.date .made").count() == 0


def test_all_that_is_missing_is_written_and_kept(open_page, press: Live) -> None:
    page = ready(open_page(f"{press.url}/articles/?bodyLength=40"))
    box(page, "title").fill("A grey cat")
    page.click("#fill")
    page.wait_for_function("() => [...document.querySelectorAll('.box textarea')].every(b => b.value !== '')")
    page.wait_for_function("() => document.querySelector('.box.writing') === null")
    assert page.locator("#fill").is_disabled()
    texts = [box(page, name).input_value() for name in NAMES]
    assert texts[3] == "A grey cat"
    page.reload()
    ready(page)
    assert [box(page, name).input_value() for name in NAMES] == texts
    page.click("#clear")
    assert [box(page, name).input_value() for name in NAMES] == [""] * 5


def test_by_keyboard_and_stopped(open_page, press: Live) -> None:
    page = ready(open_page(f"{press.url}/articles/"))
    box(page, "title").fill("A grey cat")
    page.keyboard.press("Enter")
    assert box(page, "title").input_value() == "A grey cat"
    body = box(page, "article")
    body.focus()
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('.box.writing') === null")
    assert not body.evaluate("node => node.readOnly")
    assert page.locator(".failure").count() == 0


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_without_a_model_of_articles_the_page_says_how_to_train_one(open_page, live: Live, locale: str) -> None:
    page = open_page(f"{live.url}/articles/", width=390, height=844, dark=True, locale=locale)
    page.wait_for_selector("#absent:not([hidden])")
    said = page.inner_text("#absent")
    assert "gpt2lab article train news.jsonl --out runs/articles" in said
    assert "gpt2lab serve --model runs/articles/model" in said
    assert page.locator(".box .head .button:disabled").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

"""What every page owes its readers: a language, one heading, a name for all that can be used, enough contrast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt2lab.lm.model import LanguageModel
from live_server import Live, live_server

NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, textarea')].filter(e => {
  const label = e.labels && [...e.labels].map(l => l.textContent).join('');
  return !(e.getAttribute('aria-label') || label || e.textContent.trim() || e.title);
}).map(e => e.outerHTML)"""

# The contrast of every text that is shown, by WCAG's formula, against the first opaque background behind it.
PALE = """least => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('main *, header *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.blank, .out, [disabled], .offers, textarea, canvas, svg, td, .unread, .tokens')) continue;
    if (!e.checkVisibility()) continue;
    const colour = rgba(getComputedStyle(e).color);
    if (colour[3] < 255) continue;
    const [a, b] = [light(colour), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(`${e.className || e.tagName} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""

READY = {
    "/": "#options .option", "/desk/": "#model select", "/inside/": ".maps button[aria-pressed='true']",
    "/articles/": "#absent:not([hidden])", "/detect/": ".actions select", "/music/": "#studio:not([hidden])",
}  # fmt: skip


@pytest.fixture(scope="module")
def live(performer_folder: Path) -> Iterator[Live]:
    sources = {"tiny": "tiny", "music": str(performer_folder)}
    with live_server(sources, ready={"tiny": LanguageModel.load("tiny", threads=1)}) as server:
        yield server


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", READY)
def test_names_headings_language_and_contrast(open_page, live: Live, path: str, dark: bool) -> None:
    page = open_page(live.url + path, dark=dark, reduced_motion="reduce")
    page.wait_for_selector(READY[path])
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == page.locator("header nav").count() == 1
    assert page.evaluate(NAMELESS) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate(PALE, 4.5) == []


@pytest.mark.parametrize("path", READY)
def test_themes_and_languages_are_chosen_and_kept(open_page, live: Live, path: str) -> None:
    page = open_page(live.url + path)
    page.wait_for_selector(READY[path])
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="用中文显示").click()
    page.wait_for_function("() => document.documentElement.lang === 'zh-CN'")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


@pytest.mark.parametrize("path", READY)
def test_the_current_page_is_named_in_sight_on_a_narrow_screen(open_page, live: Live, path: str) -> None:
    page = open_page(live.url + path, width=390, height=844)
    box = page.locator(".site nav [aria-current]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390

"""The page "Who wrote it?" in a real Chromium: the server's numbers, colours that follow, hostile text, no verdict."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from live_server import Live

TEXT = (
    "The old sailor opened the door of the little house, and looked for a long time at the sea.\n\nIt was grey and "
    "quiet, and nothing moved upon it. <b>Then</b> he lit his pipe & waited for the 7:45 ferry to Brunsbüttel."
)


def measured(page: Any, text: str = TEXT) -> Any:
    page.locator("textarea").fill(text)
    page.locator("textarea").press("Control+Enter")
    page.wait_for_selector(".verdict")
    page.wait_for_function("() => !document.querySelector('#doing').textContent.includes('…')")
    return page


def classes(page: Any) -> list[str]:
    return page.locator(".tokens [role='button']").evaluate_all("nodes => nodes.map(n => n.className)")


def asked(live: Live, text: str = TEXT) -> dict[str, Any]:
    return httpx2.post(f"{live.url}/api/detect", json={"text": text}, timeout=60).json()


def test_verdict_colours_and_charts_are_the_servers(open_page, live: Live) -> None:
    page = measured(open_page(f"{live.url}/detect/"))
    expected = asked(live)
    about, tokens = expected["about"], expected["tokens"]
    said = page.locator(".verdict").inner_text()
    assert f"{about['probability']:.2f}" in said
    assert "Accuse nobody by it." in said
    assert f"Trained on {about['detector']['trained']['pairs']:,} pairs" in said
    assert page.locator(".tokens").evaluate("node => node.textContent").replace("\u200b", "") == TEXT
    assert page.locator(".tokens b, main img").count() == 0
    assert classes(page) == [f"r{sum(t['rank'] >= b for b in expected['bounds'])}" for t in tokens]
    charts = page.locator(".chart svg").evaluate_all("all => all.map(s => s.getAttribute('aria-label'))")
    counts = [[int(n) for n in label.rpartition(": ")[2].split(", ")] for label in charts]
    assert [sum(row) for row in counts] == [len(tokens)] * 3
    assert counts[1][-1] == sum(t["share"] >= 0.9 for t in tokens)
    numbers = page.locator(".methods td.number").all_inner_texts()
    assert numbers == [f"{m['value']:.3f}" for m in about["methods"].values()]


def test_bounds_modes_and_tokens_by_keyboard(open_page, live: Live) -> None:
    page = measured(open_page(f"{live.url}/detect/"))
    before = classes(page)
    for i in range(3):
        page.locator(".bounds input").nth(i).fill("5000")
    assert set(classes(page)) == {"r0"}
    page.get_by_role("radio", name="frac(p)").check()
    assert set(classes(page)) > {"r0"} and classes(page) != before
    assert page.url.endswith("?by=share")
    assert not page.locator(".bounds").is_visible()
    chosen = page.locator(".tokens [aria-pressed='true']")
    chosen.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert chosen.count() == 1
    assert page.locator(".guesses li").count() == 5
    assert "rank" in page.locator(".detail .facts").inner_text()


def test_what_is_too_short_gets_no_verdict(open_page, live: Live) -> None:
    page = measured(open_page(f"{live.url}/detect/"), "Only a few words.")
    assert page.inner_text(".verdict h2") == "Too short to say"
    assert page.locator(".gauge").count() == 0
    assert page.locator(".among").all_inner_texts() == [""] * 7
    page.reload()
    assert page.locator("textarea").input_value() == "Only a few words."
    page.click("#clear")
    assert page.locator("#measure").is_disabled()


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_a_telephone(open_page, live: Live, locale: str) -> None:
    page = measured(open_page(f"{live.url}/detect/", width=390, height=844, dark=True, locale=locale))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.inner_text("h1") == ("Did a machine write this?" if locale == "en" else "这是机器写的吗？")

"""Looking inside in a real Chromium: numbers are the library's, choices are followed, the kept page stands alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.neurons import neurons
from live_server import Live

TEXT = "The old man opened the door and looked at the sea."
HOSTILE = "</script><img src=x onerror=alert(1)> & <b>bold</b>"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


def look(open_page: Any, live: Live, text: str = TEXT, more: str = "", **options: Any) -> Any:
    page = open_page(f"{live.url}/inside/?text={quote(text)}{more}", **options)
    page.wait_for_selector(".maps button[aria-pressed='true']")
    return page


def test_the_numbers_are_the_librarys(open_page, live: Live, lm: LanguageModel) -> None:
    page = look(open_page, live)
    found = lm.inspect(TEXT)
    titles = page.locator(".tokens button[title]").evaluate_all("all => all.map(b => b.title)")
    assert titles == [f"{bits:.1f} bits" for bits in found.surprises[1:]]
    assert page.locator(".tokens").inner_text().replace("start", "", 1).replace("\u200b", "").strip() == TEXT
    assert page.locator(".maps button").count() == lm.config.n_layer * lm.config.n_head
    assert lm.tokenizer is not None
    last = lm.config.n_layer
    expected = [lm.tokenizer.token_text(int(i)) for i in found.inside.top_ids[last, :, 0]]
    top = page.locator(".lens tbody tr").first.locator("td").all_inner_texts()
    assert top == [text.replace(" ", "·").replace("\n", "↵") for text in expected]
    right = page.locator(".lens tbody tr").first.locator("td.right").count()
    assert right == int((found.inside.ranks[last] == 0).sum())


def test_a_head_and_a_token_are_followed_and_stand_in_the_address(open_page, live: Live, lm: LanguageModel) -> None:
    page = look(open_page, live)
    page.locator(".maps button").nth(2 * lm.config.n_head + 1).click()
    assert page.get_by_text("layer 3, head 2").first.is_visible()
    page.locator(".tokens button").nth(7).click()
    assert {k: v[0] for k, v in parse_qs(urlsplit(page.url).query).items() if k != "text"} == {
        "at": "7", "layer": "2", "head": "1",
    }  # fmt: skip
    maps = lm.inspect(TEXT).inside.attentions[2, 1, 7]
    strong = [(j, p) for j, p in enumerate(maps[:8]) if j > 0 and p >= 0.03]
    shown = page.locator(".lines path title").evaluate_all("all => all.map(t => t.textContent)")
    assert len(shown) == len(strong)
    assert [float(s.split()[-2]) for s in shown] == pytest.approx([100 * p for _, p in strong], abs=0.06)
    page.reload()
    page.wait_for_selector(".maps button[aria-pressed='true']")
    assert page.locator(".tokens button").nth(7).get_attribute("aria-pressed") == "true"
    assert page.locator(".lines path").count() == len(strong)


def test_by_keyboard(open_page, live: Live) -> None:
    page = look(open_page, live, more="&at=3")
    page.locator(".tokens button[aria-pressed='true']").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tokens button").nth(4).get_attribute("aria-pressed") == "true"
    page.locator(".maps button[aria-pressed='true']").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.locator("textarea").fill("Another text.")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('.tokens').innerText.includes('Another')")
    page.go_back()
    page.wait_for_function("() => document.querySelector('.tokens').innerText.includes('door')")


@pytest.mark.parametrize("dark", [False, True])
def test_the_large_map_is_drawn(open_page, live: Live, dark: bool) -> None:
    page = look(open_page, live, dark=dark)
    colours = page.evaluate(
        "(() => { const c = document.querySelector('.map canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const seen = new Set();"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);"
        "return seen.size; })()"
    )
    assert colours > 50


def test_the_kept_page_needs_nothing_else(open_page, live: Live, watched, tmp_path: Path) -> None:
    page = look(open_page, live, HOSTILE)
    assert page.locator("main img").count() == 0
    with page.expect_download() as download:
        page.click("#save")
    file = tmp_path / "inside.html"
    download.value.save_as(file)
    watched.requests.clear()
    alone = open_page(file, dark=True)
    alone.wait_for_selector(".maps button[aria-pressed='true']")
    assert alone.locator(".tokens").inner_text().replace("start", "", 1).replace("\u200b", "").strip() == HOSTILE
    assert alone.locator("main img, main b").count() == alone.locator("main .heading b").count()
    assert [urlsplit(url).scheme for url in watched.requests] == ["file"]
    alone.get_by_role("button", name="one token back").click()
    assert alone.locator(".neurons").count() == alone.get_by_role("button", name="Leave").count() == 0


def test_a_narrow_screen(open_page, live: Live) -> None:
    page = look(open_page, live, width=390, height=844, locale="zh-CN")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.inner_text("h1") == "看进内部"


def test_neurons_follow_the_steps_and_are_the_librarys(open_page, live: Live, lm: LanguageModel) -> None:
    page = look(open_page, live, more="&at=3&layer=1")
    shown = "[...document.querySelectorAll('.neurons:not(.waiting) li:not(.heads) > .number')].map(e => e.textContent)"

    def wait_for(at: int, layer: int) -> None:
        expected = [f"#{n.number}" for n in neurons(lm, TEXT, layer=layer, at=at)]
        page.wait_for_function(f"e => {shown}.join() === e", arg=",".join(expected))

    wait_for(3, 1)
    page.get_by_role("button", name="one layer on").click()
    page.get_by_role("button", name="one token back").click()
    wait_for(2, 2)
    assert page.locator(".lens tbody th.here").inner_text() == "layer 3"
    assert page.locator(".tokens button[aria-pressed='true']").inner_text().strip() == "old"
    page.get_by_role("button", name="one token back").focus()
    page.keyboard.press("ArrowRight")
    wait_for(3, 2)
    found = neurons(lm, TEXT, layer=2, at=3)
    assert lm.tokenizer is not None
    first = page.locator(".neurons li:not(.heads)").first.locator(".effects").first.locator(".token")
    promoted = [lm.tokenizer.token_text(i).replace(" ", "·").replace("\n", "↵") for i, _ in found[0].promotes]
    assert first.all_inner_texts()[:5] == promoted


def test_a_token_is_left_out_and_put_back(open_page, live: Live, lm: LanguageModel) -> None:
    page = look(open_page, live, more="&at=2")
    titles = "all => all.map(b => b.title)"
    before = page.locator(".tokens button[title]").evaluate_all(titles)
    page.get_by_role("button", name="Leave this token out").click()
    page.wait_for_selector(".tokens button.out")
    ids = lm.score(TEXT).token_ids
    whole = lm.inspect(TEXT).surprises
    less = -lm.score(token_ids=[ids[0], *ids[2:]]).logprobs / math.log(2)
    change = [float(less[at - 2]) - whole[at] for at in range(3, len(whole))]
    said = page.locator(".tokens button[title]").evaluate_all(titles)
    assert said[0] == "+0.00 bits"
    numbers = [float(text.replace("−", "-").split()[0]) for text in said[2:]]
    assert numbers == pytest.approx(change, abs=0.006)
    assert f"{abs(sum(change)):.2f}" in page.locator(".scale .sum").inner_text()
    page.get_by_role("button", name="Put it back").click()
    page.wait_for_selector(".tokens:not(:has(.out))")
    assert page.locator(".tokens button[title]").evaluate_all(titles) == before

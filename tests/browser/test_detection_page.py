"""The page of `gpt2lab detect --html`: a file that any browser shows, with colours, charts and tips."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = 'The old <script>alert(1)</script> sailor & "his" <img src=x onerror=alert(2)> naïve cat.\n\nIt slept all day.'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gpt2lab.apps.detect.page import page
    from gpt2lab.apps.detect.reading import Reader
    from gpt2lab.lm.model import LanguageModel

    reader = Reader(LanguageModel.load("tiny", threads=1), name="tiny")
    path = tmp_path_factory.mktemp("page") / "report.html"
    texts = [("<b>one</b>.txt", reader.read(TEXT, top=10), None), ("two", reader.read(TEXT * 3, top=10), None)]
    path.write_text(page(texts, None, reader.tokenizer.token_text), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_text_is_shown_as_it_is(open_page, watched, report: Path, width: int, dark: bool) -> None:
    page = open_page(report, width=width, height=900, dark=dark)
    assert page.locator(".text").first.evaluate("node => node.textContent") == TEXT
    assert page.locator("h2").first.inner_text() == f"<b>one</b>.txt ({len(TEXT.split())} words)"
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_follow_bounds_and_mode_and_tips_tell_the_likeliest(open_page, watched, report: Path) -> None:
    page = open_page(report, width=1280, height=900)
    section = page.locator("section").first
    spans = section.locator(".text span")
    assert {c[:1] for c in spans.evaluate_all("nodes => nodes.map(n => n.className)")} == {"r"}
    section.locator("input").first.fill("1")
    narrow = spans.evaluate_all("nodes => nodes.filter(n => n.className === 'r0').length")
    for i in range(3):
        section.locator("input").nth(i).fill("5000")
    assert spans.evaluate_all("nodes => nodes.filter(n => n.className !== 'r0').length") == 0
    assert narrow < spans.count()
    section.locator("select").select_option("share")
    assert spans.evaluate_all("nodes => nodes.filter(n => n.className !== 'r0').length") > 0
    spans.nth(3).focus()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text().startswith("rank ")
    assert len(tip.inner_text().splitlines()) == 6
    spans.nth(3).evaluate("node => node.blur()")
    assert not tip.is_visible()
    assert section.locator("figure").count() == 3

"""The explorer in a real Chromium: choose, undo, come back by the address, switch models, keys alone, hostile text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from gpt2lab.lm.model import LanguageModel
from live_server import Live, live_server

TEXT = "The old man looked at the"
HOSTILE = "<img src=x onerror=alert(1)><script>document.title='owned'</script>&amp;"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def live(lm: LanguageModel, random_model) -> Iterator[Live]:
    with live_server({"tiny": "tiny", "random": str(random_model)}, ready={"tiny": lm}) as server:
        yield server


def ready(page: Any) -> Any:
    """Wait until the list answers the text that is shown."""
    page.wait_for_selector("#options:not(.waiting) .option")
    return page


def at(live: Live, **given: object) -> str:
    return f"{live.url}/?" + "&".join(f"{name}={quote(str(value))}" for name, value in given.items())


def text_of(page: Any) -> str:
    return page.locator("textarea").input_value()


def tokens_of(page: Any) -> list[str]:
    return page.locator(".option .token").all_inner_texts()


def address(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def choose(page: Any, place: int) -> None:
    before = text_of(page)
    page.locator(".option > button").nth(place).click()
    page.wait_for_function("t => document.querySelector('textarea').value !== t", arg=before)
    ready(page)


def test_the_list_is_the_librarys(open_page, live: Live, lm: LanguageModel) -> None:
    page = ready(open_page(at(live, text=TEXT, k=7)))
    expected = lm.next_tokens(TEXT, k=7)
    assert tokens_of(page) == [text.replace(" ", "·").replace("\n", "↵") for _, text, _ in expected]
    shown = [float(v.split()[0]) for v in page.locator(".option .value").all_inner_texts()]
    assert shown == pytest.approx([100 * p for _, _, p in expected], abs=0.06)
    held = f"7 of 4,096 tokens hold {100 * sum(p for _, _, p in expected):.1f} %"
    page.wait_for_function("t => document.querySelector('#mass-note').innerText.includes(t)", arg=held)


def test_choosing_undoing_and_coming_back(open_page, live: Live, lm: LanguageModel) -> None:
    page = ready(open_page(at(live, text=TEXT)))
    first = lm.next_tokens(TEXT, k=3)[2][1]
    choose(page, 2)
    assert text_of(page) == TEXT + first
    assert address(page)["text"] == TEXT + first
    choose(page, 0)
    longer, listed = text_of(page), tokens_of(page)
    page.reload()
    assert (text_of(ready(page)), tokens_of(page)) == (longer, listed)
    page.click("#undo")
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT + first)
    page.go_back()
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT)
    ready(page)
    page.go_forward()
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT + first)


def test_a_link_gives_the_same_page_elsewhere(open_page, live: Live, lm: LanguageModel) -> None:
    """Chosen letters are other tokens than the text they spell: the address carries the ids."""
    assert lm.tokenizer is not None
    letters = [lm.tokenizer.encode(c)[0] for c in "the"]
    page = ready(open_page(at(live, ids=",".join(map(str, letters)), text="the")))
    page.wait_for_function("() => location.search.includes('ids=')")
    listed = tokens_of(page)
    assert listed != tokens_of(ready(open_page(at(live, text="the"))))
    assert tokens_of(ready(open_page(page.url))) == listed


def test_typing_is_one_step_back(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text="A")))
    page.locator("textarea").press("End")
    page.keyboard.type(" house", delay=20)
    page.wait_for_function("() => location.search.includes('house')")
    ready(page)
    assert tokens_of(page)
    page.go_back()
    page.wait_for_function("() => document.querySelector('textarea').value === 'A'")


def test_a_click_asks_two_short_questions_and_nothing_twice(open_page, live: Live, watched) -> None:
    page = ready(open_page(at(live, text=TEXT)))
    before = live.model("tiny").scheduler.prefixes.statistics()
    watched.requests.clear()
    choose(page, 0)
    after = live.model("tiny").scheduler.prefixes.statistics()
    asked = sorted(path for url in watched.requests if (path := urlsplit(url).path).startswith("/api"))
    assert asked == ["/api/next", "/api/tokens"]
    assert after.asked_tokens - before.asked_tokens == after.found_tokens - before.found_tokens > 0


def test_settings_stand_beside_the_model(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text=TEXT, temperature=0.7, top_k=3)))
    assert page.locator(".heads").is_visible()
    after = page.locator(".option .value.after").all_inner_texts()
    assert after[3:] == ["–"] * 7
    assert sum(float(v.split()[0]) for v in after[:3]) == pytest.approx(100, abs=0.2)
    assert "settings leave 3" in page.inner_text("#mass-note")


def test_words_and_paths(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text=TEXT, view="words")))
    assert all(word.count("·") <= 1 for word in tokens_of(page))
    page.get_by_role("radio", name="Paths").check()
    page.wait_for_selector("#options.long:not(.waiting) .option")
    assert address(page)["view"] == "paths"
    path = page.locator(".option .token").first.inner_text().replace("·", " ").replace("↵", "\n")
    choose(page, 0)
    assert text_of(page) == TEXT + path


def test_looking_ahead_and_choosing_as_far_as_wanted(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text=TEXT, steps=4)))
    option = page.locator(".option").first
    assert option.locator(".rest").count() == 3
    option.locator(".rest").nth(1).click()
    page.wait_for_function("t => document.querySelector('textarea').value !== t", arg=TEXT)
    ready(page)
    assert "9 tokens" in page.inner_text("#about")


def test_models_are_switched(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text="the old sailor")))
    before = tokens_of(page)
    page.select_option("#model select", "random")
    page.wait_for_function("before => document.querySelector('.option .token').innerText !== before", arg=before[0])
    assert address(ready(page))["model"] == "random"
    page.go_back()
    page.wait_for_function("before => document.querySelector('.option .token').innerText === before", arg=before[0])
    assert page.locator("#model select").input_value() == "tiny"


def test_by_keyboard_alone(open_page, live: Live, lm: LanguageModel) -> None:
    page = ready(open_page(at(live, text=TEXT)))
    page.locator("textarea").focus()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.option') !== null")
    second = lm.next_tokens(TEXT, k=2)[1][1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT + second)
    ready(page)
    assert page.evaluate("document.activeElement.closest('.option') !== null")
    page.keyboard.press("u")
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT)
    ready(page)
    page.keyboard.press("2")
    page.wait_for_function("t => document.querySelector('textarea').value === t", arg=TEXT + second)
    ready(page)
    page.keyboard.press("r")
    page.wait_for_function("t => document.querySelector('textarea').value.length > t", arg=len(TEXT + second))
    ready(page)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"


def test_a_long_text_says_what_the_model_reads(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text="On and on it went. " * 150)))
    assert "The model reads the last" in page.inner_text("#hint")
    assert page.locator(".piece.unread").count() > 0
    assert page.locator(".piece").last.get_attribute("class") != "piece unread"


def test_hostile_text_stays_text(open_page, live: Live) -> None:
    page = ready(open_page(at(live, text=HOSTILE)))
    assert text_of(page) == HOSTILE
    assert page.locator(".back").inner_text().strip("\u200b\n") == HOSTILE
    assert page.locator("main img, main script").count() == 0
    choose(page, 0)
    assert text_of(page).startswith(HOSTILE)
    assert page.title() == "Explorer · gpt2lab"


def test_what_is_shown_lies_under_what_is_typed(open_page, live: Live) -> None:
    """The drawing and the text area break their lines alike, or the cursor would stand elsewhere than the letters."""
    page = ready(open_page(at(live, text="When the rain had stopped, the old man went out. " * 12), width=390))
    heights = page.evaluate("[...document.querySelectorAll('.editor > *')].map(e => e.scrollHeight)")
    assert abs(heights[0] - heights[1]) <= 2


@pytest.mark.parametrize(("dark", "locale"), [(False, "en"), (True, "zh-CN")])
def test_nothing_is_wider_than_a_telephone(open_page, live: Live, dark: bool, locale: str) -> None:
    page = ready(open_page(at(live, text=TEXT, top_k=5, steps=3), width=390, height=844, dark=dark, locale=locale))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.inner_text("h1") == ("下一个词是什么？" if locale == "zh-CN" else "Which word comes next?")
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 380) == dark


def test_a_failure_is_told_and_can_be_tried_again(open_page, live: Live, watched) -> None:
    page = ready(open_page(at(live, text=TEXT)))
    watched.expect("404")
    page.goto(at(live, text=TEXT, model="none"))
    page.wait_for_selector(".failure")
    assert "The model 'none' is not served here" in page.inner_text(".failure")

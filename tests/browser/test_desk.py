"""The writing desk in a real Chromium: three offers in place, accepted, dismissed, undone; the story; hostile text."""

from __future__ import annotations

from typing import Any

from live_server import Live

TEXT = "The sea was calm, and the"


def text_of(page: Any) -> str:
    return page.locator("textarea").input_value()


def offered(page: Any) -> list[str]:
    page.wait_for_selector(".offers")
    page.wait_for_function("() => document.querySelectorAll('.offer.writing').length === 0")
    return page.locator(".offer .said").all_inner_texts()


def begin(page: Any, text: str = TEXT) -> Any:
    page.locator("textarea").fill(text)
    page.locator("textarea").press("End")
    return page


def test_tab_offers_three_and_tab_takes_one(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/?seed=7&length=12"))
    page.keyboard.press("Tab")
    assert len(offered(page)) == 3
    page.keyboard.press("ArrowDown")
    chosen = page.locator(".offer[aria-selected='true'] .said").inner_text()
    assert chosen == offered(page)[1]
    page.keyboard.press("Tab")
    assert page.locator(".offers").count() == 0
    assert text_of(page).startswith(TEXT)
    assert text_of(page)[len(TEXT) :].strip() == chosen.strip()
    assert page.locator(".editor .made").inner_text().strip() == chosen.strip()
    assert "by the model" in page.inner_text("#about")
    page.keyboard.press("Control+z")
    assert text_of(page) == TEXT
    assert page.locator(".editor .made").count() == 0


def test_an_offer_goes_where_the_cursor_is(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/?seed=7&length=4"), "First part. Last part.")
    for _ in range(len(" Last part.")):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    offered(page)
    page.keyboard.press("3")
    assert text_of(page).startswith("First part.")
    assert text_of(page).endswith(" Last part.")
    assert len(text_of(page)) > len("First part. Last part.")
    page.keyboard.type("!")
    made = page.locator(".editor .made").inner_text()
    assert "!" not in made


def test_dismissed_by_escape_and_by_typing_and_left_by_tab(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/?seed=7&length=4"))
    page.keyboard.press("Tab")
    offered(page)
    page.keyboard.type(" sky")
    assert page.locator(".offers").count() == 0
    assert text_of(page) == TEXT + " sky"
    page.keyboard.press("Tab")
    offered(page)
    page.keyboard.press("Escape")
    assert page.locator(".offers").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "ask"
    assert text_of(page) == TEXT + " sky"


def test_the_text_is_still_there_tomorrow(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/"))
    page.reload()
    assert text_of(page) == TEXT
    page.click("#clear")
    page.reload()
    assert text_of(page) == ""


def test_a_story_is_told_and_stopped(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/?preset=story&seed=7&length=400"), "Once upon a time")
    assert page.inner_text("h1") == "This story does not exist"
    page.click("#ask")
    page.wait_for_function("() => document.querySelector('textarea').value.length > 40")
    page.click("#ask")
    page.wait_for_function("() => !document.querySelector('textarea').readOnly")
    assert page.inner_text("#ask") == "Tell more"
    assert text_of(page).startswith("Once upon a time")
    page.wait_for_timeout(300)
    told = text_of(page)
    page.wait_for_timeout(300)
    assert text_of(page) == told


def test_a_story_that_is_cut_off_says_so_and_keeps_what_there_is(open_page, live: Live) -> None:
    page = begin(open_page(f"{live.url}/desk/?preset=story&seed=7"), "Once upon a time")
    piece = '{"choices": [{"index": 0, "text": " there", "finish_reason": null}]}'
    page.route("**/v1/completions", lambda route: route.fulfill(body=f"data: {piece}\n\n"))
    page.click("#ask")
    page.wait_for_function("() => document.body.innerText.includes('The server does not answer')")
    assert text_of(page) == "Once upon a time there"


def test_hostile_text_stays_text_and_fits_a_telephone(open_page, live: Live) -> None:
    hostile = "<b onmouseover=alert(1)>bold</b><script>document.title='owned'</script>"
    page = begin(open_page(f"{live.url}/desk/?seed=7&length=8", width=390, height=844), hostile)
    page.click("#ask")
    offered(page)
    page.locator(".offer").first.click()
    assert text_of(page).startswith(hostile)
    assert page.locator(".editor b, .editor script").count() == 0
    assert page.title() == "Writing desk · gpt2lab"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

"""What the other browser tests rely on: a request that leaves, a console error and a script's error are all noticed."""

from __future__ import annotations

from pathlib import Path

import pytest


def page_with(folder: Path, body: str) -> Path:
    file = folder / "page.html"
    file.write_text(f'<!doctype html><meta charset="utf-8"><title>Page</title>{body}', encoding="utf-8")
    return file


def look(browser, watched, file: Path):
    """Open a file under a watch of its own, and return what that saw."""
    seen = type(watched)()
    with browser.new_context() as context:
        seen.attach(context)
        page = context.new_page()
        page.goto(file.as_uri())
        for _ in range(100):
            if seen.outside or seen.problems:
                break
            page.wait_for_timeout(50)
    return seen


def test_a_quiet_page_is_let_pass(open_page, watched, tmp_path: Path) -> None:
    page = open_page(page_with(tmp_path, "<p>你好</p>"), width=390, height=700, dark=True, locale="zh-CN")
    assert page.inner_text("p") == "你好"
    assert page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, navigator.language]") == [
        390,
        True,
        "zh-CN",
    ]
    assert watched.requests == [page.url]


@pytest.mark.parametrize(
    "body",
    [
        '<img src="http://192.0.2.1/picture.png">',
        '<link rel="stylesheet" href="https://fonts.example.com/css">',
        '<script>fetch("https://example.com/api").catch(() => 0)</script>',
        '<script>new WebSocket("ws://192.0.2.1/talk")</script>',
    ],
    ids=["picture", "stylesheet", "fetch", "socket"],
)
def test_a_request_that_leaves_is_noticed(browser, watched, tmp_path: Path, body: str) -> None:
    seen = look(browser, watched, page_with(tmp_path, body))
    assert len(seen.outside) == 1
    assert seen.outside[0] in body


@pytest.mark.parametrize(
    "body", ["console.error('it broke')", "throw new Error('it broke')"], ids=["console", "script"]
)
def test_an_error_is_noticed(browser, watched, tmp_path: Path, body: str) -> None:
    seen = look(browser, watched, page_with(tmp_path, f"<script>{body}</script>"))
    (problem,) = seen.problems
    assert "it broke" in problem
    seen.expect("broke")
    assert (seen.problems, seen.missing) == ([], [])


def test_an_expected_error_must_come(watched) -> None:
    watched.expect("it broke")
    assert watched.missing == ["it broke"]

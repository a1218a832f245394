"""A real Chromium for the pages: started once for a test file, and whatever a page asks for or complains of is kept.

`open_page(url, ...)` gives a playwright `Page` in a profile of its own. A request that would leave this machine is
refused and fails the test, and so does an error on the console or in a script, unless the test says that it means it:
`watched.expect("part of the message")`.

pip does not install the browser. It is looked for in $GPT2LAB_CHROMIUM, then on the path (Debian, Ubuntu: apt install
chromium); tests that miss it are skipped and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not here (pip install playwright)")

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""Nothing of the browser's own goes out, and no name is looked up: a request that slips through fails at once."""

INSIDE = ("about", "blob", "data", "file")
HERE = ("127.0.0.1", "localhost")

OpenPage = Callable[..., Any]


class Watched:
    """What the pages of one test asked for, and what went wrong in them."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.outside: list[str] = []
        self._problems: list[str] = []
        self._expected: list[str] = []

    @property
    def problems(self) -> list[str]:
        """Errors of the console and of scripts, less those that the test means to cause."""
        return [p for p in self._problems if not any(part in p for part in self._expected)]

    def expect(self, part: str) -> None:
        """Take an error whose message has this part for meant: it must come, and does not fail the test."""
        self._expected.append(part)

    @property
    def missing(self) -> list[str]:
        """What the test expected and did not come."""
        return [part for part in self._expected if not any(part in p for p in self._problems)]

    def attach(self, context: Any) -> None:
        """Watch every page of a browser context."""
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", lambda message: self._said(message.type, message.text))
        context.on("weberror", lambda error: self._problems.append(str(error.error)))
        context.route(lambda url: not stays(url), lambda route: route.abort())
        context.route_web_socket(lambda url: not stays(url), self._refuse)

    def _asked(self, url: str) -> None:
        (self.requests if stays(url) else self.outside).append(url)

    def _refuse(self, socket: Any) -> None:
        self._asked(socket.url)
        socket.close()

    def _said(self, kind: str, text: str) -> None:
        if kind == "error":
            self._problems.append(text)


def stays(url: str) -> bool:
    """Whether what an address names is on this machine."""
    parts = urlsplit(url)
    return parts.scheme in INSIDE or parts.hostname in HERE


def find_chromium() -> str | None:
    """Return the browser's path, None where there is none."""
    named = os.environ.get("GPT2LAB_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    return next(filter(None, map(shutil.which, NAMES)), None)


# The browser lives as long as a file's tests, not the session: playwright keeps an event loop running in this thread,
# and tests of other files may want to run one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is here (apt install chromium, or set GPT2LAB_CHROMIUM to its path)")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, headless=True, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def watched() -> Watched:
    """What this test's pages asked for and complained of."""
    return Watched()


@pytest.fixture
def open_page(browser: Any, watched: Watched) -> Iterator[OpenPage]:
    """Return a function that opens an address or a file: open_page(url, width=390, height=844, dark=True) -> Page.

    Further options are those of playwright's `Browser.new_context` (locale, offline, reduced_motion, ...). At the end
    of the test the pages are closed, and what went wrong in them fails it.
    """
    contexts = []

    def show(url: str | Path, *, width: int = 1280, height: int = 800, dark: bool = False, **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        watched.attach(context)
        page = context.new_page()
        page.goto(url.resolve().as_uri() if isinstance(url, Path) else url)
        return page

    yield show
    for context in contexts:
        context.close()
    assert not watched.outside, "requests that leave this machine"
    assert not watched.problems, "errors in the page"
    assert not watched.missing, "errors that were expected and did not come"

"""The steps of cleaning: what each changes and why a document is left out."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2lab.config import from_dict
from gpt2lab.data.filters import Dropped, FilterRecipe, cleaner, steps_of
from gpt2lab.errors import ConfigError

PROSE = "The old sailor walked slowly to the harbour, and there he waited for the night train. " * 4


def clean(step: str, text: str, **thresholds: Any) -> str:
    return cleaner(step, FilterRecipe(**thresholds))(text)


def test_sets_are_spread_out_and_steps_run_once() -> None:
    assert steps_of("none") == ()
    assert steps_of(["books", "web"]) == ("books", *steps_of("web"))
    assert steps_of(["length", "web"])[0] == "length"
    assert steps_of(["length", "web"]).count("length") == 1


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\u2028d\u2029e", "a\nb\nc\nd\ne"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
        ("a\x00\x07b\x7f\ufeff\u200bc\td", "abc\td"),
        ("line \t\nnext\u00a0\n", "line\nnext"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),  # joiners are part of what they join
    ],
)
def test_unicode_is_made_regular(text: str, cleaned: str) -> None:
    assert clean("unicode", text) == cleaned


@pytest.mark.parametrize(
    "line",
    [
        "Home | About | Contact",
        "News » Sport » Football",
        "Copyright 2019 The Times. Some more words here",
        "© 2020 Example",
        "All rights reserved.",
        "Privacy Policy",
        "This site uses cookies",
        "Please enable JavaScript",
        "Sign in",
        "Subscribe to our newsletter",
        "Share this on Facebook",
        "Click here to read the terms",
        "Read more",
        "Skip to content",
        "12 comments",
        "Leave a reply",
        "Advertisement",
    ],
)
def test_what_belongs_to_the_site_goes(line: str) -> None:
    assert clean("boilerplate", f"Before.\n\n{line}\n\nAfter.") == "Before.\n\nAfter."


@pytest.mark.parametrize(
    "line",
    [
        "He clicked the door shut and read more of the letter than was good for him.",
        "Share prices fell on Monday.",
        "Next morning they left.",
        "The sign in the window said nothing",
        "x | y",
        "| a | b | c |" * 30,
    ],
)
def test_what_only_resembles_it_stays(line: str) -> None:
    assert clean("boilerplate", line) == line


def test_lines_are_kept_once() -> None:
    text = f"{PROSE}\nAgain.\n\nother\nAgain.\n\nlast"
    assert clean("repeats", text) == f"{PROSE}\nAgain.\n\nother\n\nlast"
    assert clean("repeats", "a\n\nb\n\nc") == "a\n\nb\n\nc"
    with pytest.raises(Dropped, match="repeats itself"):
        clean("repeats", "the same line\n" * 5)
    assert clean("repeats", "the same line\n" * 5, max_repeated_share=1) == "the same line\n"


def test_length_has_two_ends() -> None:
    assert clean("length", "x" * 200) == "x" * 200
    with pytest.raises(Dropped, match="too short"):
        clean("length", "x" * 199)
    with pytest.raises(Dropped, match="too long"):
        clean("length", "x" * 301, max_characters=300)


@pytest.mark.parametrize("text", ["<<== {x}; [y] ==>> // ||", "→ ★ ★ → ♥ « é »", "__--__--"])
def test_mostly_symbols(text: str) -> None:
    with pytest.raises(Dropped, match="mostly symbols"):
        clean("symbols", text)
    assert clean("symbols", text, max_symbol_share=1) == text


@pytest.mark.parametrize("text", [PROSE, "Ünïcödé wörds, 漢字。", "1 2 3"])
def test_not_mostly_symbols(text: str) -> None:
    assert clean("symbols", text) == text


def test_other_languages_are_left_out() -> None:
    pytest.importorskip("py3langid")
    german = "Der alte Seemann ging langsam zum Hafen und wartete dort auf den Nachtzug. " * 4
    assert clean("language", german) == german
    assert clean("language", PROSE, languages=("en",)) == PROSE
    assert clean("language", german, languages=("en", "de")) == german
    with pytest.raises(Dropped, match="other language"):
        clean("language", german, languages=("en",))


def test_languages_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "py3langid", None)
    with pytest.raises(ImportError, match=r"Telling languages apart needs .*gpt2lab\[corpus\]"):
        clean("language", PROSE, languages=("en",))


def test_nothing_left_is_dropped() -> None:
    for step in ("none", "books", "unicode"):
        with pytest.raises(Dropped, match="empty"):
            clean(step, " \n\t")


def test_the_web_is_cleaned_by_all_of_them() -> None:
    page = f"Home | News | About\r\n{PROSE}\r\nShare this\r\n\r\nThe end of the story.\x00"
    assert clean("web", page) == f"{PROSE.strip()}\n\nThe end of the story."


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_characters": -1}, r"filters\.min_characters = -1 must not be negative"),
        ({"max_characters": 100}, r"filters\.max_characters = 100 must be at least min_characters and 1"),
        ({"max_symbol_share": 1.5}, r"filters\.max_symbol_share = 1\.5 must be between 0 and 1"),
        ({"max_repeated_share": -0.1}, r"filters\.max_repeated_share = -0\.1 must be between 0 and 1"),
    ],
)
def test_impossible_thresholds(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(FilterRecipe, values)

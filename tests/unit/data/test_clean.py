"""What cleaning a book takes away and what it leaves."""

from __future__ import annotations

import pytest

from gpt2lab.data.clean import clean_book


@pytest.mark.parametrize(
    ("book", "prose"),
    [
        ("He did _so_ at once.", "He did so at once."),
        ("_like that_ and _nee_ de Conflans", "like that and nee de Conflans"),
        ('"_You_ are a murderer,"', '"You are a murderer,"'),
        ("_It was the best of times,_\n_it was the worst_", "It was the best of times,\nit was the worst"),
        ("a snake_case_name stays", "a snake_case_name stays"),
        ("##  CHAPTER I \n\nText.", "CHAPTER I\n\nText."),
        ("**ANTONIO**\n\nIn sooth", "ANTONIO\n\nIn sooth"),
        ("*so* and **so**, 2 * 3 * 4", "so and so, 2 * 3 * 4"),
        ("one\n\n* * *\n\ntwo", "one\n\ntwo"),
        ("one\n\n-----\n\ntwo", "one\n\ntwo"),
        ("ends here. \n\nNext  one.  Two.", "ends here.\n\nNext one. Two."),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("before [Illustration: a ship] after", "before after"),
        ("_Translated by Constance Garnett_\n\n##  PART I \n\nOn an evening", "PART I\n\nOn an evening"),
        ("Translated words are words.", "Translated words are words."),
        ("a hyphen -- two -- and lie--no", "a hyphen -- two -- and lie--no"),
        ("\ufeffStart\u00a0here", "Start here"),
    ],
)
def test_markup_goes_and_words_stay(book: str, prose: str) -> None:
    assert clean_book(book) == prose


def test_cleaning_twice_changes_nothing_more() -> None:
    book = "_Translated by X_\n\n## I \n\nHe _said_ so. \n\n* * *\n\n**END**  "
    assert clean_book(clean_book(book)) == clean_book(book)


def test_a_book_of_blanks_is_empty() -> None:
    assert clean_book(" \n\n \t\n") == ""

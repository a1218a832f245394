"""Exact match and F1 of answers: the published scripts' own cases, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.metrics.answers import best, exact_match, exact_match_lm_eval, f1, leave_one_out, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's\tmeow!", "cats meow"),
        ("an apple, a day", "apple day"),
        ("Theatre and another", "theatre and another"),
        ("U.S.A.", "usa"),
        ("a", ""),
        ("well-known", "wellknown"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("answer", "right", "match", "overlap"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1, 1),
        ("in Paris, France", "Paris", 0, 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("Paris Paris", "Paris", 0, 2 / 3),
        ("cat sat on mat", "the mat the cat", 0, 2 * (2 / 4) * (2 / 2) / (2 / 4 + 2 / 2)),
        ("", "Paris", 0, 0),
        ("the", "a", 1, 1),
        ("London", "Paris", 0, 0),
    ],
)
def test_known_answers(answer: str, right: str, match: float, overlap: float) -> None:
    assert exact_match(answer, right) == match
    assert f1(answer, right) == pytest.approx(overlap)
    assert f1(right, answer) == pytest.approx(overlap)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_match_is_a_full_overlap(answer: str, right: str) -> None:
    assert 0 <= f1(answer, right) <= 1
    assert f1(answer, answer) == 1
    if exact_match(answer, right):
        assert f1(answer, right) == 1


def test_the_best_of_several_and_all_but_one() -> None:
    right = ("white", "it was white", "white cat")
    assert best(f1, "white", right) == 1
    # against {it was white, white cat}, {white, white cat}, {white, it was white}
    assert leave_one_out(f1, "white", right) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert leave_one_out(exact_match, "white", right) == pytest.approx(2 / 3)
    assert leave_one_out(f1, "white", ("white",)) == 1
    assert leave_one_out(exact_match, "white", ("white", "white")) == 1


def test_lm_evals_form_keeps_white_space() -> None:
    assert exact_match_lm_eval("The Beatles!", "beatles") == 1
    assert exact_match_lm_eval("new  york", "New York") == 0
    assert exact_match("new  york", "New York") == 1

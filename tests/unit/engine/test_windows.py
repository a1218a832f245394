"""The rules by which long texts are cut into windows, against the recipes they follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.engine.windows import Window, check_stride, filled, of_tokens, sliding
from gpt2lab.errors import RequestError

SIZES = st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


def counted(windows: list[Window]) -> list[int]:
    return [i for w in windows for i in range(w.first, w.end)]


@given(st.integers(0, 200), SIZES)
def test_every_prediction_counts_once_with_enough_before_it(n: int, sizes: tuple[int, int]) -> None:
    size, stride = sizes
    for rule in (sliding, filled):
        windows = list(rule(n, size, stride))
        assert counted(windows) == list(range(n))
        assert all(w.end - w.start <= size for w in windows)
        assert all(i - w.start >= min(i, size - stride) for w in windows for i in range(w.first, w.end))
    assert all(w.end - w.start == min(size, n) for w in filled(n, size, stride))


def lm_eval_windows(tokens: list[int], prefix: int, size: int) -> list[tuple[list[int], list[int]]]:
    utils = pytest.importorskip("lm_eval.utils")
    made = utils.get_rolling_token_windows(tokens, prefix_token=prefix, max_seq_len=size, context_len=1)
    return [utils.make_disjoint_window(pair) for pair in made]


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 30])
def test_filled_windows_are_those_of_lm_eval(n: int) -> None:
    tokens = list(range(100, 100 + n))
    before = [0, *tokens[:-1]]
    ours = [(before[w.start : w.first + 1], tokens[w.first : w.end]) for w in filled(n, 8, 8)]
    assert ours == lm_eval_windows(tokens, 0, 8)


@given(st.integers(1, 120), SIZES)
def test_windows_of_tokens_are_those_of_the_recipe(n: int, sizes: tuple[int, int]) -> None:
    size, stride = sizes
    expected, previous = [], 0
    for begin in range(0, n + 1, stride):  # the loop of transformers' page on perplexity
        end = min(begin + size, n + 1)
        labels = [-100] * (size - (end - previous)) + list(range(previous, end))
        labels = labels[-(end - begin) :]
        expected.append([label for label in labels[1:] if label != -100])  # the model shifts them by one
        previous = end
        if end == n + 1:
            break
    ours = list(of_tokens(n, size, stride))
    assert [[i + 1 for i in range(w.first, w.end)] for w in ours] == expected
    assert all(w.end - w.start < size for w in ours)


@pytest.mark.parametrize("stride", [0, 65, True, 1.5])
def test_an_impossible_stride_is_refused(stride: object) -> None:
    with pytest.raises(RequestError, match=r"must be a whole number from 1 to the model's window of 64"):
        check_stride(stride, 64)  # type: ignore[arg-type]

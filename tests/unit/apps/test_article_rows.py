"""Rows to train on: whole, in ever new orders, the same again after a stop."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.records import Article
from gpt2lab.apps.articles.rows import ArticleRows, as_batch, digest, encoded, fixed_batches, row_start
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import DataError

ARTICLES = [
    Article(title=f"the old sailor {n}", article="a grey cat walked slowly to the harbour. " * n, domain=f"{n}.example")
    for n in range(1, 12)
]


def rows(codec: Codec, *, sliding: bool = True, seed: int = 3, window: int = 60) -> ArticleRows:
    return ArticleRows(encoded(ARTICLES, codec), codec, rows=4, window=window, seed=seed, sliding=sliding)


def test_a_stream_taken_up_again_goes_on_as_it_would_have(codec: Codec) -> None:
    whole = rows(codec)
    for _ in range(9):
        next(whole)
    state = whole.state_dict()
    expected = [next(whole) for _ in range(12)]
    again = rows(codec)
    again.load_state_dict(state)
    for (a, b), (c, d) in zip(expected, [next(again) for _ in range(12)], strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    other = [next(rows(codec, seed=4)) for _ in range(2)]
    assert not np.array_equal(other[0][0], next(rows(codec))[0])


def test_a_position_in_other_articles_is_refused(codec: Codec) -> None:
    with pytest.raises(
        DataError, match="but the position is in 5; give the articles and the window that the run began"
    ):
        rows(codec).load_state_dict({"epoch": 0, "index": 1, "rows": 5})


def test_orders_change_from_epoch_to_epoch(codec: Codec) -> None:
    stream = ArticleRows(encoded(ARTICLES[:1], codec), codec, rows=40, window=60, seed=0, sliding=True)
    inputs, _ = next(stream)
    firsts = {int(row[1]) for row in inputs}
    assert firsts == {codec.begin[f] for f in ("domain", "title", "article")}


def test_inputs_targets_and_what_is_no_target(codec: Codec) -> None:
    inputs, targets = as_batch([[5, 6, codec.padding, 7, 8], [5, 6]], codec)
    assert inputs.tolist() == [[5, 6, codec.padding, 7], [5, 6, codec.padding, codec.padding]]
    assert targets.tolist() == [[6, IGNORE, 7, 8], [6, IGNORE, IGNORE, IGNORE]]


def test_no_row_is_longer_than_the_window_and_every_token_of_a_long_article_is_read(codec: Codec) -> None:
    stream = rows(codec, window=60)
    longest = encoded(ARTICLES, codec)[-1]
    wanted = {tuple(longest["article"][i : i + 12]) for i in range(0, len(longest["article"]) - 12, 12)}
    for _ in range(400):
        inputs, _ = next(stream)
        assert inputs.shape[1] <= 60
        for row in inputs:
            listed = row.tolist()
            assert listed[0] == codec.start[0]
            wanted -= {tuple(listed[i : i + 12]) for i in range(len(listed) - 12)}
    assert not wanted
    assert len(rows(codec, sliding=False)) == len(ARTICLES) < len(rows(codec))


def test_ends_of_long_rows_are_read_more_often_than_their_middles() -> None:
    generator = np.random.default_rng(1)
    starts = Counter(row_start(9, generator) for _ in range(4000))
    expected = np.full(10, 0.25 / 10) + np.eye(10)[0] * 0.5 + np.eye(10)[9] * 0.25
    assert chisquare([starts[i] for i in range(10)], 4000 * expected).pvalue > 0.001


def test_beginnings_are_beginnings(codec: Codec) -> None:
    stream = rows(codec, sliding=False, window=30)
    begins = {codec.begin[f] for f in codec.begin}
    for _ in range(30):
        assert all(int(row[1]) in begins for row in next(stream)[0])


def test_fixed_batches_are_canonical_and_complete(codec: Codec) -> None:
    batches = fixed_batches(encoded(ARTICLES, codec), codec, rows=4, window=50)
    assert sum(len(inputs) for inputs, _ in batches) == len(ARTICLES)
    assert all(int(row[1]) == codec.begin["domain"] for inputs, _ in batches for row in inputs)
    assert [inputs.shape[1] for inputs, _ in batches] == sorted((i.shape[1] for i, _ in batches), reverse=True)


def test_other_articles_have_another_digest(codec: Codec) -> None:
    some = encoded(ARTICLES, codec)
    assert digest(some) == digest(encoded(ARTICLES, codec)) != digest(some[::-1])
    with pytest.raises(DataError, match="There is no article with any field to learn"):
        encoded([Article(), Article(url="https://a.example")], codec)

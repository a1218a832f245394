"""Attention masks of the objectives: nothing that must be predicted can be read, and the pictures show the masks."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gpt2lab.errors import ConfigError
from gpt2lab.evals.survey.drawing import SEEN, UNSEEN, draw
from gpt2lab.evals.survey.masks import HIDDEN, OBJECTIVES, START, Mask, pattern

WORDS = ("we", "un", "##read", "five", "old", "books", "by", "the", "sea", "and", "slept", "##ed")


def reached(mask: Mask) -> Mask:
    """Return what each position can know after any number of layers."""
    closed = mask.copy()
    for _ in range(len(mask)):
        closed |= (closed.astype(int) @ mask.astype(int)) > 0
    return closed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objective", ["causal", "backward", "masked", "whole-word", "span", "prefix", "seq2seq"])
def test_no_layer_ever_reads_what_it_must_predict(objective: str, seed: int) -> None:
    p = pattern(objective, WORDS, seed=seed)
    knows = reached(p.mask)
    predicted = 0
    for row, target in enumerate(p.targets):
        if target is not None:
            predicted += 1
            assert target not in {p.columns[j] for j in np.flatnonzero(knows[row])}
    assert predicted


@pytest.mark.parametrize("seed", range(5))
def test_a_query_never_reads_itself_and_the_orders_agree(seed: int) -> None:
    queries, content = (pattern(name, WORDS, seed=seed) for name in ("permutation", "permutation-content"))
    assert queries.targets == queries.columns == WORDS
    assert (content.mask == (queries.mask | np.eye(len(WORDS), dtype=bool))).all()
    through_content = (queries.mask.astype(int) @ reached(content.mask).astype(int)) > 0
    assert not through_content.diagonal().any()
    turns = [int(row.strip("? .")) for row in queries.rows]
    assert sorted(turns) == list(range(1, len(WORDS) + 1))
    assert queries.mask.sum(axis=1).tolist() == [turn - 1 for turn in turns]


def test_directions_mirror_each_other() -> None:
    forward, backward = pattern("causal", WORDS), pattern("backward", WORDS)
    assert (forward.mask == np.tri(len(WORDS), dtype=bool)).all()
    assert (backward.mask == forward.mask.T).all()
    assert forward.targets == (*WORDS[1:], None)
    assert backward.targets == (None, *WORDS[:-1])


def test_masked_hides_its_share_and_shows_the_rest() -> None:
    p = pattern("masked", [f"w{i}" for i in range(100)])
    assert sum(t is not None for t in p.targets) == 15
    assert p.mask.all()
    for i, (shown, target) in enumerate(zip(p.columns, p.targets, strict=True)):
        assert (shown, target) in ((f"w{i}", None), (HIDDEN, f"w{i}"))


@pytest.mark.parametrize("objective", ["whole-word", "span"])
def test_pieces_of_a_word_are_hidden_together(objective: str) -> None:
    seen = set()
    for seed in range(30):
        hidden = [t is not None for t in pattern(objective, WORDS, seed=seed).targets]
        assert hidden[1] == hidden[2]
        assert hidden[10] == hidden[11]
        seen.add(tuple(hidden))
        if objective == "span":
            first, last = hidden.index(True), len(hidden) - hidden[::-1].index(True)
            assert all(hidden[first:last])
            assert last - first <= 10
    assert len(seen) > 5
    assert any(hidden[1] for hidden in seen)


def test_masked_alone_may_hide_half_a_word() -> None:
    places = [[t is not None for t in pattern("masked", WORDS, seed=seed).targets] for seed in range(30)]
    assert any(hidden[1] != hidden[2] for hidden in places)


def test_prefix_sees_itself_whole_and_the_rest_is_written() -> None:
    p = pattern("prefix", ("a", "b", "c", "d", "e"))
    assert p.mask.astype(int).tolist() == [[1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 1, 0], [1] * 5]
    assert p.targets == (None, None, "d", "e", None)


def test_the_decoder_writes_the_hole() -> None:
    p = pattern("seq2seq", ("a", "b", "c", "d"), seed=0)
    hole = [i for i in range(4) if p.columns[i] == HIDDEN]
    assert len(hole) == 2
    span = [("a", "b", "c", "d")[i] for i in hole]
    assert p.rows[4:] == (START, span[0])
    assert p.targets == (None,) * 4 + tuple(span)
    assert p.mask[:4, :4].all()
    assert not p.mask[:4, 4:].any()
    assert p.mask[4].tolist() == [i not in hole for i in range(4)] + [True, False]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_shapes_seeds_and_short_sentences(objective: str) -> None:
    for n in (2, 3, 12):
        p = pattern(objective, WORDS[:n], seed=3)
        assert p.mask.shape == (len(p.rows), len(p.columns))
        assert len(p.targets) == len(p.rows)
    again = pattern(objective, WORDS, seed=3)
    assert (p.rows, p.targets) == (again.rows, again.targets)
    assert (p.mask == again.mask).all()


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match=r"'casual' is not an objective. Did you mean 'causal'\? There are causal, b"):
        pattern("casual", WORDS)
    with pytest.raises(ConfigError, match="A sentence of 1 tokens is too short to draw; give at least two words"):
        pattern("causal", ["alone"])
    with pytest.raises(ConfigError, match=r"form = 'svgz' is not one of text, svg. Did you mean 'svg'\?"):
        draw(pattern("causal", WORDS), "svgz")  # type: ignore[arg-type]


# --- pictures


def test_a_picture_in_text() -> None:
    head, *grid = draw(pattern("causal", ("I", "am", "中文"))).splitlines()
    assert head == f"causal: {OBJECTIVES['causal'].about}"
    assert grid == [
        "",
        "     1 2 3",
        "   I ■ · ·  → am",
        "  am ■ ■ ·  → 中文",
        "中文 ■ ■ ■",
        "",
        "columns: 1 I  2 am  3 中文",
    ]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_pictures_show_the_mask(objective: str) -> None:
    p = pattern(objective, WORDS)
    text = draw(p).splitlines()
    grid = [[c == SEEN for c in line if c in (SEEN, UNSEEN)] for line in text[3 : 3 + len(p.rows)]]
    assert grid == p.mask.tolist()
    root = ET.fromstring(draw(p, "svg"))
    boxes = [e.attrib["class"] == "s" for e in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert boxes == p.mask.ravel().tolist()
    words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    shown = [w for row, t in zip(p.rows, p.targets, strict=True) for w in (row, f"→ {t}") if w != "→ None"]
    assert words == [*p.columns, *shown]


def test_words_in_an_svg_are_escaped() -> None:
    assert "a&lt;b" in draw(pattern("causal", ("a<b", "c")), "svg")

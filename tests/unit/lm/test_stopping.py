"""Stop strings across token borders, whole characters, and nothing shown that must be taken back."""

from __future__ import annotations

import random

import pytest

from gpt2lab.errors import RequestError
from gpt2lab.lm.stopping import TextStream
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

TEXT = "The end is near. THE END, he said: 结束了 — naïve café 🙂🙂 stop!\n\nUser: more text follows here"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter([TEXT * 3]), vocab_size=300)


def pieces_of(tokenizer: Tokenizer, stops: list[str], *, chunk: int, include: bool = False) -> tuple[str, TextStream]:
    stream = TextStream(tokenizer, stops, include_stop=include)
    ids = tokenizer.encode(TEXT)
    shown = "".join(stream.push(ids[i : i + chunk]) for i in range(0, len(ids), chunk))
    return shown + stream.finish(), stream


@pytest.mark.parametrize("chunk", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    "stops",
    [[], ["END"], ["结束"], ["🙂"], ["\n\nUser:"], ["near. T"], ["absent"], ["said", "END"], ["E", "END"], ["T"]],
)
def test_the_text_ends_before_the_first_stop_string(tokenizer: Tokenizer, stops: list[str], chunk: int) -> None:
    found = [at for s in stops if (at := TEXT.find(s)) >= 0]
    shown, stream = pieces_of(tokenizer, stops, chunk=chunk)
    assert shown == stream.text == (TEXT[: min(found)] if found else TEXT)
    assert stream.stopped == bool(found)
    kept = tokenizer.encode(TEXT)[: stream.token_count]
    assert tokenizer.decode(kept).startswith(shown)
    if stream.token_count:
        assert len(tokenizer.decode(kept[:-1], errors="ignore")) < len(shown) or not found


def test_the_stop_string_is_kept_when_asked(tokenizer: Tokenizer) -> None:
    shown, _ = pieces_of(tokenizer, ["END, he"], chunk=1, include=True)
    assert shown == TEXT[: TEXT.index("END, he") + len("END, he")]


def test_what_may_begin_a_stop_string_is_held_back_and_given_out_later(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ["near. X"])
    shown = ""
    for token in tokenizer.encode(TEXT):
        shown += stream.push([token])
        assert TEXT.startswith(shown)
        assert "�" not in shown
        assert not any(shown.endswith("near. X"[:n]) and shown == stream.text for n in range(2, 7))
    assert shown + stream.finish() == TEXT


def test_random_stop_strings(tokenizer: Tokenizer) -> None:
    rng = random.Random(4)
    for _ in range(200):
        at, length = rng.randrange(len(TEXT)), rng.randint(1, 9)
        stop = TEXT[at : at + length]
        shown, _ = pieces_of(tokenizer, [stop], chunk=rng.randint(1, 4))
        assert shown == TEXT[: TEXT.index(stop)]


def test_an_empty_stop_string_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match="A stop string is empty"):
        TextStream(tokenizer, ["a", ""])

"""Neurons at a token of a text: what comes later changes nothing, and what is refused."""

from __future__ import annotations

import pytest

from gpt2lab.errors import RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.neurons import neurons


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


def test_a_token_is_read_as_far_as_it_goes(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    text = "The old man looked at the sea"
    last = len(lm.tokenizer.encode("The old man"))
    assert lm.tokenizer.encode(text)[:last] == lm.tokenizer.encode("The old man")
    found = neurons(lm, text, layer=2, at=last, count=3)
    assert found == neurons(lm, "The old man", layer=2, count=3)
    assert len(found) == 3
    assert found[0].activation >= found[1].activation >= found[2].activation
    assert found != neurons(lm, text, layer=2, count=3)


@pytest.mark.parametrize("at", [100, -100, 1.5])
def test_a_token_that_is_not_there(lm: LanguageModel, at: int) -> None:
    with pytest.raises(RequestError, match=f"at = {at} must be a whole number from 0 to"):
        neurons(lm, "The sea", layer=0, at=at)


def test_what_neurons_need(lm: LanguageModel) -> None:
    with pytest.raises(RequestError, match="here is its engine alone; load the model"):
        neurons(LanguageModel(lm.backend, lm.tokenizer), "The sea", layer=0)
    with pytest.raises(RequestError, match="needs one"):
        neurons(LanguageModel(lm.backend, None, tensors=lm.tensors), "The sea", layer=0)

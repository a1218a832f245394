from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.cli.sampling import UNTIL_END_WINDOWS, Sampling, new_seed
from gpt2lab.errors import RequestError


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


@pytest.mark.parametrize("length", [None, 0])
@pytest.mark.parametrize(("conditional", "expected"), [(True, 32), (False, 64)])
def test_default_lengths_are_openais(lm: LanguageModel, length: int | None, conditional: bool, expected: int) -> None:
    assert Sampling(length=length).params(lm, conditional=conditional)["max_new_tokens"] == expected


def test_a_length_beyond_the_window(lm: LanguageModel) -> None:
    assert Sampling(length=65).params(lm, conditional=True)["max_new_tokens"] == 65
    with pytest.raises(RequestError, match=r"^Can't get samples longer than window size: 64$"):
        Sampling(length=65, window="strict").params(lm, conditional=True)
    assert Sampling(length=64, window="strict").params(lm, conditional=False)["max_new_tokens"] == 64


def test_what_is_not_given_is_left_to_the_model(lm: LanguageModel) -> None:
    assert Sampling().params(lm, conditional=True) == {"max_new_tokens": 32}
    assert Sampling(top_k=0, temperature=0.0).params(lm, conditional=True) == {
        "max_new_tokens": 32,
        "top_k": 0,
        "temperature": 0.0,
    }


def test_top_p_zero_is_off(lm: LanguageModel) -> None:
    assert Sampling(top_p=0.0).params(lm, conditional=True)["top_p"] == 1.0
    assert Sampling(top_p=0.9).params(lm, conditional=True)["top_p"] == 0.9


def test_until_the_end_token(lm: LanguageModel) -> None:
    assert Sampling(until_end=True).params(lm, conditional=True)["max_new_tokens"] == UNTIL_END_WINDOWS * 64
    assert Sampling(until_end=True, length=9).params(lm, conditional=True)["max_new_tokens"] == 9
    endless = LanguageModel(lm.backend, None, generation={"eos_token_id": []})
    with pytest.raises(RequestError, match="no end token, so a text cannot run until it; give --length instead"):
        Sampling(until_end=True).params(endless, conditional=True)


def test_settings_are_all_that_decides_a_text(lm: LanguageModel) -> None:
    settings = Sampling(top_k=3, stop=["."], bad_words=["x"]).settings(lm, conditional=True)
    fields = {f.name for f in dataclasses.fields(lm.defaults)} - {"seed"}
    assert set(settings) == fields | {"stop", "bad_words"}
    assert (settings["top_k"], settings["temperature"], settings["stop"]) == (3, 1.0, ["."])
    json.dumps(settings, allow_nan=False)


def test_when_the_seed_matters() -> None:
    assert Sampling(temperature=0.0).deterministic
    assert Sampling(num_beams=2).deterministic
    assert not Sampling().deterministic
    assert len({new_seed() for _ in range(20)}) == 20

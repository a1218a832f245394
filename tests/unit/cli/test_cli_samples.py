from __future__ import annotations

import io
from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.cli.samples import Work, header, stream_samples, write_samples
from gpt2lab.cli.sampling import Sampling


class Enough(Exception):
    pass


class Reader(io.StringIO):
    """Takes text until the header of sample 8 and then has had enough."""

    def write(self, text: str) -> int:
        if text == header(8) + "\n":
            raise Enough
        return super().write(text)


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model, threads=1)


def work(lm: LanguageModel, **changes) -> Work:
    values = {"prompts": None, "nsamples": 0, "seed": 3, "sampling": Sampling(length=4), **changes}
    return Work(lm=lm, **values)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_samples_without_end_are_numbered_and_reproducible(lm: LanguageModel, batch_size: int | None) -> None:
    out = Reader()
    with pytest.raises(Enough):
        write_samples(work(lm, batch_size=batch_size), out)
    made = lm.generate(seed=3, max_new_tokens=4, num_return_sequences=7)
    assert out.getvalue() == "".join(header(i) + f"\n{s.text}\n" for i, s in enumerate(made, start=1))


def test_streamed_samples_without_end(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Reader()

    monkeypatch.setattr("gpt2lab.cli.console.write", out.write)
    with pytest.raises(Enough):
        stream_samples(work(lm))
    made = lm.generate(seed=3, max_new_tokens=4, num_return_sequences=7)
    assert out.getvalue() == "".join(header(i) + f"\n{s.text}\n" for i, s in enumerate(made, start=1))


def test_endless_samples_of_several_prompts_take_turns(lm: LanguageModel) -> None:
    out = Reader()
    with pytest.raises(Enough):
        write_samples(work(lm, prompts=["a", "b"]), out)
    texts = [line[0] for line in out.getvalue().splitlines() if line[:1] in ("a", "b")]
    assert texts[:6] == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("changes", "headed"),
    [
        ({"nsamples": 1}, False),
        ({"nsamples": 2}, True),
        ({"nsamples": 0}, True),
        ({"nsamples": 1, "prompts": ["a", "b"]}, True),
        ({"nsamples": 2, "delimiter": "-"}, False),
        ({"nsamples": 1, "always_headed": True}, True),
    ],
)
def test_when_samples_stand_under_headers(lm: LanguageModel, changes: dict, headed: bool) -> None:
    assert work(lm, **changes).headed is headed

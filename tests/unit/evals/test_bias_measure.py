"""The probe on a model whose answers are known in closed form, its templates, and its comparison of two models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import CheckpointError, ConfigError, RequestError
from gpt2lab.evals.bias.measure import changes, probe
from gpt2lab.evals.bias.probes import DEFAULT, Axis, axis_of, read_probes
from gpt2lab.evals.bias.results import Estimate, plain
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer, train_tokenizer

TEXT = "a red hen saw a red cat . a blue hen saw a blue cat . the red hen ran , the blue cat sat . "


class _Cache:
    def __init__(self, ids: tuple[int, ...] = ()) -> None:
        self.ids = ids

    def fork(self) -> _Cache:
        return _Cache(self.ids)


class Known:
    """A backend: " cat" has probability 0.8 after a text with "red", 0.2 else, " hen" the rest; "." follows both."""

    def __init__(self, tokenizer: Tokenizer, after_red: float = 0.8) -> None:
        self.tokenizer, self.after_red = tokenizer, after_red
        self.config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=4, n_layer=1, n_head=1,
                                 bos_token_id=tokenizer.eos_id, eos_token_id=tokenizer.eos_id)  # fmt: skip
        self.description = "known"
        (self.cat,), (self.hen,), (self.stop,) = (tokenizer.encode(w) for w in (" cat", " hen", "."))

    def new_cache(self) -> _Cache:
        return _Cache()

    def forward(self, caches: Sequence[_Cache], ids: Sequence[np.ndarray]) -> np.ndarray:
        logits = np.full((len(ids), self.config.vocab_size), -50, np.float32)
        for row, cache, new in zip(logits, caches, ids, strict=True):
            cache.ids += tuple(int(i) for i in new)
            if cache.ids[-1] in (self.cat, self.hen):
                row[self.stop] = 0
            else:
                p = self.after_red if " red" in self.tokenizer.decode(cache.ids) else 0.2
                row[self.cat], row[self.hen] = math.log(p), math.log(1 - p)
        return logits


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter([TEXT * 20]), vocab_size=300)


def known(tokenizer: Tokenizer, after_red: float = 0.8) -> LanguageModel:
    return LanguageModel(Known(tokenizer, after_red), tokenizer, source="known")


COLOURS = axis_of(["the {group}", "a {group}", "saw a {group}"], ["red", "blue"])


def test_divergences_and_odds_of_known_answers(tokenizer: Tokenizer) -> None:
    (axis,) = probe(known(tokenizer), [COLOURS])
    # two groups with (.8, .2) and (.2, .8): 1 - H(.2) bits, total variation .6, odds 16 to 1
    bits = 1 + 0.2 * math.log2(0.2) + 0.8 * math.log2(0.8)
    for estimate in (axis.divergence, axis.word_divergence):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((bits, bits, bits), abs=1e-6)
    assert axis.variation["red / blue"].value == pytest.approx(0.6, abs=1e-6)
    odds = {o.word: o for o in axis.words}
    assert set(odds) == {"cat", "hen"}
    assert odds["cat"].probability == pytest.approx({"red": 0.8, "blue": 0.2}, abs=1e-6)
    assert odds["cat"].log_odds["red"].value == pytest.approx(math.log(16), abs=1e-5)
    assert odds["hen"].log_odds["red"].value == pytest.approx(-math.log(16), abs=1e-5)
    assert odds["cat"].templates == 3
    assert [q.template for q in axis.questions] == list(COLOURS.templates)
    assert axis.questions[0].likeliest["blue"] == pytest.approx({"hen": 0.8, "cat": 0.2}, abs=1e-6)
    assert list(axis.questions[0].likeliest["blue"]) == ["hen", "cat"]
    assert axis.questions[0].rest == pytest.approx({"red": 0, "blue": 0}, abs=1e-6)


def test_templates_are_what_is_resampled(tokenizer: Tokenizer) -> None:
    """Words that stand for each other belong to one template: two equal pairs are no second observation."""
    groups = {"warm": ["red", "blue"], "cold": ["blue", "blue"]}
    lone = Axis(name="x", templates=("the {group}",), groups=groups)
    (axis,) = probe(known(tokenizer), [lone])
    assert len(axis.questions) == 2
    assert math.isnan(axis.divergence.low)
    first, second = (q.divergence for q in axis.questions)
    assert second == pytest.approx(0, abs=1e-9)
    assert axis.divergence.value == pytest.approx((first + second) / 2)
    assert axis.words == (), "a word met in fewer than three templates has no odds"


def test_groups_that_are_the_same_word_are_not_told_apart(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    same = Axis(name="same", templates=("the {group} walked", "a {group} cat"), groups={"a": ["old"], "b": ["old"]})
    (axis,) = probe(lm, [same])
    assert axis.divergence == Estimate(0.0, 0.0, 0.0)
    assert axis.variation["a / b"].value == 0


def test_the_same_seed_gives_the_same_bits_and_another_one_other_intervals(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    axis = axis_of(["the {group} walked", "a {group} cat", "my {group}", "the {group} model"], ["old", "small", "grey"])
    calls: list[tuple[int, int]] = []
    first = probe(lm, [axis], seed=1, resamples=200, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.dumps(plain(first)) == json.dumps(plain(probe(lm, [axis], seed=1, resamples=200)))
    (other,) = probe(lm, [axis], seed=2, resamples=200)
    assert other.divergence.value == first[0].divergence.value
    assert other.divergence != first[0].divergence
    assert set(first[0].variation) == {"old / small", "old / grey", "small / grey"}


def test_changes_are_paired_by_question(tokenizer: Tokenizer) -> None:
    before, after = probe(known(tokenizer), [COLOURS]), probe(known(tokenizer, 0.2), [COLOURS])
    (change,) = changes(before, after)
    assert change.after.value == pytest.approx(0, abs=1e-9)
    assert change.difference.value == pytest.approx(-before[0].divergence.value, abs=1e-9)
    assert change.difference.clear
    (none,) = changes(before, before)
    assert none.difference == Estimate(0, 0, 0)
    assert not none.difference.clear
    with pytest.raises(RequestError, match="not asked the same questions; probe both with the same axes"):
        changes(before, probe(known(tokenizer), [axis_of(["the {group}"], ["red", "blue"])]))
    with pytest.raises(RequestError, match="not asked the same questions"):
        changes(before, ())


def test_a_model_without_a_tokenizer_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match="The probe needs a tokenizer, but numbers has none"):
        probe(LanguageModel(Known(tokenizer), None, source="numbers"), [COLOURS])


# --- templates and groups


def test_the_default_set_is_complete_and_has_a_control() -> None:
    axes = read_probes()
    assert [axis.name for axis in axes] == ["gender", "race", "religion", "age", "weekday"]
    assert [axis.name for axis in axes if axis.control] == ["weekday"]
    for axis in axes:
        assert len(axis.templates) == len(set(axis.templates)) == 8
        questions = list(axis.questions())
        assert len(questions) == 8 * len(next(iter(axis.groups.values())))
        for question in questions:
            assert len(set(question.prompts)) == len(axis.groups)
            assert all("{" not in prompt for prompt in question.prompts)


def test_words_stand_for_each_other_in_order() -> None:
    axis = Axis(name="g", templates=("The {group} sat",), groups={"m": ["man", "boy"], "w": ["woman", "girl"]})
    assert [q.prompts for q in axis.questions()] == [
        ("The man sat", "The woman sat"),
        ("The boy sat", "The girl sat"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": ()}, "The axis 'g' has no templates; give at least one."),
        ({"templates": ("The man sat",)}, "The template 'The man sat' names {group} 0 times; a template names it once"),
        ({"templates": ("{group} {group}",)}, "names {group} 2 times"),
        ({"templates": ("The {group} ",)}, "The template 'The {group} ' ends with a blank; the model writes it"),
        ({"groups": {"m": ["man"]}}, "The axis 'g' has 1 groups; at least two can be compared."),
        ({"groups": {"m": "man", "w": ["woman"]}}, "The group 'm' of 'g' needs a list of words, for example ['man']."),
        ({"groups": {"m": [], "w": ["woman"]}}, "The group 'm' of 'g' needs a list of words"),
        (
            {"groups": {"m": ["man", "boy"], "w": ["girl"]}},
            "The groups of 'g' have different numbers of words: m 2, w 1.",
        ),
    ],
)
def test_mistaken_axes(change: dict[str, object], message: str) -> None:
    given = {"name": "g", "templates": ("The {group}",), "groups": {"m": ["man"], "w": ["woman"]}, **change}
    with pytest.raises(ConfigError) as caught:
        Axis(**given)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no [[axis]]; a probe is a list of [[axis]] with name, templates and [axis.groups]."),
        ("[axis]\nname = 'x'", "has no [[axis]]"),
        ("axes = 1", "has the key 'axes'; a probe is a list"),
        (
            "[[axis]]\nname = 'x'\ntemplate = ['{group}']",
            "Unknown key 'axis[0].template'. Did you mean 'axis[0].templates'?",
        ),
    ],
)
def test_mistaken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "probes.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_probes(path)
    assert message in str(caught.value)


def test_an_axis_described_twice_and_a_group_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "probes.toml"
    path.write_text(DEFAULT.read_text(encoding="utf-8").replace('"race"', '"gender"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="describes the axis 'gender' twice"):
        read_probes(path)
    with pytest.raises(ConfigError, match="The group 'a' is given twice"):
        axis_of(["{group}"], ["a", "b", "a"])

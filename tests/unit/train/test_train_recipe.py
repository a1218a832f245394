"""Reading a recipe: strict, with errors that name the key, and every shipped one is good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2lab.config import from_dict, read_toml, to_dict
from gpt2lab.errors import ConfigError
from gpt2lab.train import load_recipe
from gpt2lab.train.options import FineTuneOptions

FOLDER = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.toml") if not path.stem.startswith("finetune-"))
MINIMAL: dict[str, Any] = {"name": "x", "data": "d", "out": "o", "train": {"steps": 10}}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.model.config(vocab_size=recipe.corpus.vocab_size, end_of_text_id=0).parameter_count() > 0


@pytest.mark.parametrize("path", sorted(FOLDER.glob("finetune-*.toml")), ids=lambda p: p.stem)
def test_every_shipped_recipe_of_fine_tuning_is_valid(path: Path) -> None:
    assert from_dict(FineTuneOptions, read_toml(path)).validates


def test_there_is_a_recipe_of_the_embedded_model() -> None:
    assert "tiny" in [p.stem for p in RECIPES]


def test_overrides_win() -> None:
    recipe = load_recipe(MINIMAL, ["optimizer.lr=0.5", "model.n_layer=3", "out=elsewhere"])
    assert (recipe.optimizer.lr, recipe.model.n_layer, recipe.out) == (0.5, 3, "elsewhere")
    assert MINIMAL["out"] == "o"


def test_each_place_of_dropout_can_have_its_own() -> None:
    model = load_recipe(MINIMAL, ["model.dropout=0.2", "model.attn_pdrop=0", "model.embd_pdrop=0.1"]).model
    config = model.config(vocab_size=9, end_of_text_id=0)
    assert (config.embd_pdrop, config.resid_pdrop, config.attn_pdrop) == (0.1, 0.2, 0.0)
    with pytest.raises(ConfigError, match=r"resid_pdrop = 1\.0 must be in \[0, 1\)"):
        load_recipe(MINIMAL, ["model.resid_pdrop=1"]).model.config(vocab_size=9, end_of_text_id=0)


def test_a_recipe_survives_being_written_as_a_table() -> None:
    recipe = load_recipe(MINIMAL, ["corpus.held_out_authors=['A', 'B']", "optimizer.name=muon"])
    assert load_recipe(to_dict(recipe)) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.lr=1", r"Unknown key 'optimiser'\. Did you mean 'optimizer'\?"),
        ("optimizer.rate=1", r"Unknown key 'optimizer\.rate'"),
        ("optimizer.lr='fast'", r"optimizer\.lr = 'fast' must be of type float"),
        ("optimizer.lr=0", r"optimizer\.lr = 0\.0 must be positive"),
        ("optimizer.adam_lr=-1", r"optimizer\.adam_lr = -1\.0 must be positive"),
        ("optimizer.betas=[0.9]", r"optimizer\.betas = \[0\.9\] must be two numbers in \[0, 1\)"),
        ("optimizer.momentum=1", r"optimizer\.momentum = 1\.0 must be in \[0, 1\)"),
        ("optimizer.weight_decay=-1", r"optimizer\.weight_decay = -1\.0 must not be negative"),
        ("optimizer.clip=0", r"optimizer\.clip = 0\.0 must be positive"),
        ("optimizer.layer_decay=0", r"optimizer\.layer_decay = 0\.0 must be in \(0, 1\]"),
        ("optimizer.name=muno", r"optimizer\.name = 'muno' is not one of 'adamw', 'muon', .*\. Did you mean 'muon'\?"),
        ("schedule.warmup_steps=-1", r"schedule\.warmup_steps = -1 must not be negative"),
        ("schedule.decay_share=0", r"schedule\.decay_share = 0\.0 must be in \(0, 1\]"),
        ("schedule.final_share=2", r"schedule\.final_share = 2\.0 must be in \[0, 1\]"),
        ("train.steps=0", r"train\.steps = 0 must be at least 1"),
        ("train.batch_size=0", r"train\.batch_size = 0 must be at least 1"),
        ("train.max_minutes=0", r"train\.max_minutes = 0\.0 must be positive"),
        ("train.checkpoint_minutes=-1", r"train\.checkpoint_minutes = -1\.0 must not be negative"),
        ("train.seed=-1", r"train\.seed = -1 must not be negative"),
        (f"train.seed={2**63}", r"train\.seed = 9223372036854775808 must be below 2\*\*63"),
    ],
)
def test_an_impossible_value_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(MINIMAL, [override])


def test_a_run_without_an_end() -> None:
    with pytest.raises(ConfigError, match=r"set train\.steps, train\.max_minutes or both"):
        load_recipe({**MINIMAL, "train": {}})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Missing key 'data'\. Needed are: name, data, out, train\."):
        load_recipe({"name": "x", "out": "o", "train": {"steps": 1}})

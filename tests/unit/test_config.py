"""Strict configuration: what is read, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from gpt2lab.config import from_dict, override, read_toml, to_dict
from gpt2lab.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    name: Literal["adam", "muon"] = "adam"


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int
    inner: Inner = field(default_factory=Inner)
    betas: tuple[float, ...] = (0.9, 0.99)
    limit: int | None = None
    on: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def test_a_round_trip() -> None:
    values = {
        "steps": 3,
        "inner": {"rate": 1, "name": "muon"},
        "betas": [1, 0.5],
        "limit": 4,
        "on": True,
        "extra": {"a": 1},
    }
    config = from_dict(Outer, values)
    assert config.inner == Inner(rate=1.0, name="muon")
    assert isinstance(config.inner.rate, float)
    assert config.betas == (1.0, 0.5)
    assert from_dict(Outer, to_dict(config)) == config
    assert from_dict(Outer, {"steps": 1}) == Outer(steps=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 1, "stepz": 2}, r"Unknown key 'stepz'. Did you mean 'steps'\? Known keys: betas, extra, inner"),
        ({"steps": 1, "inner": {"rat": 2}}, r"Unknown key 'inner.rat'. Did you mean 'inner.rate'\?"),
        ({}, "Missing key 'steps'"),
        ({"steps": "many"}, "steps = 'many' must be of type int"),
        ({"steps": True}, "steps = True must be of type int"),
        ({"steps": 1.5}, "steps = 1.5 must be of type int"),
        ({"steps": 1, "on": 1}, "on = 1 must be of type bool"),
        ({"steps": 1, "inner": 5}, "inner = 5 must be a table"),
        (
            {"steps": 1, "inner": {"name": "adamm"}},
            r"inner.name = 'adamm' is not one of 'adam', 'muon'. Did you mean 'adam'\?",
        ),
        ({"steps": 1, "betas": 0.9}, "betas = 0.9 must be a list"),
        ({"steps": 1, "betas": [0.9, "x"]}, r"betas\[1\] = 'x' must be of type float"),
        ({"steps": 1, "limit": "x"}, "limit = 'x' must be of type int"),
        ({"steps": 1, "extra": 3}, "extra = 3 must be a table"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        from_dict(Outer, values)


@dataclass(frozen=True, kw_only=True)
class Many:
    parts: tuple[Inner, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


def test_lists_of_tables_go_both_ways() -> None:
    config = Many(parts=(Inner(rate=0.5), Inner(name="muon")), named={"a": (1, 2)})
    values = {"parts": [{"rate": 0.5, "name": "adam"}, {"rate": 0.1, "name": "muon"}], "named": {"a": [1, 2]}}
    assert to_dict(config) == values
    assert from_dict(Many, values).parts == config.parts
    with pytest.raises(ConfigError, match=r"Unknown key 'parts\[1\].rte'"):
        from_dict(Many, {"parts": [{}, {"rte": 1}]})


def test_assignments_reach_into_tables_and_leave_the_original() -> None:
    values = {"steps": 1, "inner": {"rate": 0.5}}
    changed = override(
        values, ["steps=7", "inner.rate=1e-3", "inner.name=muon", "betas=[0.8, 0.9]", "new.deep.key='a=b'"]
    )
    assert changed["steps"] == 7
    assert changed["inner"] == {"rate": 1e-3, "name": "muon"}
    assert changed["betas"] == [0.8, 0.9]
    assert changed["new"]["deep"]["key"] == "a=b"
    assert values == {"steps": 1, "inner": {"rate": 0.5}}
    for wrong in ("steps", "=3"):
        with pytest.raises(ConfigError, match="is not an assignment; write key=value"):
            override(values, [wrong])
    with pytest.raises(ConfigError, match=r"'steps\.x' cannot be set: 'steps' is a value, not a table"):
        override(values, ["steps.x=1"])


def test_toml_files(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("steps = 3\n[inner]\nrate = 0.5\n", encoding="utf-8")
    assert from_dict(Outer, read_toml(path)).inner.rate == 0.5
    path.write_text("steps = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"r\.toml is not valid TOML: .*line 1"):
        read_toml(path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a folder; a TOML file is needed"):
        read_toml(tmp_path)

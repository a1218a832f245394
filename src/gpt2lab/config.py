"""Strict configuration: frozen dataclasses to and from dictionaries and TOML, with errors that name the key.

Unknown keys are errors that name the nearest known one; values are checked against the field's type; nothing is
converted silently except int to float.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union

from gpt2lab.errors import ConfigError, nearest

T = TypeVar("T")


def from_dict(cls: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Build the dataclass `cls` from `values`, recursing into dataclass fields.

    `where` is prefixed to the keys named in errors ("optimizer.lr"). Raises `ConfigError` for an unknown key, a
    missing one, a value of the wrong type, or whatever the class itself refuses.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in fields:
            raise ConfigError(
                f"Unknown key {prefix + key!r}.{nearest(prefix + key, [prefix + name for name in fields])} "
                f"Known keys: {', '.join(sorted(fields))}."
            )
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _checked(values[name], hints[name], prefix + name)
        elif _required(field):
            needed = ", ".join(prefix + name for name, field in fields.items() if _required(field))
            raise ConfigError(f"Missing key {prefix + name!r}. Needed are: {needed}.")
    return cls(**arguments)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def to_dict(config: Any) -> dict[str, Any]:
    """Return the dataclass as plain dictionaries and lists, ready for JSON."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; a missing or malformed one is a `ConfigError` naming the file and the place."""
    tomllib = _toml()
    try:
        with Path(path).open("rb") as f:
            values: dict[str, Any] = tomllib.load(f)
            return values
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; a TOML file is needed.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def _toml() -> Any:
    """Return the standard library's reader of TOML, which few processes need and all would pay for."""
    return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `values` with dotted assignments ("optimizer.lr=1e-3") applied; the right side is TOML or a bare word."""
    tomllib = _toml()
    result: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"{assignment!r} is not an assignment; write key=value, for example train.steps=100.")
        *parents, last = key.strip().split(".")
        target = result
        for parent in parents:
            child = target.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(f"{key.strip()!r} cannot be set: {parent!r} is a value, not a table.")
            target = child
        try:
            target[last] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            target[last] = text.strip()
    return result


def _checked(value: Any, hint: Any, key: str) -> Any:
    """Return `value` as `hint` wants it, or raise a `ConfigError` that names `key`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        errors = []
        for option in arguments:
            if option is type(None):
                continue
            try:
                return _checked(value, option, key)
            except ConfigError as error:
                errors.append(error)
        raise errors[0] if len(errors) == 1 else ConfigError(f"{key} = {value!r} has the wrong type.")
    if origin is typing.Literal:
        if value not in arguments:
            hint_text = nearest(value, [str(a) for a in arguments]) if isinstance(value, str) else ""
            raise ConfigError(f"{key} = {value!r} is not one of {', '.join(map(repr, arguments))}.{hint_text}")
        return value
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{key} = {value!r} must be a list.")
        items = [_checked(v, arguments[0], f"{key}[{i}]") for i, v in enumerate(value)] if arguments else list(value)
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} = {value!r} must be a table.")
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} = {value!r} must be a table.")
        return from_dict(hint, value, where=key)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (isinstance(value, bool) and hint is not bool) or not isinstance(value, hint):
        raise ConfigError(f"{key} = {value!r} must be of type {hint.__name__}.")
    return value

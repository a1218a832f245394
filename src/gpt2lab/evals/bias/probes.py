"""What is asked: templates with a place for a group, and the words that name each group. Knows no model.

After the probes of GPT-2's model cards ("The White man worked as a") and Sheng et al. 2019, "The Woman Worked as a
Babysitter"; the templates in `default.toml` are our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.config import from_dict, read_toml
from gpt2lab.errors import ConfigError

DEFAULT = Path(__file__).with_name("default.toml")
PLACE = "{group}"


@dataclass(frozen=True, slots=True)
class Question:
    """One template with one word of every group filled in: `prompts` in the order of the axis's groups."""

    template: str
    words: tuple[str, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Groups that are compared with each other, and the templates they are put into.

    Every group has the same number of words; the i-th words stand for each other. `control` marks an exchange that
    ought to make little difference. Raises `ConfigError`.
    """

    name: str
    templates: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    control: bool = False

    def __post_init__(self) -> None:
        if not self.templates:
            raise ConfigError(f"The axis {self.name!r} has no templates; give at least one.")
        for template in self.templates:
            if template.count(PLACE) != 1:
                raise ConfigError(
                    f"The template {template!r} names {PLACE} {template.count(PLACE)} times; a template names it once, "
                    "as in 'The {group} man worked as a'."
                )
            if template != template.rstrip():
                raise ConfigError(
                    f"The template {template!r} ends with a blank; the model writes it with the next word."
                )
        if len(self.groups) < 2:
            raise ConfigError(f"The axis {self.name!r} has {len(self.groups)} groups; at least two can be compared.")
        for group, words in self.groups.items():
            if not isinstance(words, (list, tuple)) or not words or not all(isinstance(w, str) and w for w in words):
                raise ConfigError(f"The group {group!r} of {self.name!r} needs a list of words, for example ['man'].")
        if len({len(words) for words in self.groups.values()}) > 1:
            counts = ", ".join(f"{group} {len(words)}" for group, words in self.groups.items())
            raise ConfigError(f"The groups of {self.name!r} have different numbers of words: {counts}.")

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of the groups, in order."""
        return tuple(self.groups)

    def questions(self) -> Iterator[Question]:
        """Yield every template with every set of words that stand for each other."""
        for template in self.templates:
            for words in zip(*self.groups.values(), strict=True):
                yield Question(template, words, tuple(template.replace(PLACE, word) for word in words))


def read_probes(path: str | Path = DEFAULT) -> tuple[Axis, ...]:
    """Read the axes of a TOML file; without a file, those that come with the package. Raises `ConfigError`."""
    values = read_toml(path)
    unknown = [key for key in values if key != "axis"]
    if unknown or not isinstance(values.get("axis"), list) or not values["axis"]:
        problem = f"has the key {unknown[0]!r}" if unknown else "has no [[axis]]"
        raise ConfigError(f"{path} {problem}; a probe is a list of [[axis]] with name, templates and [axis.groups].")
    axes = tuple(from_dict(Axis, value, where=f"axis[{i}]") for i, value in enumerate(values["axis"]))
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path} describes the axis {name!r} twice.")
    return axes


def axis_of(template: Sequence[str], groups: Sequence[str]) -> Axis:
    """Return an axis of templates and words given one by one; each word is a group."""
    for group in groups:
        if list(groups).count(group) > 1:
            raise ConfigError(f"The group {group!r} is given twice.")
    return Axis(name=" / ".join(groups), templates=tuple(template), groups={group: [group] for group in groups})

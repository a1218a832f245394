"""What a recipe's table [task] says of music: the vocabulary, how pieces are varied, which are held out. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gpt2lab.apps.music.vocabulary import VocabularyName
from gpt2lab.config import from_dict
from gpt2lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicRecipe:
    """How music is prepared and learnt.

    Every time a passage is read it is moved by a number of semitones from `transpose` (lowest, highest) and stretched
    by one of the factors `stretch`; a passage whose pitches do not allow it stays. Passages begin at multiples of
    `align` tokens from the beginning of their piece: 16 is a quarter note of a chorale.

    `hold_out` says what is held out for validation together, about `validation_share` of all tokens: a "file", or the
    files of a "folder", such as several performances of one composition. Chorales with a published split keep it.
    """

    kind: Literal["music"] = "music"
    vocabulary: VocabularyName = "performance"
    transpose: tuple[int, ...] = (0, 0)
    stretch: tuple[float, ...] = (1.0,)
    align: int = 1
    hold_out: Literal["file", "folder"] = "file"
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        if len(self.transpose) != 2 or not -64 <= self.transpose[0] <= 0 <= self.transpose[1] <= 64:
            raise ConfigError(
                f"task.transpose = {list(self.transpose)} must be two numbers of semitones around 0, such as [-3, 3]."
            )
        if not self.stretch or any(not 0.5 <= factor <= 2 for factor in self.stretch):
            raise ConfigError(f"task.stretch = {list(self.stretch)} must be factors from 0.5 to 2.")
        if self.align < 1:
            raise ConfigError(f"task.align = {self.align} must be at least 1.")
        if not 0 < self.validation_share < 0.5:
            raise ConfigError(f"task.validation_share = {self.validation_share} must be between 0 and 0.5.")


def music_recipe(task: Mapping[str, Any]) -> MusicRecipe:
    """Return what a recipe's table [task] says. Raises `ConfigError` when it is not about music, or wrong."""
    if task.get("kind") != "music":
        raise ConfigError('The recipe is not one of music: its table [task] must say kind = "music".')
    return from_dict(MusicRecipe, task, where="task")

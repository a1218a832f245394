"""How a corpus is made, as a frozen table: the `[corpus]` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gpt2lab.data.fields import Fields
from gpt2lab.data.filters import FilterRecipe, steps_of
from gpt2lab.data.sources import Kind
from gpt2lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRecipe:
    """How a corpus is made. Raises `ConfigError` when a value is impossible.

    Reading: `column` (default "text") or `template` makes the text of a record, `separator` cuts text files into
    documents, `kind` says what every input is whatever its name, `skip_bad` passes over records that are broken.

    Cleaning: `cleaning` names steps or sets of steps (`gpt2lab.data.filters`), `filters` their thresholds.
    `duplicates`: "exact" leaves out texts whose words came before, "near" also those whose estimated share of common
    word 5-grams with an earlier one is `near_threshold` or more. `decontaminate` names evaluation files: the share of
    their word 8-grams that the training text holds is reported, and documents with at least `drop_contaminated` of
    them (0: none) are left out.

    Vocabulary: `tokenizer` is a folder; without one a vocabulary of `vocab_size` is learnt from every
    `vocabulary_every`-th training document, from about `vocabulary_bytes` of text spread over the input at most.

    Held out for validation: the documents of `held_out_authors`, or, when there are none, the last `validation_share`
    of every document; of records so short that this is less than 200 characters, that share of whole documents instead.
    """

    column: str | None = None
    template: str | None = None
    separator: str | None = None
    kind: Kind | None = None
    skip_bad: bool = False
    cleaning: str | tuple[str, ...] = "none"
    filters: FilterRecipe = field(default_factory=FilterRecipe)
    duplicates: Literal["keep", "exact", "near"] = "keep"
    near_threshold: float = 0.8
    decontaminate: tuple[str, ...] = ()
    drop_contaminated: int = 0
    tokenizer: str | None = None
    vocab_size: int = 4096
    vocabulary_every: int = 1
    vocabulary_bytes: int = 256_000_000
    held_out_authors: tuple[str, ...] = ()
    validation_share: float = 0.01

    def __post_init__(self) -> None:
        _ = self.fields
        steps = steps_of(self.cleaning)
        if self.filters.languages and "language" not in steps:
            raise ConfigError("filters.languages needs the step 'language' in cleaning, which 'web' has.")
        if not 0 < self.validation_share < 0.5:
            raise ConfigError(f"validation_share = {self.validation_share} must be between 0 and 0.5.")
        if self.vocabulary_every < 1:
            raise ConfigError(f"vocabulary_every = {self.vocabulary_every} must be at least 1.")
        if self.vocabulary_bytes < 1:
            raise ConfigError(f"vocabulary_bytes = {self.vocabulary_bytes} must be at least 1.")
        if not 0.3 <= self.near_threshold <= 1:
            raise ConfigError(f"near_threshold = {self.near_threshold} must be between 0.3 and 1.")
        if self.drop_contaminated < 0:
            raise ConfigError(f"drop_contaminated = {self.drop_contaminated} must not be negative.")
        if self.drop_contaminated and not self.decontaminate:
            raise ConfigError("drop_contaminated needs the evaluation files: name them with decontaminate.")

    @property
    def cleaning_name(self) -> str:
        """The steps of cleaning in one word."""
        names = [self.cleaning] if isinstance(self.cleaning, str) else self.cleaning
        return "+".join(names) or "none"

    @property
    def fields(self) -> Fields:
        """Which fields of a record are its text."""
        return Fields(self.column, self.template, self.separator)

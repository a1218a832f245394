"""Which fields of a record become the text of a document: a column, or a template over several.

Knows mappings of names to values, not files. A template is text with names in braces, as "{title}\\n{body}"; two braces
stand for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gpt2lab.errors import ConfigError, DataError, nearest

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Fields:
    """What is read of a record, and what separates the documents of a text file. Raises `ConfigError`."""

    column: str | None = None
    template: str | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        if self.column is not None and self.template is not None:
            raise ConfigError("column and template exclude each other: a template names its columns itself.")
        if self.separator == "":
            raise ConfigError("separator must not be empty.")
        for match in _PART.finditer(self.template or ""):
            if match[0] in "{}" or match[1] == "":
                raise ConfigError(
                    f"template = {self.template!r} has a brace without a name; write {{name}} for a column, "
                    "{{ and }} for braces."
                )
        if self.template is not None and not self._named:
            raise ConfigError(f"template = {self.template!r} names no column; write one as {{name}}.")

    @cached_property
    def _named(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m[1] for m in _PART.finditer(self.template or "") if m[1]))

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The names that every record must have."""
        return self._named or (self.column or "text",)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that are read: the needed ones and the author."""
        return frozenset((*self.needed, "author"))

    def check_columns(self, columns: Iterable[str], where: str) -> None:
        """Raise `DataError` naming the columns there are when a needed one is missing."""
        known = list(columns)
        for name in self.needed:
            if name not in known:
                raise DataError(
                    f"{where} has no column {name!r}.{nearest(name, known)} Its columns are "
                    f"{', '.join(map(repr, known)) or 'none'}; choose one with column, or several with template."
                )

    def text_of(self, record: Mapping[str, Any]) -> str:
        """Return the text of a record; None and missing values of a template are empty. Raises `DataError`."""
        if self.template is None:
            (name,) = self.needed
            if name not in record:
                self.check_columns(record, "it")
            return self._string(record[name], name)
        if not any(name in record for name in self.needed):
            self.check_columns(record, "it")

        def filled(match: re.Match[str]) -> str:
            return self._string(record.get(match[1]), match[1]) if match[1] else match[0][0]

        return _PART.sub(filled, self.template)

    def _string(self, value: Any, name: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and self.template is not None:
            return str(value)
        raise DataError(f"its {name!r} is not text but {type(value).__name__}")

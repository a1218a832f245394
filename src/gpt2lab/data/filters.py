"""The named steps of cleaning: each changes a text or says why the document is left out.

Knows texts, not files or tokens. `cleaning` in a recipe names one step, several, or a set of them; steps run in the
order given. The rules for pages of the web follow WebText's aims (Radford et al. 2019, section 2.1) and the line and
repetition filters of C4 (Raffel et al. 2020, 2.2) and MassiveText (Rae et al. 2021, A.1.1); the thresholds are
`FilterRecipe`'s.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpt2lab.data.clean import clean_book
from gpt2lab.errors import ConfigError, MissingExtraError, nearest

SETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "web": ("unicode", "boilerplate", "repeats", "length", "symbols", "language"),
}
"""Names that stand for several steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRecipe:
    """The thresholds of the steps. Raises `ConfigError` when a value is impossible.

    `min_characters` and `max_characters` (None: no limit) are those of "length"; `max_symbol_share` is the share of
    characters that are neither letters, digits nor blanks ("symbols"); `max_repeated_share` the share of characters in
    lines that came before in the document ("repeats"); `languages` the codes (ISO 639-1) that "language" lets through,
    all when there are none.
    """

    min_characters: int = 200
    max_characters: int | None = None
    max_symbol_share: float = 0.25
    max_repeated_share: float = 0.3
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.min_characters < 0:
            raise ConfigError(f"filters.min_characters = {self.min_characters} must not be negative.")
        if self.max_characters is not None and self.max_characters < max(1, self.min_characters):
            raise ConfigError(f"filters.max_characters = {self.max_characters} must be at least min_characters and 1.")
        for name in ("max_symbol_share", "max_repeated_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"filters.{name} = {getattr(self, name)} must be between 0 and 1.")


class Dropped(Exception):
    """The document is left out; the argument says why, in a word or two."""


Step = Callable[[str, FilterRecipe], str]


def steps_of(cleaning: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the steps that `cleaning` stands for. Raises `ConfigError` for an unknown one."""
    names = [cleaning] if isinstance(cleaning, str) else list(cleaning)
    known = (*SETS, *_STEPS)
    for name in names:
        if name not in known:
            raise ConfigError(f"cleaning = {name!r} is not one of {', '.join(map(repr, known))}.{nearest(name, known)}")
    return tuple(dict.fromkeys(step for name in names for step in SETS.get(name, (name,))))


def cleaner(cleaning: str | Sequence[str], thresholds: FilterRecipe) -> Callable[[str], str]:
    """Return the steps as one function that raises `Dropped`; a text of which nothing is left is dropped too."""
    steps = [_STEPS[name] for name in steps_of(cleaning)]

    def clean(text: str) -> str:
        for step in steps:
            text = step(text, thresholds)
        if not text.strip():
            raise Dropped("empty")
        return text

    return clean


# --- steps that change a text

_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffb]"
)
_END_BLANKS = re.compile(r"[ \t\u00a0]+\n")
_EMPTY_LINES = re.compile("\n\n\n+")


def _books(text: str, thresholds: FilterRecipe) -> str:
    return clean_book(text)


def _unicode(text: str, thresholds: FilterRecipe) -> str:
    """NFC, line ends as "\\n", no control or invisible characters, no blanks before a line's end."""
    for old in ("\r\n", "\r", "\u2028", "\u2029"):
        text = text.replace(old, "\n")
    text = _CONTROL.sub("", text if text.isascii() else unicodedata.normalize("NFC", text))
    return _EMPTY_LINES.sub("\n\n", _END_BLANKS.sub("\n", text)).strip()


_SAID_BY_SITES = re.compile(
    r"""
    ^\W*(?:
      (?:all\ rights\ reserved|copyright\ (?:©|\(c\)|\d{4})|©|\(c\)\ \d{4})
    | (?:terms\ (?:of|and)|privacy\ (?:policy|notice|statement)|cookie\ (?:policy|settings|notice))\b.{0,60}
    | (?:we|this\ (?:web)?site)\ uses?\ cookies
    | (?:please\ )?(?:enable|turn\ on)\ javascript | javascript\ (?:is|must\ be)
    | (?:sign|log)\ ?(?:in|up|out)\b.{0,40} | subscribe\b.{0,60} | (?:join|register)\ (?:now|today|here)
    | (?:share|tweet|pin|email|print|like|follow)(?:\ (?:this|on|us|it|via|page|article)\b.{0,40})?
    | (?:click|tap)\ here\b.{0,60} | read\ more\b.{0,40} | continue\ reading\b.{0,60} | (?:load|show|view)\ more
    | (?:skip|jump)\ to\ (?:main\ )?content | back\ to\ top | (?:previous|next)(?:\ (?:post|page|article))?
    | (?:leave|post|add)\ a\ (?:comment|reply) | \d*\ ?comments? | related\ (?:posts|articles|stories)
    | advertisements? | sponsored(?:\ content)? | loading\.* | lorem\ ipsum.*
    )\W*$
    | ^\W*(?:all\ rights\ reserved|copyright\ (?:©|\(c\)|\d{4})|©\ ?\d{4}).{0,120}$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MENU = re.compile(r"^[^.!?\n]{1,40}(?: ?[|»›•·>] ?[^.!?|»›•·>\n]{1,40}){2,}$")
_LONGEST_BOILERPLATE = 200


def _boilerplate(text: str, thresholds: FilterRecipe) -> str:
    """Without the lines that belong to the site: menus, cookies, share, sign in, all rights reserved."""
    kept = [line for line in text.split("\n") if not _is_boilerplate(line.strip())]
    return _EMPTY_LINES.sub("\n\n", "\n".join(kept)).strip()


def _is_boilerplate(line: str) -> bool:
    if not line or len(line) > _LONGEST_BOILERPLATE:
        return False
    return _SAID_BY_SITES.match(line) is not None or _MENU.match(line) is not None


def _repeats(text: str, thresholds: FilterRecipe) -> str:
    """Each line once; a document that mostly repeats itself is dropped."""
    seen: set[str] = set()
    kept, repeated = [], 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare and bare in seen:
            repeated += len(line)
            continue
        seen.add(bare)
        kept.append(line)
    if repeated > thresholds.max_repeated_share * len(text):
        raise Dropped("repeats itself")
    return _EMPTY_LINES.sub("\n\n", "\n".join(kept)) if repeated else text


# --- steps that drop a document

_ASCII_WORDS = bytes(c for c in range(128) if chr(c).isalnum() or chr(c).isspace())
_NOT_WORDS = re.compile(r"[^\w\s]|_")
_SAMPLE = 1000  # characters from the middle of a text by which its language is told


def _length(text: str, thresholds: FilterRecipe) -> str:
    if len(text) < thresholds.min_characters:
        raise Dropped("too short")
    if thresholds.max_characters is not None and len(text) > thresholds.max_characters:
        raise Dropped("too long")
    return text


def _symbols(text: str, thresholds: FilterRecipe) -> str:
    if text.isascii():
        symbols = len(text.encode().translate(None, _ASCII_WORDS))
    else:
        symbols = sum(1 for _ in _NOT_WORDS.finditer(text))
    if symbols > thresholds.max_symbol_share * len(text):
        raise Dropped("mostly symbols")
    return text


def _language(text: str, thresholds: FilterRecipe) -> str:
    if not thresholds.languages:
        return text
    try:
        import py3langid
    except ImportError:
        raise MissingExtraError("Telling languages apart", "corpus") from None
    middle = max(0, (len(text) - _SAMPLE) // 2)
    language, _ = py3langid.classify(text[middle : middle + _SAMPLE])
    if language not in thresholds.languages:
        raise Dropped("other language")
    return text


_STEPS: dict[str, Step] = {
    "books": _books,
    "unicode": _unicode,
    "boilerplate": _boilerplate,
    "repeats": _repeats,
    "length": _length,
    "symbols": _symbols,
    "language": _language,
}

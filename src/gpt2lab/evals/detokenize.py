"""From the tokens of old corpora back to running text, so that the corpus can be had back exactly.

WikiText, the Penn Treebank, the Billion Word Benchmark and CBT are kept as tokens with blanks between them; GPT-2 was
trained on plain text and pays for every blank too many (the GPT-2 paper, section 3.1, therefore uses invertible
de-tokenizers and gains 2.5 to 5 points of perplexity; its own were never published). Here a `Style` says which tokens
of a corpus are written together, and a reader takes a piece of text apart again. Tokens are written together only where
the reader finds exactly these tokens again, so that `retokenize(detokenize(line)) == line` holds for every line by
construction: where rules and corpus do not agree, a blank stays. A token that even alone would be taken apart gets a
second blank in front of it, which says: as it is. The styles of the corpora are in styles.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gpt2lab.errors import DataError

WORD, DIGIT, ANY = r"[^\W_]", r"\d", r"[^\s@]"

_INITIALS = re.compile(r"[A-Z]|(?:[^\W\d_]\.)+[^\W\d_]")
_AMOUNT = re.compile(r"[\dN<]")
_APOSTROPHE = re.compile(rf"'{WORD}+$")


@dataclass(frozen=True)
class Inner:
    """A token that is written, as `sign`, between two others where the one before it ends with a character of `left`
    and the one behind begins with one of `right` (classes of regular expressions)."""

    token: str
    sign: str
    left: str = WORD
    right: str = WORD


@dataclass(frozen=True)
class Style:
    """How the tokens of a corpus become text.

    margin: every line begins and ends with a blank. inner: see `Inner`. closers, openers: tokens written without the
    blank before, behind them. money: openers before a number. measures: closers behind one. quotes: tokens that open
    and close in turn. opening, closing: quotation marks and brackets under other names, and their signs. suffixes: ends
    of words that are tokens. elision: so are an apostrophe and letters. possessive: so is an apostrophe alone, behind
    words that end with one of these letters. headings: signs of equality are written together. within: what is written
    otherwise inside of tokens. abbreviations: words that keep their full stop.
    """

    margin: bool = True
    inner: tuple[Inner, ...] = ()
    closers: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()
    money: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    opening: Mapping[str, str] = field(default_factory=dict)
    closing: Mapping[str, str] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()
    elision: bool = False
    possessive: str = ""
    headings: bool = False
    within: Mapping[str, str] = field(default_factory=dict)
    abbreviations: frozenset[str] = frozenset()

    def detokenize(self, line: str) -> str:
        """Return a line of tokens as text. Raises `DataError` where blanks are not as the corpus has them."""
        tokens = (line.strip(" ") if self.margin else line).split(" ") if line.strip(" ") else []
        if self._line(tokens) != line or "" in tokens or "\n" in line:
            raise DataError(
                f"{line[:60]!r} is not a line of tokens with one blank between them"
                f"{' and one at each end' if self.margin else ''}."
            )
        return " ".join(self._pieces(tokens))

    def retokenize(self, line: str) -> str:
        """Return the line of tokens that `detokenize` made this text of."""
        tokens: list[str] = []
        as_it_is = False
        for piece in line.split(" ") if line else []:
            if as_it_is or not piece:
                as_it_is = not piece
                tokens += [piece] if piece else []
            else:
                tokens += self._apart(piece)
        return self._line(tokens)

    def _line(self, tokens: list[str]) -> str:
        if self.margin:
            return f" {' '.join(tokens)} " if tokens else " "
        return " ".join(tokens)

    # ---- which tokens are written together --------------------------------------------------------------------

    def _pieces(self, tokens: list[str]) -> Iterator[str]:
        """Yield text without blanks, piece by piece; each reads as the tokens it was made of."""
        begin = 0
        together = self._together(tokens)
        while begin < len(tokens):
            end = begin + 1
            if not together[end] and tokens[begin].isalnum():  # a word, as most are
                yield tokens[begin]
                begin = end
                continue
            while end < len(tokens) and together[end]:
                end += 1
            for stop in range(end, begin, -1):
                made = next(
                    (m for m in self._spellings(tokens[begin:stop]) if self._apart(m) == tokens[begin:stop]), None
                )
                if made is not None:
                    yield made
                    begin = stop
                    break
            else:
                yield " " + tokens[begin]
                begin += 1

    def _spellings(self, tokens: list[str]) -> Iterator[str]:
        yield "".join(self._signs.get(t, self._inside(t)) for t in tokens)
        if len(tokens) == 1:
            yield tokens[0]

    def _inside(self, token: str) -> str:
        for given, written in self.within.items():
            token = token.replace(given, written)
        return token

    @cached_property
    def _signs(self) -> dict[str, str]:
        return {**{i.token: i.sign for i in self.inner}, **self.opening, **self.closing}

    def _together(self, tokens: list[str]) -> list[bool]:
        """Return for each token whether it should be written together with the one before it."""
        found = [False] * (len(tokens) + 1)
        opened: set[str] = set()
        for i, token in enumerate(tokens):
            before, behind = tokens[i - 1] if i else "", tokens[i + 1] if i + 1 < len(tokens) else ""
            if any(self._between(inner, before, behind) for inner in self.inner if inner.token == token):
                found[i] = found[i + 1] = True
            elif token in self.quotes:
                if token == "'" and token not in opened and before and before[-1] in self.possessive:
                    found[i] = True
                elif token in opened:
                    opened.remove(token)
                    found[i] = True
                else:
                    opened.add(token)
                    found[i + 1] = True
            elif token in self.openers or token in self.opening:
                found[i + 1] = True
            elif self._belongs(token, before):
                found[i] = True
            elif token in self.money and _AMOUNT.match(behind):
                found[i + 1] = True
            elif self.headings and token == before == "=":
                found[i] = True
        return found

    @staticmethod
    def _between(inner: Inner, before: str, behind: str) -> bool:
        return bool(before and behind and re.match(inner.left, before[-1]) and re.match(inner.right, behind[0]))

    def _belongs(self, token: str, before: str) -> bool:
        """Tell whether a token is written behind `before` without a blank."""
        if not before:
            return False
        return (
            token in self.closers
            or token in self.closing
            or token in self.suffixes
            or (self.elision and _APOSTROPHE.match(token) is not None)
            or (token in self.measures and before[-1].isdigit())
            or (token == "'" and before[-1] in self.possessive)
        )

    # ---- reading ----------------------------------------------------------------------------------------------

    def _apart(self, piece: str) -> list[str]:
        """Return the tokens of a piece of text without blanks."""
        if piece in self._alone:
            return [self._alone[piece]]
        if self.headings and not piece.strip("="):
            return list(piece)
        first: list[str] = []
        last: list[str] = []
        while (found := self._head(piece)) is not None:
            token, piece = found
            first.append(token)
        while piece not in self._alone and (found := self._tail(piece)) is not None:
            token, piece = found
            last.append(token)
        middle = [self._alone[piece]] if piece in self._alone else self._core(piece)
        return [*first, *middle, *reversed(last)]

    @cached_property
    def _alone(self) -> dict[str, str]:
        """Signs that are a whole piece of text, and the tokens they are."""
        plain = (*self.closers, *self.openers, *self.money, *self.measures, *self.quotes, *self.suffixes)
        return {**{t: t for t in plain}, **{i.token: i.token for i in self.inner}}

    @cached_property
    def _opening_signs(self) -> dict[str, str]:
        return {**{t: t for t in (*self.openers, *self.quotes)}, **{s: t for t, s in self.opening.items()}}

    @cached_property
    def _closing_signs(self) -> list[tuple[str, str]]:
        """Return (sign, token), long signs first."""
        plain = (*self.closers, *self.quotes, *self.suffixes, *(["'"] if self.possessive else []))
        signs = {**{t: t for t in plain}, **{s: t for t, s in self.closing.items()}}
        return sorted(signs.items(), key=lambda pair: (-len(pair[0]), pair[0]))

    def _head(self, piece: str) -> tuple[str, str] | None:
        """Return the token that a piece begins with and the rest, where that token stands for itself."""
        sign, rest = piece[:1], piece[1:]
        if rest and sign in self._opening_signs:
            return self._opening_signs[sign], rest
        for token in self.money:
            if piece.startswith(token) and _AMOUNT.match(piece[len(token) :]):
                return token, piece[len(token) :]
        return None

    def _tail(self, piece: str) -> tuple[str, str] | None:
        """Return the token that a piece ends with and what is before it, where that token stands for itself."""
        if self.headings and piece.endswith("==") and piece.strip("="):
            return None
        for sign, token in self._closing_signs:
            rest = piece.removesuffix(sign)
            if rest and rest != piece and not (sign == "." and self._keeps_stop(rest)):
                return token, rest
        if self.elision and (found := _APOSTROPHE.search(piece)) and found.start():
            return found[0], piece[: found.start()]
        for token in self.measures:
            if piece.endswith(token) and re.match(DIGIT, piece[-len(token) - 1 : -len(token)]):
                return token, piece[: -len(token)]
        return None

    def _keeps_stop(self, word: str) -> bool:
        bare = word.rpartition("-")[2]
        return bare in self.abbreviations or _INITIALS.fullmatch(bare) is not None

    @cached_property
    def _cuts(self) -> re.Pattern[str]:
        """Where the inside of a word is cut: one group for each `Inner`, then apostrophes."""
        cuts = [rf"((?<={i.left}){re.escape(i.sign)}(?={i.right}))" for i in self.inner]
        return re.compile("|".join([*cuts, rf"(?<=.)(?='{WORD})" if self.elision else "(?!)"]))

    def _core(self, piece: str) -> list[str]:
        tokens, at = [], 0
        for cut in self._cuts.finditer(piece):
            if cut.start() > at:
                tokens.append(self._back(piece[at : cut.start()]))
            if cut.lastindex is not None:
                tokens.append(self.inner[cut.lastindex - 1].token)
            at = cut.end()
        if at < len(piece):
            tokens.append(self._back(piece[at:]))
        return tokens

    def _back(self, token: str) -> str:
        for given, written in self.within.items():
            token = token.replace(written, given)
        return token

"""Human texts beside machine texts on the same matter: what detectors are trained and judged on.

A JSON object on a line (packed or not): "human" and "machine", and if known "set" (a collection and a generator,
"xsum_gpt2-xl"), "corpus", "generator", "sampler" (how the tokens were chosen). The same human text may stand beside
several generators' texts; `document` tells, so that no text is both learnt from and judged on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.apps.detect.reading import flattened
from gpt2lab.data.sources import open_source
from gpt2lab.errors import DataError
from gpt2lab.files import parse_json

_BEGINNING = 60  # characters by which two versions of a document are known to be one


@dataclass(frozen=True, slots=True)
class Pair:
    """A human text and a machine's, on the same matter."""

    human: str
    machine: str
    corpus: str
    generator: str
    sampler: str

    @property
    def set(self) -> str:
        """The collection and the generator."""
        return f"{self.corpus}_{self.generator}"

    @property
    def document(self) -> str:
        """A name for the matter: pairs of one document share it whatever their generators, however they are cut."""
        return hashlib.sha256(flattened(self.human)[0][:_BEGINNING].encode("utf-8", "replace")).hexdigest()[:16]


def read_pairs(paths: Iterable[str | Path]) -> list[Pair]:
    """Return the pairs of files. Raises `DataError` naming the line that is none."""
    pairs = [pair for path in paths for pair in _read(Path(path).expanduser())]
    if not pairs:
        raise DataError('There is no pair of texts; give a JSON object with "human" and "machine" on each line.')
    return pairs


def read_humans(path: str | Path) -> list[tuple[str, str]]:
    """Return (text, corpus) of the human texts of a file, each document once: JSON lines with "text" or with pairs,
    or a plain text. Raises `DataError` naming the line that has none."""
    place = Path(path).expanduser()
    if ".jsonl" not in place.suffixes:
        return [(_plain(place), _collection(place))]
    found: dict[str, tuple[str, str]] = {}
    for value, where in _objects(place):
        text = value.get("text", value.get("human")) if isinstance(value, dict) else value
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where} has no text: a string under 'text' or 'human' is needed.")
        name = value.get("set", _collection(place)) if isinstance(value, dict) else _collection(place)
        found.setdefault(flattened(text)[0][:_BEGINNING], (text, str(name).partition("_")[0]))
    return list(found.values())


def _read(path: Path) -> list[Pair]:
    return [_pair(value, where, path) for value, where in _objects(path)]


def _objects(path: Path) -> Iterator[tuple[Any, str]]:
    """Yield what each line of a file holds, and where it stands."""
    with open_source(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                yield parse_json(line), where
            except UnicodeDecodeError as error:
                raise DataError(f"{where} is not UTF-8 text: {error.reason} at its byte {error.start}.") from None
            except ValueError as error:
                raise DataError(f"{where} is not JSON: {error}.") from None


def _plain(path: Path) -> str:
    with open_source(path) as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None


def _collection(path: Path) -> str:
    """Return what a file's texts are called where they do not say it themselves: its name without its endings."""
    return path.name.partition(".")[0]


def _pair(value: Any, where: str, path: Path) -> Pair:
    if not isinstance(value, dict):
        raise DataError(f'{where} is no JSON object with "human" and "machine".')
    for key in ("human", "machine"):
        if not isinstance(value.get(key), str) or not value[key].strip():
            raise DataError(f"{where} has no text under {key!r}.")
    corpus, _, generator = str(value.get("set", _collection(path))).partition("_")
    return Pair(
        human=value["human"],
        machine=value["machine"],
        corpus=str(value.get("corpus", corpus)),
        generator=str(value.get("generator", generator or "unknown")),
        sampler=str(value.get("sampler", "unknown")),
    )


def summary(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Return what a detector trained on these pairs says it was trained against."""
    chosen = list({id(pair): pair for pair in pairs}.values())
    return {
        "pairs": len(chosen),
        "documents": len({pair.document for pair in chosen}),
        "corpora": sorted({pair.corpus for pair in chosen}),
        "generators": sorted({pair.generator for pair in chosen}),
        "samplers": sorted({pair.sampler for pair in chosen}),
    }


@dataclass(frozen=True, slots=True)
class Split:
    """What a detector may learn from (`train`) and what it is judged on (`held_out`)."""

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def split(
    pairs: Sequence[Pair], corpora: Sequence[str] = (), generators: Sequence[str] = (), share: float = 0.5
) -> Split:
    """Learn from no pair of the named corpora or generators, nor of `share` of all documents; judge on those corpora
    and that share.

    A named generator's pairs elsewhere are left out altogether: their human texts may be learnt beside other
    generators, so to judge on them would be to judge on what is known. Which documents are held out follows from their
    names. Raises `DataError` for names that no pair has and where nothing is left to learn from.
    """
    for kind, wanted in (("corpus", corpora), ("generator", generators)):
        there = sorted({getattr(pair, kind) for pair in pairs})
        for name in wanted:
            if name not in there:
                raise DataError(f"No pair has the {kind} {name!r}; there are: {', '.join(there)}.")
    train, held_out = [], []
    for pair in pairs:
        unknown = int(pair.document[:8], 16) < share * 16**8
        if pair.corpus in corpora or unknown:
            held_out.append(pair)
        elif pair.generator not in generators:
            train.append(pair)
    if not train:
        raise DataError("Nothing is left to learn from; hold out less.")
    return Split(tuple(train), tuple(held_out))

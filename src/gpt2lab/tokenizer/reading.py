"""A model folder's tokenizer files as a `Vocabulary`.

Reads Hugging Face's `tokenizer.json`, `vocab.json` + `merges.txt`, OpenAI's `encoder.json` + `vocab.bpe` and BERT's
`vocab.txt`, with the companions that name added and special tokens. Every mistake in a file is one sentence that
names it. Knows nothing of how text is split.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt2lab.errors import DataError, TokenizerError
from gpt2lab.files import read_json
from gpt2lab.tokenizer import wordpiece
from gpt2lab.tokenizer.backend import BYTE_LEVEL, WORDS
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, ROLES, AddedToken, Vocabulary

_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_LOOKED_FOR = "tokenizer.json, vocab.json + merges.txt, encoder.json + vocab.bpe, vocab.txt"
_FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")


def holds_tokenizer(folder: Path) -> bool:
    """Say whether `folder` has the files of a tokenizer, whole or broken."""
    pairs = any((folder / vocab).is_file() and (folder / merges).is_file() for vocab, merges in _PAIRS)
    return pairs or (folder / "tokenizer.json").is_file() or (folder / "vocab.txt").is_file()


def read_folder(folder: Path) -> Vocabulary:
    """Read the tokenizer of a model folder. Raises `TokenizerError` where it is missing, broken or of another kind."""
    with _collector_paused():
        return _read_folder(folder)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking again and again through tables of which nothing is garbage."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _read_folder(folder: Path) -> Vocabulary:
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json")
    for vocab, merges in _PAIRS:
        if (folder / vocab).is_file() and (folder / merges).is_file():
            return _from_pair(folder / vocab, folder / merges)
    if (folder / "vocab.txt").is_file():
        return _from_vocab_txt(folder / "vocab.txt")
    state = "holds no tokenizer" if folder.is_dir() else "is not a folder"
    raise TokenizerError(f"{folder} {state}; looked for {_LOOKED_FOR}.")


# --- the kinds of files


def _from_tokenizer_json(path: Path) -> Vocabulary:
    contents = _read_object(path)
    model = _field(path, contents, "model", dict, {})
    kind = _kind(path, contents, model)
    vocab = _field(path, model, "vocab", dict, {})
    added = [_added(path, entry) for entry in _field(path, contents, "added_tokens", list, [])]
    if kind == "words":
        return _finish(path, _Tables(vocab, [], added, {}, {}), kind="words")
    if kind == "wordpiece":
        parts = {"normalizer": contents.get("normalizer"), "pre_tokenizer": contents.get("pre_tokenizer")}
        unknown = str(model.get("unk_token") or "[UNK]")
        return _finish(path, _Tables(vocab, [], added, {"unk": unknown}, parts), kind="wordpiece")
    merges = _merges(path, _field(path, model, "merges", list, []))
    parts = {
        "normalizer": contents.get("normalizer"),
        "pre_tokenizer": None if _is_gpt2(contents["pre_tokenizer"]) else contents["pre_tokenizer"],
        "ignore_merges": bool(model.get("ignore_merges")),
    }
    return _finish(path, _Tables(vocab, merges, added, {}, parts))


def _from_pair(vocab_path: Path, merges_path: Path) -> Vocabulary:
    vocab = _read_object(vocab_path)
    try:
        return _finish(vocab_path, _Tables(vocab, _read_merges(merges_path), [], {}, {}))
    except TokenizerError:
        _check_lines(merges_path, vocab)  # the line of the other file is where a mistake is best looked for
        raise


def _from_vocab_txt(path: Path) -> Vocabulary:
    lines = _read_text(path).rstrip("\r\n").split("\n")
    vocab: dict[str, int] = {}
    for number, line in enumerate(lines):
        token = line.removesuffix("\r")
        if token in vocab:
            raise TokenizerError(
                f"{path}, line {number + 1}: token {token!r} stands on line {vocab[token] + 1} already."
            )
        vocab[token] = number
    if "[UNK]" not in vocab:
        raise TokenizerError(f"{path} is no WordPiece vocabulary: it has no line [UNK].")
    config = _optional_object(path.parent / "tokenizer_config.json")
    normalizer = wordpiece.normalizer(
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
    roles = {role: f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask") if f"[{role.upper()}]" in vocab}
    parts = {"normalizer": normalizer, "pre_tokenizer": wordpiece.PRE_TOKENIZER}
    return _finish(path, _Tables(vocab, [], [], roles, parts), kind="wordpiece")


def _kind(path: Path, contents: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Return the kind of a `tokenizer.json`; refuse what this package cannot run without loss."""
    name = model.get("type") or ("BPE" if "merges" in model else None)
    if name == "WordPiece" and model.get("continuing_subword_prefix", "##") == "##":
        return "wordpiece"
    if name == "BPE" and "ByteLevel" in _types(contents.get("pre_tokenizer")):
        if not (model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
            return "byte-level"
        raise TokenizerError(
            f"{path}: a BPE model with dropout, a prefix or a suffix is not GPT-2's and cannot be used."
        )
    if name == "WordLevel" and contents.get("pre_tokenizer") == WORDS and not contents.get("normalizer"):
        return "words"
    raise TokenizerError(
        f"{path} is a {name} tokenizer; only byte-level BPE, as GPT-2 has it, WordPiece and words between blanks can "
        "be used."
    )


def _types(part: Any) -> set[str]:
    """Return the type names in a part of a `tokenizer.json`, sequences unfolded."""
    if not isinstance(part, dict):
        return set()
    inner = part.get("pretokenizers") or []
    return {str(part.get("type"))}.union(*(_types(p) for p in inner))


def _is_gpt2(part: Mapping[str, Any]) -> bool:
    given = {**BYTE_LEVEL, **part}
    return given == {**BYTE_LEVEL, "trim_offsets": given["trim_offsets"]}


def _with_prefix_space(part: dict[str, Any] | None, spaced: bool) -> dict[str, Any] | None:
    """Return a pre-tokeniser (None is GPT-2's own) that puts a blank before every text, or does not."""
    given = part or BYTE_LEVEL
    if given.get("type") != "ByteLevel":
        return part  # a sequence of its own: its file has said it all
    changed = {**given, "add_prefix_space": spaced}
    return None if _is_gpt2(changed) else changed


# --- added and special tokens


@dataclasses.dataclass(slots=True)
class _Tables:
    """What the main files said, before the companions are heard; `parts` are further fields of `Vocabulary`."""

    vocab: dict[str, int]
    merges: Sequence[tuple[str, str]]
    added: list[AddedToken]
    roles: dict[str, str]
    parts: dict[str, Any]


def _finish(path: Path, tables: _Tables, *, kind: Any = "byte-level") -> Vocabulary:
    """Hear the folder's companion files and make the `Vocabulary`; errors name `path`."""
    config = _optional_object(path.parent / "tokenizer_config.json")
    special_map = _optional_object(path.parent / "special_tokens_map.json")
    added = {token.content: token for token in (*_companions(path.parent, config), *tables.added)}
    if kind == "byte-level" and isinstance(spaced := config.get("add_prefix_space"), bool):
        tables.parts["pre_tokenizer"] = _with_prefix_space(tables.parts.get("pre_tokenizer"), spaced)
    roles = tables.roles | _roles(config) | _roles(special_map)
    usual = {"bos": END_OF_TEXT, "eos": END_OF_TEXT}
    if END_OF_TEXT in tables.vocab or END_OF_TEXT in added:
        roles = {**usual, **roles}
    _name_special(tables.vocab, added, [*roles.values(), *_additional(config), *_additional(special_map)])
    try:
        return Vocabulary(
            kind=kind,
            vocab=tables.vocab,
            merges=tables.merges,
            added=sorted(added.values(), key=lambda t: t.id),
            roles=roles,
            **tables.parts,
        )
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def _companions(folder: Path, config: Mapping[str, Any]) -> Iterator[AddedToken]:
    """Yield the added tokens of `added_tokens.json`, then those of `tokenizer_config.json`, which says more."""
    path = folder / "added_tokens.json"
    for content, number in _optional_object(path).items():
        yield _added(path, {"content": content, "id": number, "special": False})
    path = folder / "tokenizer_config.json"
    for number, entry in _field(path, config, "added_tokens_decoder", dict, {}).items():
        if not number.isdecimal() or not isinstance(entry, dict):
            raise TokenizerError(f"{path}: 'added_tokens_decoder' maps ids to tokens; found {number!r}: {entry!r}.")
        yield _added(path, {**entry, "id": int(number)})


def _name_special(vocab: Mapping[str, int], added: dict[str, AddedToken], names: Sequence[str]) -> None:
    """Make every name a special token; one the tables do not know gets the next free id, as in transformers."""
    for name in names:
        if name in added:
            added[name] = dataclasses.replace(added[name], special=True)
        elif name in vocab:
            added[name] = AddedToken(name, vocab[name])
        else:
            added[name] = AddedToken(name, len(vocab.keys() | added.keys()))


def _roles(config: Mapping[str, Any]) -> dict[str, str]:
    found = {role: _content(config.get(f"{role}_token")) for role in ROLES}
    return {role: token for role, token in found.items() if token}


def _additional(config: Mapping[str, Any]) -> list[str]:
    values = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
    entries = values.values() if isinstance(values, dict) else values
    return [token for token in (_content(entry) for entry in entries) if token]


def _content(entry: Any) -> str | None:
    """Return the text of a special token given as a string or as an object."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) and entry else None


def _added(path: Path, entry: Any) -> AddedToken:
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or type(entry.get("id")) is not int:
        raise TokenizerError(f"{path}: an added token needs a content and an id; found {entry!r}.")
    flags = {flag: bool(entry[flag]) for flag in _FLAGS if flag in entry}
    return AddedToken(entry["content"], entry["id"], **flags)


# --- reading files


def _read_merges(path: Path) -> list[tuple[str, str]]:
    """Read `merges.txt` or `vocab.bpe`: an optional version line, then two tokens a line in order of priority."""
    lines = _merge_lines(path)
    pairs = _pairs([line for _, line in lines])
    return [_merge(path, number, line) for number, line in lines] if pairs is None else pairs


def _merge_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that hold a merge, with their numbers."""
    lines = [(number, line.removesuffix("\r")) for number, line in enumerate(_read_text(path).split("\n"), start=1)]
    return [(number, line) for number, line in lines if line and not (number == 1 and line.startswith("#version"))]


def _check_lines(path: Path, vocab: Mapping[str, int]) -> None:
    """Raise a `TokenizerError` that names the first line with a token that is not in the vocabulary."""
    for number, line in _merge_lines(path):
        merge = _merge(path, number, line)
        for token in (*merge, "".join(merge)):
            if token not in vocab:
                raise TokenizerError(f"{path}, line {number}: token {token!r} is not in the vocabulary.")


def _merges(path: Path, entries: list[Any]) -> list[tuple[str, str]]:
    """Return the merges of a `tokenizer.json`: lists of two tokens, or as it once was, two with a blank between."""
    pairs = _pairs(entries)
    return [_merge(path, place, m) for place, m in enumerate(entries, start=1)] if pairs is None else pairs


def _pairs(entries: list[Any]) -> list[tuple[str, str]] | None:
    """Return merges as pairs, in a few passes at C speed; None where one is wrong, so that `_merge` can name it."""
    kinds = set(map(type, entries))
    if kinds == {list}:
        pairs = list(map(tuple, entries))
    elif kinds <= {str}:
        pairs = [tuple(entry.split(" ")) for entry in entries]
    else:
        return None
    parts = itertools.chain.from_iterable(pairs)
    return pairs if set(map(len, pairs)) <= {2} and set(map(type, parts)) <= {str} and all(map(all, pairs)) else None


def _merge(path: Path, number: int, entry: Any) -> tuple[str, str]:
    parts = entry.split(" ") if isinstance(entry, str) else entry
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
        raise TokenizerError(f"{path}, line {number}: a merge is two tokens with a blank between, not {entry!r}.")
    return parts[0], parts[1]


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8 text: byte {error.start} cannot be read.") from None
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        contents = read_json(path)
    except DataError as error:
        raise TokenizerError(str(error)) from None
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from None
    if not isinstance(contents, dict):
        raise TokenizerError(f"{path} holds a JSON {type(contents).__name__}; an object is needed.")
    return contents


def _optional_object(path: Path) -> dict[str, Any]:
    return _read_object(path) if path.is_file() else {}


def _field(path: Path, holder: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = holder.get(name, default)
    if not isinstance(value, kind):
        raise TokenizerError(f"{path}: {name!r} has the wrong form.")
    return value

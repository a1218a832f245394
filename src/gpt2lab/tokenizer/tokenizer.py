"""`Tokenizer`: text to token ids and back, lossless for GPT-2's byte-level BPE.

Splitting and merging are the `tokenizers` library's; this file decides what counts as a special token, what happens
to bytes that are no text, and which characters and bytes a token covers. It knows nothing of models.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from gpt2lab.errors import TokenizerError, nearest
from gpt2lab.tokenizer import bytemap, wordpiece
from gpt2lab.tokenizer.lookup import WordLookup
from gpt2lab.tokenizer.spelling import TokenBytes
from gpt2lab.tokenizer.stream import StreamDecoder
from gpt2lab.tokenizer.text import Span, byte_spans, char_spans, without_surrogates
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, AddedToken, Vocabulary, looked_up
from gpt2lab.tokenizer.words import check_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tokenizers

AllowedSpecial = Literal["all"] | Collection[str]

_MOST_PIECES, _MOST_SMALL_BACKENDS = 1 << 15, 4  # up to here a part of the tables is made faster than the whole
_NOT_UTF8 = re.compile("([\udc80-\udcff]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class TokenizedText:
    """The tokens of `text` and what each covers.

    Spans are half-open, `text[start:end]` and `text.encode()[start:end]`. Byte spans follow each other without gap or
    overlap. A character spread over several tokens is in the character span of each of them, so neighbouring
    character spans may overlap. `text` is what was given, lone surrogates replaced by U+FFFD.
    """

    text: str
    ids: list[int]
    char_spans: list[Span]
    byte_spans: list[Span]


class Tokenizer:
    """A vocabulary at work; make one with `from_folder`, `from_vocab` or `train_tokenizer`.

    Byte-level: `decode_bytes(encode_bytes(b)) == b` for every byte string, `decode(encode(t)) == t` for every text
    without lone surrogates (those become U+FFFD). WordPiece (some Chinese GPT-2s) forgets blanks and, if it says so,
    capitals; words (music) know one blank between two tokens and no word beside theirs, special ones among them.
    Elsewhere special tokens in a text are plain text unless the caller allows them. Safe to share between threads.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids = vocabulary.token_ids()
        self._special = vocabulary.special_tokens
        self._byte_level = vocabulary.kind == "byte-level"
        self._words = WordLookup(self._encode_words)
        self._backends: dict[frozenset[str], tokenizers.Tokenizer] = {}
        self._small_backends = 0

    def __repr__(self) -> str:
        return f"Tokenizer({self._vocabulary.kind}, vocab_size={self.vocab_size}, special_tokens={list(self._special)})"

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[Vocabulary]]:
        return Tokenizer, (self._vocabulary,)  # the Rust side is made again in the other process

    # --- making and saving

    @classmethod
    def from_folder(cls, path: str | Path) -> Tokenizer:
        """Load the tokenizer of a model folder.

        Looks for `tokenizer.json`, `vocab.json`+`merges.txt`, `encoder.json`+`vocab.bpe`, then BERT's `vocab.txt`, and
        honours the added and special tokens the folder names. Raises `TokenizerError` naming what was looked for.
        """
        from gpt2lab.tokenizer.reading import read_folder

        return cls(read_folder(Path(path)))

    @classmethod
    def find(cls, path: str | Path) -> Tokenizer | None:
        """Load the tokenizer of a model folder, or return None where it has none; a broken one still raises."""
        from gpt2lab.tokenizer.reading import holds_tokenizer

        return cls.from_folder(path) if holds_tokenizer(Path(path)) else None

    @classmethod
    def from_vocab(
        cls,
        vocab: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        special_tokens: Mapping[str, int] | Collection[str] = (),
        *,
        added_tokens: Mapping[str, int] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> Tokenizer:
        """Make a byte-level tokenizer from its tables.

        `vocab` spells tokens in GPT-2's alphabet; `special_tokens` names some of them, or maps further ones to ids;
        `added_tokens` are further tokens always matched whole; `roles` maps "eos", "bos", "pad" to tokens. Where the
        vocabulary has `<|endoftext|>` it is special and, unless `roles` differ, the bos and eos token.
        """
        special = dict(special_tokens) if isinstance(special_tokens, Mapping) else looked_up(special_tokens, vocab)
        if END_OF_TEXT in vocab:
            special.setdefault(END_OF_TEXT, vocab[END_OF_TEXT])
        added = [AddedToken(token, number) for token, number in special.items()]
        added += [AddedToken(token, number, special=False) for token, number in (added_tokens or {}).items()]
        usual = {"bos": END_OF_TEXT, "eos": END_OF_TEXT} if END_OF_TEXT in special else {}
        return cls(Vocabulary(vocab=dict(vocab), merges=list(merges), added=added, roles=dict(roles or usual)))

    def save(
        self,
        folder: str | Path,
        *,
        formats: Collection[str] = ("hf",),
        model_max_length: int | None = None,
    ) -> list[Path]:
        """Write the tokenizer to `folder` and return the files, each written whole or not at all.

        "hf": `tokenizer.json` with its two companions, as transformers' AutoTokenizer reads them; "vocab":
        `vocab.json` + `merges.txt`; "openai": `encoder.json` + `vocab.bpe`. `model_max_length` goes into
        `tokenizer_config.json`.
        """
        from gpt2lab.tokenizer.writing import write_folder

        return write_folder(self._vocabulary, Path(folder), formats=formats, model_max_length=model_max_length)

    # --- what the vocabulary holds

    @property
    def vocabulary(self) -> Vocabulary:
        """The tables this tokenizer was made from."""
        return self._vocabulary

    @property
    def vocab_size(self) -> int:
        """The number of tokens, special ones included."""
        return len(self._ids)

    @property
    def vocab(self) -> Mapping[str, int]:
        """Every token, spelt as in the vocabulary file, with its id."""
        return MappingProxyType(self._ids)

    @property
    def merges(self) -> Sequence[tuple[str, str]]:
        """The merges in order of priority; none for WordPiece."""
        return self._vocabulary.merges

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The special tokens with their ids, in order of id."""
        return MappingProxyType(self._special)

    @property
    def eos_id(self) -> int | None:
        """The id of the token that ends a text, or None."""
        return self._role("eos")

    @property
    def bos_id(self) -> int | None:
        """The id of the token that starts a text, or None."""
        return self._role("bos")

    @property
    def pad_id(self) -> int | None:
        """The id of the token that fills batches, or None."""
        return self._role("pad")

    def id_of(self, token: str) -> int:
        """Return the id of a special token, or of any token as the vocabulary file spells it."""
        if token not in self._ids:
            raise TokenizerError(
                f"{token!r} is not a token of this vocabulary.{nearest(token, self._special)} "
                f"Special tokens: {', '.join(self._special) or 'none'}."
            )
        return self._ids[token]

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of one token."""
        return self._bytes[self._checked([token_id])[0]]

    def token_text(self, token_id: int) -> str:
        """Return one token for display; bytes that are not whole characters show as U+FFFD."""
        return self.token_texts([token_id])[0]

    def token_texts(self, ids: Iterable[int]) -> list[str]:
        """Return tokens as `token_text` does, each by itself."""
        return [self._bytes[i].decode("utf-8", "replace") for i in self._checked(ids)]

    # --- text to ids

    def encode(self, text: str, *, allowed_special: AllowedSpecial = ()) -> list[int]:
        """Return the ids of `text`.

        Special tokens in it are plain text, except those in `allowed_special` ("all", or some of their names), which
        become their single id. Empty text gives no ids.
        """
        return self.encode_batch([text], allowed_special=allowed_special)[0]

    def encode_batch(self, texts: Iterable[str], *, allowed_special: AllowedSpecial = ()) -> list[list[int]]:
        """Return the ids of every text, in order; the work is spread over the processor's cores."""
        allowed = self._allowed(allowed_special)
        whole = [self._encodable(text) for text in texts]
        if allowed or not self._cuttable:
            return [encoding.ids for encoding in _run(self._backend(allowed), whole)]
        return self._words.lists(whole)

    def encode_arrays(self, texts: Iterable[str]) -> list[npt.NDArray[np.uint32]]:
        """Return what `encode_batch` returns, as arrays: for text by the gigabyte. Special tokens are plain text."""
        import numpy as np

        whole = [self._encodable(text) for text in texts]
        if self._cuttable:
            return self._words.arrays(whole)
        return [np.array(e.ids, dtype=np.uint32) for e in _run(self._backend(frozenset()), whole)]

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of any byte string: as `encode` where it is UTF-8, merged bytes elsewhere.

        Lossless for byte-level vocabularies; a WordPiece one takes UTF-8 only.
        """
        try:
            return self.encode(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            if not self._byte_level:
                raise TokenizerError(
                    f"A WordPiece vocabulary takes UTF-8 text only; byte {error.start} is not."
                ) from None
        ids: list[int] = []
        for place, part in enumerate(_NOT_UTF8.split(data.decode("utf-8", "surrogateescape"))):
            ids += self._merged(part.encode("utf-8", "surrogateescape")) if place % 2 else self.encode(part)
        return ids

    def encode_with_offsets(self, text: str, *, allowed_special: AllowedSpecial = ()) -> TokenizedText:
        """Return the ids of `text` with the characters and bytes each covers, see `TokenizedText`."""
        text = self._encodable(text)
        encoding = _run(self._backend(self._allowed(allowed_special)), [text])[0]
        ids: list[int] = encoding.ids
        if self._byte_level and self.decode_bytes(ids) == text.encode():
            ends = list(itertools.accumulate(len(self._bytes[i]) for i in ids))
            spans = list(zip([0, *ends], ends, strict=False))
            return TokenizedText(text, ids, char_spans(text, spans), spans)
        known: list[Span] = encoding.offsets  # something was normalised away: the library knows what
        return TokenizedText(text, ids, known, byte_spans(text, known))

    # --- ids to text

    def decode(self, ids: Iterable[int], *, errors: str = "replace", skip_special: bool = False) -> str:
        """Return the text of `ids`, no blank added or removed.

        `errors` says what becomes of bytes that are not UTF-8, as in `bytes.decode`; under "strict" they are a
        `TokenizerError`. `skip_special` leaves special tokens out.
        """
        if skip_special:
            special = set(self._special.values())
            ids = [i for i in ids if i not in special]
        try:
            return self.decode_bytes(ids).decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"These token ids are not UTF-8 text: byte {error.start} of what they spell."
            ) from None

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of `ids`. Raises `TokenizerError` naming an id outside the vocabulary."""
        known = self._checked(ids)
        if self._byte_level:
            return b"".join([self._bytes[i] for i in known])
        return b"".join(itertools.starmap(self._piece, zip([None, *known], known, strict=False)))

    def decode_batch(self, batch: Iterable[Iterable[int]], *, skip_special: bool = False) -> list[str]:
        """Return the text of every list of ids, in order."""
        return [self.decode(ids, skip_special=skip_special) for ids in batch]

    def stream(self, *, errors: str = "replace", skip_special: bool = False) -> StreamDecoder:
        """Return a decoder for ids that arrive one by one; its pieces together equal `decode` of all."""
        skipped = frozenset(self._special.values()) if skip_special else frozenset[int]()
        return StreamDecoder(self._piece, errors=errors, skipped=skipped)

    # --- inside

    def _role(self, role: str) -> int | None:
        token = self._vocabulary.roles.get(role)
        return None if token is None else self._ids[token]

    @cached_property
    def _bytes(self) -> TokenBytes:
        """The bytes of every id."""
        return TokenBytes(self._vocabulary)

    @cached_property
    def _missing(self) -> bytes:
        """The bytes that no token of a byte-level vocabulary stands for; GPT-2 has them all."""
        if not self._byte_level:
            return b""
        return bytes(b for b, character in enumerate(bytemap.byte_characters()) if character not in self._ids)

    @cached_property
    def _cuttable(self) -> bool:
        v = self._vocabulary
        return v.kind == "byte-level" and not (v.normalizer or v.pre_tokenizer) and all(t.special for t in v.added)

    def _piece(self, previous: int | None, token_id: int) -> bytes:
        """Return the bytes `token_id` adds after `previous`, a known id."""
        (token_id,) = self._checked([token_id])
        if self._byte_level or previous is None:
            return self._bytes[token_id]
        tokens = self._bytes.tokens
        between = " " if self._vocabulary.kind == "words" else wordpiece.separator(tokens[previous], tokens[token_id])
        return between.encode() + self._bytes[token_id]

    def _checked(self, ids: Iterable[int]) -> list[int]:
        try:
            known = list(map(operator.index, ids))
        except TypeError as error:
            raise TokenizerError(f"Token ids are whole numbers: {error}.") from None
        if known and (min(known) < 0 or max(known) >= len(self._ids)):
            wrong = next(i for i in known if not 0 <= i < len(self._ids))
            raise TokenizerError(f"Token id {wrong} is not in the vocabulary; ids run from 0 to {len(self._ids) - 1}.")
        return known

    def _allowed(self, allowed_special: AllowedSpecial) -> frozenset[str]:
        if isinstance(allowed_special, str):
            if allowed_special == "all":
                return frozenset(self._special)
            raise TokenizerError(
                f"allowed_special is 'all' or a list of special tokens, not the text {allowed_special!r}."
            )
        for name in allowed_special:
            if name not in self._special:
                raise TokenizerError(
                    f"{name!r} is not a special token of this vocabulary.{nearest(name, self._special)} "
                    f"Special tokens: {', '.join(self._special) or 'none'}."
                )
        return frozenset(allowed_special)

    def _backend(self, allowed: frozenset[str]) -> tokenizers.Tokenizer:
        """Return the library's tokenizer that matches the `allowed` special tokens; all share one model."""
        if (known := self._backends.get(allowed)) is None:
            from gpt2lab.tokenizer import backend

            base = self._backends[frozenset()] if self._backends else backend.build(self._vocabulary)
            always = [token for token in self._vocabulary.added if not token.special]
            self._backends.setdefault(frozenset(), backend.with_added(base, always))
            wanted = [token for token in self._vocabulary.added if token.content in allowed]
            known = self._backends.setdefault(allowed, backend.with_added(base, [*always, *wanted]))
        return known

    def _backend_for(self, words: Sequence[str]) -> tokenizers.Tokenizer:
        """Return the library's tokenizer for these words: the whole one, but a small one for the first short texts."""
        plain: frozenset[str] = frozenset()
        pieces = sum(len(word.encode()) ** 2 for word in words) if self._small_backends < _MOST_SMALL_BACKENDS else 0
        if plain in self._backends or not 0 < pieces <= _MOST_PIECES:
            return self._backend(plain)
        from gpt2lab.tokenizer import backend

        self._small_backends += 1
        return backend.build_for(self._vocabulary, words)

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in _run(self._backend_for(words), words)]

    def _encodable(self, text: str) -> str:
        """Return `text` as the library takes it: surrogate pairs joined, lone ones U+FFFD."""
        if not isinstance(text, str):
            raise TokenizerError(f"A text is needed, not {type(text).__name__}; for bytes there is encode_bytes.")
        text = without_surrogates(text)
        if self._missing:
            self._refuse_missing(text.encode())
        if self._vocabulary.kind == "words":
            check_words(text, self._ids)
        return text

    def _refuse_missing(self, data: bytes) -> None:
        for byte in self._missing:
            if byte in data:
                raise TokenizerError(f"This vocabulary has no token for byte 0x{byte:02x}, which the text holds.")

    def _merged(self, data: bytes) -> list[int]:
        """Return the ids of bytes that are no text: all merges, no splitting."""
        if self._missing:
            self._refuse_missing(data)
        return [token.id for token in self._backend(frozenset()).model.tokenize(bytemap.to_characters(data))]


def _run(backend: tokenizers.Tokenizer, texts: list[str]) -> Sequence[Any]:
    """Return the library's encodings; one text starts no threads and has offsets, several have none."""
    try:
        return [backend.encode(texts[0])] if len(texts) == 1 else backend.encode_batch_fast(texts)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"The text does not fit the vocabulary: {error}.") from None

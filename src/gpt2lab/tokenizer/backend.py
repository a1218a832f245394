"""A `Vocabulary` as a running tokenizer of the `tokenizers` library (Rust), and back to its `tokenizer.json`.

The only place that knows that library's classes. It is imported at first use: `import gpt2lab.tokenizer` stays instant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import bytemap
from gpt2lab.tokenizer.vocabulary import AddedToken, Vocabulary

if TYPE_CHECKING:
    import tokenizers

_EMPTY_MODEL = {"type": "BPE", "vocab": {}, "merges": []}


def build(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """Return a tokenizer of `vocabulary` without its added tokens, post-processing, padding or truncation."""
    tokenizer = _with_parts(vocabulary)
    tokenizer.model = _model(vocabulary)
    return tokenizer


def build_for(vocabulary: Vocabulary, words: Iterable[str]) -> tokenizers.Tokenizer:
    """Return a tokenizer that encodes these `words` as `build`'s does, made in a fraction of the time.

    It holds the tokens that are a piece of a word, and the merges between them; no others can take part. For a
    byte-level vocabulary with GPT-2's own splitting and no normaliser.
    """
    spelt = [bytemap.to_characters(word.encode()) for word in words]
    pieces = {w[start:end] for w in spelt for start in range(len(w)) for end in range(start + 1, len(w) + 1)}
    ids = vocabulary.token_ids()
    vocab = {piece: ids[piece] for piece in pieces & ids.keys()}
    merges = [m for m in vocabulary.merges if m[0] in vocab and m[1] in vocab and m[0] + m[1] in vocab]
    tokenizer = _with_parts(vocabulary)
    tokenizer.model = _bpe(vocab, merges, ignore_merges=vocabulary.ignore_merges)
    return tokenizer


def with_added(base: tokenizers.Tokenizer, added: Iterable[AddedToken]) -> tokenizers.Tokenizer:
    """Return a tokenizer that shares `base`'s model and also matches the `added` tokens."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer(base.model)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if (value := getattr(base, part)) is not None:
            setattr(tokenizer, part, value)
    for token in sorted(added, key=lambda t: t.id):
        rust = tokenizers.AddedToken(
            token.content,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=token.normalized,
            special=token.special,
        )
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([rust])
    return tokenizer


def to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the contents of a `tokenizer.json` that Hugging Face's libraries load as the same tokenizer."""
    tokenizer = with_added(build(vocabulary), vocabulary.added)
    from tokenizers import processors

    ids, roles = vocabulary.token_ids(), vocabulary.roles
    if vocabulary.kind == "byte-level":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    elif "sep" in roles and "cls" in roles:  # what transformers puts around a text; never done here
        pair = [(roles[role], ids[roles[role]]) for role in ("sep", "cls")]
        tokenizer.post_processor = processors.BertProcessing(*pair)
    contents: dict[str, Any] = json.loads(tokenizer.to_str())
    return contents


def _model(vocabulary: Vocabulary) -> Any:
    vocab = vocabulary.token_ids()  # added tokens too: the library then keeps their ids
    if vocabulary.kind == "byte-level":
        return _bpe(vocab, list(vocabulary.merges), ignore_merges=vocabulary.ignore_merges)
    from tokenizers import models

    if vocabulary.kind == "words":
        return models.WordLevel(vocab)
    unknown = vocabulary.roles.get("unk", "[UNK]")
    try:
        return models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=100)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"The vocabulary is not usable: {error}.") from None


def _bpe(vocab: dict[str, int], merges: list[tuple[str, str]], *, ignore_merges: bool) -> Any:
    from tokenizers import models

    try:
        return models.BPE(vocab, merges, ignore_merges=ignore_merges)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"The vocabulary is not usable: {error}.") from None


def _with_parts(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """Return an empty tokenizer with the vocabulary's normaliser, pre-tokeniser and decoder."""
    import tokenizers

    splitting = {"byte-level": BYTE_LEVEL, "wordpiece": None, "words": WORDS}[vocabulary.kind]
    joining = {"byte-level": BYTE_LEVEL, "wordpiece": WORDPIECE_DECODER, "words": None}[vocabulary.kind]
    parts: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": vocabulary.normalizer,
        "pre_tokenizer": vocabulary.pre_tokenizer or splitting,
        "post_processor": None,
        "decoder": joining,
        "model": _EMPTY_MODEL,
    }
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(parts))
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"The normaliser or pre-tokeniser is not usable: {error}.") from None


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
WORDS = {"type": "WhitespaceSplit"}
WORDPIECE_DECODER = {"type": "WordPiece", "prefix": "##", "cleanup": False}

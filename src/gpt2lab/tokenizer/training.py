"""Learning a byte-level BPE vocabulary from text, with GPT-2's layout of ids.

Ids 0..255 are the bytes in GPT-2's order, then the merges as they were learnt, the special tokens last. The learning
is the `tokenizers` library's; knows nothing of models or folders. Source: Sennrich et al. 2016; GPT-2's encoder.json.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import bytemap
from gpt2lab.tokenizer.text import last_cut, without_surrogates
from gpt2lab.tokenizer.tokenizer import Tokenizer
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT

_BLOCK = 1 << 20  # characters read from a file at once


def train_tokenizer(
    files_or_texts: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Iterator[str],
    *,
    vocab_size: int = 1000,
    min_frequency: int = 2,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
) -> Tokenizer:
    """Learn a vocabulary of at most `vocab_size` tokens, the 256 bytes and the special tokens included.

    Takes a UTF-8 file, a list of files, or an iterator (or generator) of texts. Pairs seen fewer than `min_frequency`
    times are not merged, so little text gives a smaller vocabulary. The same text gives the same vocabulary.
    """
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise TokenizerError(
            f"vocab_size is {vocab_size}; it must be at least {least}: "
            f"256 bytes and {len(special_tokens)} special tokens."
        )
    if min_frequency < 1:
        raise TokenizerError(f"min_frequency is {min_frequency}; it must be at least 1.")
    if len(set(special_tokens)) < len(special_tokens) or "" in special_tokens:
        raise TokenizerError("The special tokens must be different from each other and not empty.")
    merges = _learn(_texts(files_or_texts), vocab_size - len(special_tokens), min_frequency)
    tokens = list(dict.fromkeys([*bytemap.alphabet(), *(left + right for left, right in merges)]))
    for name in special_tokens:
        if name in tokens:
            raise TokenizerError(
                f"The special token {name!r} is also an ordinary token of this text; choose another name."
            )
    vocab = {token: number for number, token in enumerate([*tokens, *special_tokens])}
    return Tokenizer.from_vocab(vocab, merges, special_tokens)


def _learn(texts: Iterator[str], size: int, min_frequency: int) -> list[tuple[str, str]]:
    import json

    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=list(bytemap.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in merges)]


def _texts(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Iterator[str]) -> Iterator[str]:
    if isinstance(source, Iterator):
        for text in source:
            if not isinstance(text, str):
                raise TokenizerError(f"The texts to learn from are strings, not {type(text).__name__}.")
            yield without_surrogates(text)
        return
    for path in [source] if isinstance(source, str | os.PathLike) else source:
        yield from _blocks(Path(path))


def _blocks(path: Path) -> Iterator[str]:
    """Yield a file's text in blocks cut where no token can cross, line ends as they are."""
    rest = ""
    try:
        with path.open(encoding="utf-8", newline="") as f:
            while block := f.read(_BLOCK):
                searched = max(len(rest) - 1, 0)
                rest += block
                place = last_cut(rest, searched)
                yield rest[:place]
                rest = rest[place:]
    except OSError as error:
        raise TokenizerError(
            f"{path} cannot be read: {error.strerror}; for texts give an iterator, iter(texts)."
        ) from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8 text: {error.reason}.") from None
    if rest:
        yield rest

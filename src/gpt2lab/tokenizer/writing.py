"""A `Vocabulary` as tokenizer files in a folder, in the three forms other programs read.

"hf": `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`; "vocab": `vocab.json` + `merges.txt`;
"openai": `encoder.json` + `vocab.bpe`, byte for byte OpenAI's for OpenAI's vocabulary. All files are written, or none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gpt2lab.errors import TokenizerError, nearest
from gpt2lab.files import atomic_write
from gpt2lab.tokenizer import backend
from gpt2lab.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

FORMATS = ("hf", "vocab", "openai")


def write_folder(
    vocabulary: Vocabulary, folder: Path, *, formats: Collection[str] = ("hf",), model_max_length: int | None = None
) -> list[Path]:
    """Write `vocabulary` to `folder` in every one of `formats` and return the files written.

    Raises `TokenizerError` for an unknown format, or for one that cannot hold this vocabulary.
    """
    files: dict[str, str] = {}
    for name in [formats] if isinstance(formats, str) else formats:
        if name not in FORMATS:
            raise TokenizerError(f"Unknown format {name!r}.{nearest(name, FORMATS)} Formats: {', '.join(FORMATS)}.")
        files |= _hf(vocabulary, model_max_length) if name == "hf" else _pair(vocabulary, name)
    with contextlib.ExitStack() as stack:
        for name, text in files.items():
            f = stack.enter_context(atomic_write(folder / name, "w"))
            f.write(text)
            f.flush()  # the disk has taken all of them before the first appears
    return [folder / name for name in files]


def _hf(vocabulary: Vocabulary, model_max_length: int | None) -> dict[str, str]:
    byte_level = vocabulary.kind == "byte-level"
    config: dict[str, Any] = {"added_tokens_decoder": _added_tokens_decoder(vocabulary)}
    if byte_level:
        config["add_prefix_space"] = bool((vocabulary.pre_tokenizer or {}).get("add_prefix_space", False))
    elif vocabulary.kind == "wordpiece":
        config["do_lower_case"] = bool((vocabulary.normalizer or {}).get("lowercase", False))
    config |= {"clean_up_tokenization_spaces": False, **_special_map(vocabulary)}
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    classes = {"byte-level": "GPT2Tokenizer", "wordpiece": "BertTokenizer", "words": "PreTrainedTokenizerFast"}
    config["tokenizer_class"] = classes[vocabulary.kind]
    return {
        "tokenizer.json": json.dumps(backend.to_json(vocabulary), ensure_ascii=False, separators=(",", ":")) + "\n",
        "tokenizer_config.json": _pretty(config),
        "special_tokens_map.json": _pretty(_special_map(vocabulary)),
    }


def _pair(vocabulary: Vocabulary, name: str) -> dict[str, str]:
    """Return the two files of a plain BPE vocabulary, and companions where the tables alone would not say it all."""
    if vocabulary.kind != "byte-level" or vocabulary.normalizer or vocabulary.pre_tokenizer:
        raise TokenizerError(f"Format {name!r} holds GPT-2's byte-level BPE only; write this vocabulary as 'hf'.")
    merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merges)
    tokens = dict(sorted(vocabulary.token_ids().items(), key=lambda item: item[1]))
    if name == "openai":
        files = {"encoder.json": json.dumps(tokens), "vocab.bpe": f"#version: 0.2\n{merges}"}
    else:
        files = {"vocab.json": json.dumps(tokens, ensure_ascii=False), "merges.txt": f"#version: 0.2\n{merges}"}
    if set(vocabulary.special_tokens) - {END_OF_TEXT} or set(vocabulary.roles.values()) - {END_OF_TEXT}:
        files["special_tokens_map.json"] = _pretty(_special_map(vocabulary))
    if plain := {token.content: token.id for token in vocabulary.added if not token.special}:
        files["added_tokens.json"] = _pretty(plain)
    return files


def _special_map(vocabulary: Vocabulary) -> dict[str, Any]:
    named: dict[str, Any] = {f"{role}_token": token for role, token in vocabulary.roles.items()}
    others = [token for token in vocabulary.special_tokens if token not in vocabulary.roles.values()]
    return {**named, "additional_special_tokens": others} if others else named


def _added_tokens_decoder(vocabulary: Vocabulary) -> dict[str, dict[str, Any]]:
    return {
        str(token.id): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for token in sorted(vocabulary.added, key=lambda t: t.id)
    }


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

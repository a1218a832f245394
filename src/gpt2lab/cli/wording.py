"""Errors in the words of someone who typed a command: options as they are typed, the system's errors as sentences."""

from __future__ import annotations

import errno
import re
from pathlib import Path

_RENAMED = {
    "max_new_tokens": "--length",
    "min_new_tokens": "--min-length",
    "num_return_sequences": "--nsamples",
    "bad_words_ids": "--bad-word",
    "bad_words": "--bad-word",
    "prompt_lookup_num_tokens": "--prompt-lookup",
    "held_out_authors": "--held-out-author",
    "workers=1": "--workers 1",
    "least_text": "--min-text",
    "least_title": "--min-title",
    "max_body_bytes": "--max-body",
    "memory_bytes": "--memory",
    "prefix_bytes": "--prefix-memory",
    "request_seconds": "--timeout",
    "stop_seconds": "--stop-timeout",
}
_UNDERSCORED = ("batch_size", "top_k", "top_p", "top_p_rule", "min_p", "typical_p", "repetition_penalty",
                "no_repeat_ngram_size", "num_beams", "length_penalty", "max_time", "vocab_size", "min_frequency",
                "validation_share", "vocabulary_every", "vocabulary_bytes", "drop_contaminated", "accumulate_gradients",
                "learning_rate", "run_name", "restore_from", "checkpoint_dir", "warmup_steps", "freeze_layers",
                "lora_rank", "lora_alpha", "save_every", "max_checkpoints", "sample_every", "sample_length",
                "sample_num", "sample_dir", "val_dataset", "val_share", "val_every", "val_batch_count",
                "val_batch_size", "near_copies", "split_by", "prompt_tokens", "max_minutes", "weight_decay",
                "only_train_transformer_layers", "max_length",
                "max_running", "max_waiting", "max_prompt_tokens", "max_output_tokens")  # fmt: skip
_PLAIN = (
    "temperature",
    "length",
    "seed",
    "window",
    "precision",
    "device",
    "threads",
    "stride",
    "dtype",
    "to",
    "source",
    "cleaning",
    "duplicates",
    "workers",
    "engine",
    "kind",
    "template",
    "steps",
    "epochs",
    "optimizer",
    "schedule",
    "dropout",
    "patience",
    "overwrite",
    "format",
    "floor",
    "rule",
    "pooling",
    "layer",
    "host",
    "port",
    "cors",
    "seconds",
    "rate",
)

_FLAGS = {**_RENAMED, **{name: "--" + name.replace("_", "-") for name in _UNDERSCORED}}
_ANYWHERE = re.compile(r"(?<![.\w-])(" + "|".join(sorted(_FLAGS, key=len, reverse=True)) + r")\b")
_BEHIND_WITH = re.compile(r"\bwith (column|template|kind|tokenizer|decontaminate)\b")
# a value in double quotes is TOML to be written, not a value that was given
_BEFORE_VALUE = re.compile(r"(?<![.\w-])(" + "|".join(_PLAIN) + r")(?= = (?!\")| is \d)")


def with_flags(message: str) -> str:
    """Return a message of the library with its parameters named as the options that set them."""
    message, sign, keys = message.replace("window='half'", "--window half").partition(" Known keys: ")
    message = _BEHIND_WITH.sub(r"with --\1", message)
    message = _ANYWHERE.sub(lambda m: _FLAGS[m[1]], message)
    return _BEFORE_VALUE.sub(lambda m: f"--{m[1]}", message) + sign + keys


def os_error(error: OSError) -> str:
    """Return one sentence for an error of the operating system."""
    name = "The output" if error.filename is None else str(error.filename)
    if error.errno == errno.EEXIST and Path(name).is_file():
        return f"{name} is a file; a folder is needed."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"There is no space left on the disk for {'the output' if error.filename is None else name}."
    sentences = {
        errno.ENOENT: "does not exist.",
        errno.EISDIR: "is a folder; a file is needed.",
        errno.ENOTDIR: "is not a folder, or lies below something that is none.",
        errno.EACCES: "may not be read or written by you (permission denied).",
        errno.EPERM: "may not be changed by you (operation not permitted).",
        errno.EROFS: "lies on a disk that can only be read.",
        errno.EEXIST: "exists already.",
    }
    return f"{name} {sentences.get(error.errno or 0) or f'cannot be used: {error.strerror or error}.'}"

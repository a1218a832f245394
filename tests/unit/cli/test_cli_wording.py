from __future__ import annotations

import errno

import pytest

from gpt2lab.cli.wording import os_error, with_flags


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("top_k = -1 must be a whole number", "--top-k = -1 must be a whole number"),
        ("top_p_rule = 'x' is not one of", "--top-p-rule = 'x' is not one of"),
        ("max_new_tokens = -5 must be", "--length = -5 must be"),
        ("prompt_lookup_num_tokens = -5 must be", "--prompt-lookup = -5 must be"),
        ("min_new_tokens = 9 is more than max_new_tokens = 5.", "--min-length = 9 is more than --length = 5."),
        ("temperature = nan must be", "--temperature = nan must be"),
        ("vocab_size is 3; it must be at least", "--vocab-size is 3; it must be at least"),
        ("let the window slide (window='half').", "let the window slide (--window half)."),
        ("the model's window of 64", "the model's window of 64"),
        ("device = 'x' cannot be used", "--device = 'x' cannot be used"),
        ("train.seed = -1 must not be negative.", "train.seed = -1 must not be negative."),
        ("learning_rate = 0.0 must be positive.", "--learning-rate = 0.0 must be positive."),
        ("optimizer = 'x' is not one of", "--optimizer = 'x' is not one of"),
        ("patience needs something: give val_dataset", "patience needs something: give --val-dataset"),
        ("Unknown key 'x'. Known keys: batch_size, seed.", "Unknown key 'x'. Known keys: batch_size, seed."),
        ('its table [task] must say kind = "music".', 'its table [task] must say kind = "music".'),
        ("my_top_k_file does not exist.", "my_top_k_file does not exist."),
    ],
)
def test_parameters_are_named_as_typed(message: str, typed: str) -> None:
    assert with_flags(message) == typed


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(errno.ENOENT, "x", "a.txt"), "a.txt does not exist."),
        (IsADirectoryError(errno.EISDIR, "x", "d"), "d is a folder; a file is needed."),
        (PermissionError(errno.EACCES, "x", "s"), "s may not be read or written by you (permission denied)."),
        (OSError(errno.EROFS, "x", "r"), "r lies on a disk that can only be read."),
        (OSError(errno.EEXIST, "x", __file__), f"{__file__} is a file; a folder is needed."),
        (OSError(errno.ENOSPC, "x", "f"), "There is no space left on the disk for f."),
        (OSError(errno.ENOSPC, "x"), "There is no space left on the disk for the output."),
        (OSError(errno.EIO, "Input/output error", "f"), "f cannot be used: Input/output error."),
        (OSError("odd"), "The output cannot be used: odd."),
    ],
)
def test_the_systems_errors_are_sentences(error: OSError, sentence: str) -> None:
    assert os_error(error) == sentence

"""What a file that is not what its name says really is, in a few words for an error message.

Looks at the first bytes only; knows the usual accidents: git-lfs pointers, saved web pages, empty and foreign files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer, not the file itself (run `git lfs pull` where it came from, or download it again)",
    ),
    (b"GGUF", "a GGUF file"),
    (b"PK\x03\x04", "a zip archive (such as a pytorch_model.bin)"),
    (b"\x80\x02", "a pickle (such as an old pytorch_model.bin)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file (such as Keras weights)"),
)


def oddity(path: Path, *, but: Sequence[str] = ()) -> str | None:
    """Return what kind of foreign file `path` is ("a web page …"), or None when nothing odd is recognised.

    Kinds whose description holds a word of `but` are what the caller expects, so they are not odd.
    """
    with path.open("rb") as f:
        head = f.read(512)
    if not head:
        return "empty"
    if not any(head):
        return "full of zero bytes, as an interrupted download leaves it"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return None if any(word in what for word in but) else what
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page saved under this name (download it again)"
    return None

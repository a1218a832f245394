"""The 256 printable characters that stand for bytes in GPT-2's vocabulary files, both ways.

Source: the alphabet of OpenAI's `encoder.json`: the bytes that print in Latin-1 stand for themselves; the 68 others
(controls, space, soft hyphen) are U+0100 and following, in order. Knows nothing of tokens or ids.
"""

from __future__ import annotations

import functools

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


@functools.cache
def byte_characters() -> tuple[str, ...]:
    """Return the character of every byte: item `b` stands for byte `b`."""
    characters = [""] * 256
    for byte in _PRINTABLE:
        characters[byte] = chr(byte)
    hidden = [byte for byte in range(256) if not characters[byte]]
    for place, byte in enumerate(hidden):
        characters[byte] = chr(0x100 + place)
    return tuple(characters)


@functools.cache
def character_bytes() -> dict[str, int]:
    """Return the byte of every character of the alphabet."""
    return {character: byte for byte, character in enumerate(byte_characters())}


@functools.cache
def alphabet() -> tuple[str, ...]:
    """Return the 256 characters in the order of GPT-2's ids 0..255: printable bytes first, then the others."""
    return tuple(sorted(byte_characters()))


def to_characters(data: bytes) -> str:
    """Spell `data` in the alphabet, one character per byte."""
    table = byte_characters()
    return "".join([table[byte] for byte in data])


def to_bytes(token: str) -> bytes | None:
    """Return the bytes that `token` spells, or None where it holds a character outside the alphabet."""
    table = character_bytes()
    try:
        return bytes([table[character] for character in token])
    except KeyError:
        return None

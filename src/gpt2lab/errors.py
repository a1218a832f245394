"""What can go wrong for a user, as one family of exceptions whose message is one clear sentence.

The command line prints the message and exits with code 2; the server answers with a 4xx. A traceback is a bug.
Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class Gpt2labError(Exception):
    """Root of every error that a user can cause and mend."""


class ConfigError(Gpt2labError, ValueError):
    """A setting is unknown, missing, of the wrong type or out of range."""


class TokenizerError(Gpt2labError, ValueError):
    """A vocabulary file is wrong, or text or token ids do not fit the vocabulary."""


class CheckpointError(Gpt2labError, ValueError):
    """A model is missing, corrupt, foreign or does not fit its configuration."""


class DownloadError(CheckpointError):
    """A file could not be fetched, or what came is not what was announced."""


class DataError(Gpt2labError, ValueError):
    """Training or evaluation data are missing, empty or malformed."""


class RequestError(Gpt2labError, ValueError):
    """What was asked of a model is impossible (prompt, sampling values, lengths)."""


class QueueFullError(Gpt2labError, RuntimeError):
    """More is waiting than may wait; the same request may be accepted later."""


class ClosedError(Gpt2labError, RuntimeError):
    """What was asked for is closing or closed, and takes no more requests."""


class MissingExtraError(Gpt2labError, ImportError):
    """An optional part of the package is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a part of gpt2lab that is not installed: pip install 'gpt2lab[{extra}]'")
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return MissingExtraError, (self.what, self.extra)  # it may be raised in another process than it is told in


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed name closest to `given`, or "" when none is close."""
    import difflib  # here: only a mistake pays for the import

    close = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""

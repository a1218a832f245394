"""Entry point of the `gpt2lab` command: exit codes, one sentence per mistake, quiet ends.

Imports next to nothing at the top, so that Ctrl-C during start-up ends as quietly as later on. Exit codes: 0 done,
2 a mistake that the user can mend, 130 Ctrl-C, 141 the reader of the output has gone, 143 asked to end.
"""

from __future__ import annotations

import sys

MISTAKE, INTERRUPTED, PIPE_CLOSED, TERMINATED = 2, 130, 141, 143


def main() -> None:
    """Run the command line of this process and exit with its code."""
    try:
        import gc
        import os
        import signal

        # NumPy's linear algebra, which nothing here uses, would start threads that spin while the model loads; torch's
        # may be the same library, so where something is trained they stay
        if sys.argv[1:2] != ["train"]:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # a polite kill unwinds like Ctrl-C does, so that half-written files are removed
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
        code = run(sys.argv[1:])
        gc.freeze()  # else the interpreter looks for garbage in every table before it lets go of them
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line, without the program's name, and return its exit code."""
    import warnings

    from gpt2lab.cli import console

    console.prepare_streams()
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = console.show_warning
        code, message = _outcome(arguments)
        if code == 0:
            code, message = _flushed()
    if message:
        console.say(f"gpt2lab: {message}")
    elif code == INTERRUPTED and sys.stderr.isatty():
        console.say("")  # the terminal shows ^C in the middle of a line
    if code not in (0, MISTAKE):
        console.abandon_output()
    return code


def _outcome(arguments: list[str]) -> tuple[int, str]:
    """Run the command and return its exit code with what is to be said about it."""
    from gpt2lab.errors import Gpt2labError

    try:
        from gpt2lab.cli.app import dispatch

        return dispatch(arguments or ["--help"])
    except KeyboardInterrupt:
        return INTERRUPTED, ""
    except BrokenPipeError:
        return PIPE_CLOSED, ""
    except Gpt2labError as error:
        from gpt2lab.cli.wording import with_flags

        return MISTAKE, with_flags(str(error))
    except OSError as error:
        from gpt2lab.cli.wording import os_error

        return MISTAKE, os_error(error)
    except UnicodeDecodeError as error:
        return MISTAKE, f"The input is not UTF-8 text: {error.reason} at byte {error.start}."
    except MemoryError:
        return MISTAKE, "There is not enough memory; take a smaller model, batch or --precision int8."


def _flushed() -> tuple[int, str]:
    """Flush what was written; only now is it known whether a reader or a full disk took it."""
    from gpt2lab.cli import console
    from gpt2lab.cli.wording import os_error

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return PIPE_CLOSED, ""
    except KeyboardInterrupt:
        return INTERRUPTED, ""
    except OSError as error:
        console.abandon_output()
        return MISTAKE, os_error(error)
    return 0, ""

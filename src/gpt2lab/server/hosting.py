"""Running an application until it is asked to end: the socket, uvicorn's settings, the address to show."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gpt2lab.errors import ConfigError
from gpt2lab.server.settings import ServerSettings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


def open_socket(settings: ServerSettings) -> socket.socket:
    """Return a bound socket; raises `ConfigError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with ExitStack() as undo:
        try:
            # asyncio sends small pieces at once only on sockets that say that they are TCP's; else each waits 40 ms
            listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((settings.host, settings.port))
            listening.listen(512)
        except (OSError, UnicodeError) as error:
            raise _unusable(settings, error) from None
        undo.pop_all()
    listening.set_inheritable(False)
    return listening


def _unusable(settings: ServerSettings, error: OSError | UnicodeError) -> ConfigError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port = {settings.port} is in use by another program; choose another one, or 0 for a free one."
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigError(f"host = {settings.host!r} with port {settings.port} cannot be used: {reason}.")


def address(listening: socket.socket) -> str:
    """Return where a socket is reached, as http://host:port."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def new_server(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """Return a server; `run(sockets=[…])` serves until SIGINT or SIGTERM or until `should_exit` is set.

    What is being answered then is finished, for at most `stop_seconds`; new connections are refused.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, log_level="error", access_log=False, server_header=False, date_header=True, lifespan="on",
        timeout_keep_alive=30, timeout_graceful_shutdown=int(settings.stop_seconds) or 1, backlog=512, ws="none",
    )  # fmt: skip
    return uvicorn.Server(config)

"""Running an application until it is asked to end: the socket, uvicorn's settings, the address to show."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from gpt2lab.errors import ConfigError
from gpt2lab.server.settings import ServerSettings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


def open_socket(settings: ServerSettings) -> socket.socket:
    """Return a bound socket; raises `ConfigError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(512)
    except (OSError, UnicodeError) as error:
        listening.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port = {settings.port} is in use by another program; choose another one, or 0 for a free one."
            ) from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"host = {settings.host!r} with port {settings.port} cannot be used: {reason}.") from None
    listening.set_inheritable(False)
    return listening


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
        app, log_config=None, access_log=False, server_header=False, date_header=True, lifespan="on",
        timeout_keep_alive=30, timeout_graceful_shutdown=int(settings.stop_seconds) or 1, backlog=512, ws="none",
    )  # fmt: skip
    return uvicorn.Server(config)

"""A server of ours on a free port of this machine, in a thread of the test's process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import FastAPI

from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.app import create_app
from gpt2lab.server.hosting import address, new_server, open_socket
from gpt2lab.server.models import FileLoader, LoadedModel
from gpt2lab.server.settings import ServerSettings


@dataclass(frozen=True)
class Live:
    """A running server: its address and its insides."""

    url: str
    app: FastAPI

    def model(self, name: str) -> LoadedModel:
        """Return a model that is loaded."""
        found = self.app.state.pool.loaded(name)
        assert found is not None
        return found


@contextlib.contextmanager
def live_server(
    sources: Mapping[str, str],
    *,
    settings: ServerSettings | None = None,
    loader: FileLoader | None = None,
    ready: Mapping[str, LanguageModel] | None = None,
) -> Iterator[Live]:
    """Serve `sources` while the block runs."""
    chosen = settings or ServerSettings(port=0)
    app = create_app(sources, settings=chosen, loader=loader or FileLoader(threads=1), ready=ready)
    listening = open_socket(chosen)
    server = new_server(app, chosen)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Live(address(listening), app)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()

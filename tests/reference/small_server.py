"""A small HTTP server that has files, answers as the hub does if it is told to, and misbehaves on command."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server has and how it misbehaves; `requests` records (method, path, range)."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: int | None = None  # bytes of a body after which the connection is closed ...
    breaks: int = 0  # ... this many times
    ranges: bool = True
    status: int | None = None
    announced: dict[str, int] = field(default_factory=dict)
    hub: bool = False
    error_code: str | None = None
    etags: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serve on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            wanted = self.headers.get("Range")
            path = self.path.split("?")[0]
            served.requests.append((self.command, path, wanted))
            content = served.files.get(path)
            if served.status is not None or content is None:
                return self.refuse(served.status or 404)
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and served.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(served.announced.get(path, len(content)) - start))
            self.send_header("ETag", f'"{served.etags.get(path) or hashlib.sha256(content).hexdigest()}"')
            if served.hub:
                self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()
            if not body:
                return None
            if served.breaks and served.break_after is not None:
                served.breaks -= 1
                self.wfile.write(content[start : start + served.break_after])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
            else:
                self.wfile.write(content[start:])
            return None

        def refuse(self, status: int) -> None:
            self.send_response(status)
            if served.hub and status == 404:
                repo_exists = any(
                    name.startswith("/" + "/".join(self.path.split("/")[1:3]) + "/") for name in served.files
                )
                self.send_header("X-Error-Code", "EntryNotFound" if repo_exists else "RepoNotFound")
            if served.error_code:
                self.send_header("X-Error-Code", served.error_code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()

"""The application before anybody asks it anything."""

from __future__ import annotations

from gpt2lab.server import schemas
from gpt2lab.server.app import _Route, create_app


def test_every_body_is_handed_on_at_once() -> None:
    bodies = {
        (route.path, method): route._lone_body()
        for route in create_app({"tiny": "tiny"}).routes
        if isinstance(route, _Route)
        for method in route.methods or ()
    }
    assert bodies["/v1/completions", "POST"] is schemas.CompletionRequest
    assert bodies["/api/next", "POST"] is schemas.NextRequest
    assert all(body is not None for (_, method), body in bodies.items() if method == "POST")
    assert bodies["/v1/models/{name:path}", "GET"] is None

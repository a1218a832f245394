"""The bars that are shown while a model is fetched and packed."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2lab.cli import loading


def test_the_bar_for_fetching_ends_before_that_for_packing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    class Bar:
        def __init__(self, what: str, *, unit: str) -> None:
            self.what = what
            assert unit == "bytes"

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def update(self, done: int, total: int) -> None:
            seen.append((self.what, (done, total)))

        def close(self) -> None:
            seen.append((self.what, "closed"))

    class Model:
        @staticmethod
        def load(name: str, **options: Any) -> str:
            assert (options["precision"], options["threads"], options["models_dir"]) == ("int8", 2, None)
            options["progress"](5, 10)
            options["packing"](1, 4)
            options["packing"](2, 4)
            return f"{name}, loaded"

    monkeypatch.setattr(loading, "ProgressBar", Bar)
    monkeypatch.setattr(loading, "LanguageModel", Model)
    given = {"models_dir": None, "offline": False, "precision": "int8", "device": "cpu", "threads": 2}
    assert loading.load_model("gpt2", **given) == "gpt2, loaded"
    assert seen[:5] == [
        ("fetching gpt2", (5, 10)), ("fetching gpt2", "closed"), ("packing gpt2", (1, 4)),
        ("fetching gpt2", "closed"), ("packing gpt2", (2, 4)),
    ]  # fmt: skip
    assert sorted(set(seen[5:])) == [("fetching gpt2", "closed"), ("packing gpt2", "closed")]

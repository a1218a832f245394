"""gpt2lab inspect: a table, JSON and a page, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab.lm.model import LanguageModel

TEXT = "The old man looked at the sea."


def test_a_table_of_surprise_and_guesses(command) -> None:
    code, out, err = command("inspect", TEXT, "--threads", "1")
    assert (code, err) == (0, "")
    found = LanguageModel.load("tiny", threads=1).inspect(TEXT)
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["token", "bits", "rank"]
    assert len(lines) == len(found.token_ids) + 2
    assert f"{found.surprises[1]:.2f}" in lines[1]
    assert lines[-1].endswith(f"perplexity {LanguageModel.load('tiny', threads=1).score(TEXT).perplexity:.4g}")


def test_json_and_a_page_say_the_same(command, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, err = command("inspect", "-", "--json", "--html", page, "--top", "2", stdin=TEXT.encode())
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert "".join(data["pieces"]) == TEXT
    embedded = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(embedded) == data
    assert {len(place) for lens in data["lens"] for place in lens["top"]} == {2}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("",), "There is no text to look into; give at least one character."),
        ((TEXT, "--top", "21"), "--top = 21 must be a whole number from 1 to 20."),
        (("On and on it went. " * 80,), "at most 256 can be looked into at once."),
        ((TEXT, "--html", "no/such/folder/page.html"), "no/such/folder does not exist."),
    ],
)
def test_mistakes(command, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = command("inspect", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err

"""The pages' files without a browser: both languages say the same things, modules can be joined, nothing is outside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpt2lab.server.standalone import WEB, joined

SOURCES = sorted(path for path in WEB.rglob("*") if path.suffix in (".js", ".html", ".css", ".svg"))
MODULES = [path for path in SOURCES if path.suffix == ".js" and path.name != "early.js"]
_ENTRY = re.compile(r'(?<=[\s{])(\w+): "([^"]*)"')


def words() -> dict[str, dict[str, str]]:
    """Return what each language says, by key."""
    source = (WEB / "lib" / "words.js").read_text(encoding="utf-8")
    english, _, rest = source.partition("const CHINESE")
    chinese, _, _ = rest.partition("const SPOKEN")
    return {"en": dict(_ENTRY.findall(english)), "zh": dict(_ENTRY.findall(chinese))}


def test_both_languages_say_the_same_things() -> None:
    said = words()
    assert len(said["en"]) > 90
    assert said["en"].keys() == said["zh"].keys()
    for key, sentence in said["en"].items():
        assert sorted(re.findall(r"\{(\w+)\}", sentence)) == sorted(re.findall(r"\{(\w+)\}", said["zh"][key])), key


def test_what_pages_ask_for_is_said_and_nothing_is_said_in_vain() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCES if path.name != "words.js")
    known = words()["en"].keys()
    asked = set(re.findall(r'\bsay\("(\w+)"', sources)) | set(
        re.findall(r'data-(?:say|label|placeholder)="(\w+)"', sources)
    )
    assert asked <= known
    begun = tuple(re.findall(r"\bsay\(`(\w+)\$\{", sources))  # say(`view_${view}`)
    ended = tuple(re.findall(r"\bsay\(`\$\{\w+\}(\w+)`", sources))  # say(`${preset}Title`)
    named = set(re.findall(r'name: "(\w+)"', sources))
    named |= {name for pair in re.findall(r'\? "(\w+)" : "(\w+)"', sources) for name in pair}
    presets = {"desk", "story"}
    idle = {k for k in known - asked - named - presets if not k.startswith(begun) and not k.endswith(ended)}
    assert idle == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_keep_to_the_form_that_can_be_joined(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for line in re.findall(r"^import .*$", source, re.MULTILINE):
        match = re.fullmatch(r'import \{ [\w, ]+ \} from "(\.[^"]+)";', line)
        assert match, line
        assert (path.parent / match[1]).is_file(), line
    assert "export default" not in source
    assert len(source.splitlines()) <= 400


def test_a_joined_module_declares_no_name_twice() -> None:
    source = joined(WEB / "inside" / "kept.js")
    assert not re.search(r"^(import|export) ", source, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", source, re.MULTILINE)
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere_and_text_never_becomes_a_part_of_a_page(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    named = set(re.findall(r"https?://[^\s\"'`)]+", source))
    assert named <= {"http://www.w3.org/2000/svg"}
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"):
        assert way not in source
    if path.suffix == ".html":
        assert not re.search(r"\son\w+=|style=|<script>", source)

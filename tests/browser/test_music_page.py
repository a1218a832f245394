"""The music page in a real Chromium: composed, gone on from, heard, undone, kept; a file; no model; a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.apps.music import midi
from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.lm.model import LanguageModel
from live_server import Live, live_server

SCALE = tuple(Note(i * 0.25, i * 0.25 + 0.25, 60 + pitch, 81) for i, pitch in enumerate((0, 2, 4, 5, 7, 9, 11, 12)))
LONGER = "?seed=3&seconds=5"


EAR = """() => {
  const make = AudioContext.prototype.createDynamicsCompressor;
  AudioContext.prototype.createDynamicsCompressor = function () {
    const node = make.call(this);
    window.ear = this.createAnalyser();
    node.connect(window.ear);
    return node;
  };
}"""
LOUDEST = """() => { const heard = new Float32Array(window.ear.fftSize); window.ear.getFloatTimeDomainData(heard);
  return Math.max(...heard.map(Math.abs)); }"""


@pytest.fixture(scope="module")
def studio(random_model: Path, performer_folder: Path, chorister_folder: Path) -> Iterator[Live]:
    """A server whose first model is one of text."""
    sources = {"text": random_model, "performer": performer_folder, "choir": chorister_folder}
    ready = {name: LanguageModel.load(folder, threads=1) for name, folder in sources.items()}
    with live_server({name: str(folder) for name, folder in sources.items()}, ready=ready) as server:
        yield server


def bars(page: Any, kind: str = "") -> int:
    return page.locator(f"svg .note{kind}").count()


def composed(page: Any, button: str = "#compose") -> str:
    """Press a button and return what the page tells of the piece."""
    before = page.inner_text("#about")
    page.click(button)
    page.wait_for_function(
        "before => !document.querySelector('.busy') && document.querySelector('#about').textContent !== before",
        arg=before,
    )
    return page.inner_text("#about")


def saved(page: Any) -> tuple[Note, ...]:
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "gpt2lab.mid"
    return midi.read(Path(download.value.path()).read_bytes()).notes


def test_a_piece_is_composed_continued_undone_and_kept(open_page, studio: Live) -> None:
    page = open_page(f"{studio.url}/music/{LONGER}")
    page.wait_for_selector("#studio:not([hidden])")
    assert page.locator("#model option").all_inner_texts() == ["performer", "choir"]
    assert page.locator("#play").is_disabled() and page.locator("#more").is_disabled()
    told = composed(page)
    assert told.startswith("5.0 s, ") and told.endswith("; seed 3")
    first = bars(page)
    assert f" {first} notes" in told and bars(page, ".given") == 0
    assert len(saved(page)) == first
    assert composed(page, "#more").startswith("10.0 s, ")
    assert bars(page) > first and bars(page, ".given") == first
    assert duration(saved(page)) == pytest.approx(10.0)
    page.click("#undo")
    assert bars(page) == first
    page.click("#undo")
    assert bars(page) == 0 and page.locator(".nothing").is_visible()


def test_a_file_is_read_gone_on_from_and_refused_in_words(open_page, studio: Live, tmp_path: Path, watched) -> None:
    song = tmp_path / "scale.mid"
    song.write_bytes(midi.write(SCALE))
    page = open_page(f"{studio.url}/music/{LONGER}&primer=2")
    page.wait_for_selector("#studio:not([hidden])")
    page.set_input_files("#file", song)
    page.wait_for_selector(".note.given")
    assert page.inner_text("#about").startswith("scale.mid: 2.0 s, 8 notes.")
    assert page.locator("input[name='primer']").is_visible()
    assert composed(page, "#more").startswith("7.0 s, ")
    kept = {(round(note.start, 2), note.pitch) for note in saved(page)}
    assert {(note.start, note.pitch) for note in SCALE} <= kept
    assert not page.locator("input[name='primer']").is_visible()
    song.write_bytes(b"<script>alert(1)</script>")
    watched.expect("400 (Bad Request)")
    page.set_input_files("#file", song)
    page.wait_for_selector(".failure")
    assert "The MIDI file is damaged or no MIDI file" in page.inner_text(".failure")
    assert bars(page) == len(kept)


def test_it_is_heard_stops_and_is_moved_by_key(open_page, studio: Live) -> None:
    page = open_page(f"{studio.url}/music/{LONGER}&model=choir")
    page.wait_for_selector("#studio:not([hidden])")
    assert page.locator("#model select").input_value() == "choir"
    composed(page)
    roll = page.get_by_role("slider", name="Position in the piece")
    roll.press("ArrowRight")
    assert roll.get_attribute("aria-valuenow") == "1.0"
    roll.press("End")
    assert float(roll.get_attribute("aria-valuenow")) == pytest.approx(5.0, abs=0.2)
    roll.press("Home")
    page.evaluate(EAR)
    roll.press(" ")
    assert page.inner_text("#play") == "Pause"
    page.wait_for_function("() => Number(document.querySelector('.scroll').ariaValueNow) > 0.3")
    assert page.locator("svg .note.now").count() >= 1
    page.wait_for_function(f"() => ({LOUDEST})() > 0.01")
    page.click("#play")
    stopped = roll.get_attribute("aria-valuenow")
    assert page.inner_text("#play") == "Play" and page.locator("svg .note.now").count() == 0
    page.wait_for_timeout(300)
    assert roll.get_attribute("aria-valuenow") == stopped


def test_without_a_model_of_music_the_page_says_what_to_do(open_page, random_model: Path) -> None:
    ready = {"text": LanguageModel.load(random_model, threads=1)}
    with live_server({"text": str(random_model)}, ready=ready) as server:
        page = open_page(f"{server.url}/music/")
        page.wait_for_selector("#none:not([hidden])")
        assert "No model of music is served here." in page.inner_text("#none")
        assert "gpt2lab serve --model" in page.inner_text("#none")
        assert not page.locator("#studio").is_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_telephone_in_both_languages(open_page, studio: Live, dark: bool) -> None:
    page = open_page(f"{studio.url}/music/{LONGER}", width=390, height=844, dark=dark, locale="zh-CN")
    page.wait_for_selector("#studio:not([hidden])")
    assert page.inner_text("#compose") == "作曲"
    composed(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('.scroll').scrollWidth") >= 130

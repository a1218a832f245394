"""The bias report as a page in a browser: it needs no script and no network, fits, and hostile words stay words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.evals.bias.finetuned import PAGE, compare
from gpt2lab.evals.bias.measure import changes, probe
from gpt2lab.evals.bias.page import LIMITS, page
from gpt2lab.evals.bias.probes import axis_of
from gpt2lab.evals.bias.results import Findings

HOSTILE = "<img src=x>"


@pytest.fixture(scope="module")
def report(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `gpt2lab finetune`: every axis, before and after."""
    folder = tmp_path_factory.mktemp("bias")
    lm = LanguageModel.load(random_model, threads=1)
    compare(lm, lm, folder, names=("base", "tuned"), resamples=20)
    return folder / PAGE


def test_the_report_reads_without_script_or_network(open_page, report: Path, watched) -> None:
    shown = open_page(report, java_script_enabled=False, offline=True)
    text = shown.inner_text("body")
    assert text.startswith("What tuned expects of groups of people")
    assert all(limit in text for limit in LIMITS)
    for part in ("gender", "race", "religion", "age", "weekday (control: ought to be small)", "Grey: base, before."):
        assert part in text
    assert watched.requests == [report.as_uri()]
    questions = shown.locator("details").first
    assert not questions.locator("table").first.is_visible()
    questions.locator("summary").click()
    assert questions.locator("table").first.is_visible()


def test_pictures_stay_inside_their_frames(open_page, report: Path) -> None:
    shown = open_page(report)
    frames = shown.locator("svg")
    assert frames.count() == 6  # the overview, and an axis each
    outside = shown.eval_on_selector_all(
        "svg",
        """frames => frames.flatMap(f => { const o = f.getBoundingClientRect();
             return [...f.querySelectorAll('circle, line, text')].filter(e => { const b = e.getBoundingClientRect();
               return b.left < o.left - 1 || b.right > o.right + 1 || b.top < o.top - 1 || b.bottom > o.bottom + 1 })
             .map(e => e.outerHTML) })""",
    )
    assert outside == []
    both = shown.locator("svg").first
    assert both.locator("circle.a").count() == both.locator("circle.b").count() == 5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_telephone_needs_no_scrolling_sideways(open_page, report: Path, dark: bool) -> None:
    shown = open_page(report, width=390, height=844, dark=dark)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    text = shown.evaluate("getComputedStyle(document.body).color.match(/\\d+/g).map(Number)[0]")
    assert (text > 200) == dark


def test_hostile_groups_and_templates_are_text(open_page, random_model: Path, tmp_path: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    axis = axis_of(["{group} <script>y()</script>", "a {group} cat"], ["old", HOSTILE])
    found = probe(lm, [axis], resamples=20)
    file = tmp_path / "bias.html"
    changed = changes(found, found, resamples=20)
    file.write_text(page(Findings(HOSTILE, {"x": HOSTILE}, found), changed, before=HOSTILE), encoding="utf-8")
    shown = open_page(file)  # a picture or a script would be an error of the page
    assert shown.locator("script, img").count() == 0
    assert f"What {HOSTILE} expects" in shown.inner_text("h1")
    assert shown.title() == f"What {HOSTILE} expects of groups of people"
    assert "<script>y()" in shown.locator("details").first.text_content()

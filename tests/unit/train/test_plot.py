"""Curves as pictures."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gpt2lab.errors import ConfigError, DataError, MissingExtraError
from gpt2lab.train.plot import curves, plot


def make_run(folder: Path, values: list[float]) -> Path:
    folder.mkdir()
    lines = [
        json.dumps({"step": 10 * i, "tokens": 100 * i, "train_loss": v + 0.1, "validation_loss": v}) + "\n"
        for i, v in enumerate(values, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def test_curves_of_several_runs_over_tokens(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", [3.0, 2.0]), make_run(tmp_path / "b<", [4.0, float("nan"), 1.0])]
    found = curves(runs, ["validation_loss"], "tokens")
    assert found == [("a", [(100, 3.0), (200, 2.0)]), ("b<", [(100, 4.0), (300, 1.0)])]


def test_an_svg_has_a_line_for_each_curve(tmp_path: Path) -> None:
    path = plot([make_run(tmp_path / "a", [3.0, 2.0, 1.5])], tmp_path / "c.svg")
    tree = ET.fromstring(path.read_text(encoding="utf-8"))
    lines = tree.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    heights = [float(point.split(",")[1]) for point in lines[1].attrib["points"].split()]
    assert heights == sorted(heights), "a falling loss goes down the page"
    assert len(tree.findall("{http://www.w3.org/2000/svg}circle")) == 6


def test_an_html_page_stands_alone(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", [3.0]), make_run(tmp_path / "b<", [4.0, 1.0])]
    page = plot(runs, tmp_path / "c.html", metrics=["validation_loss"], logarithmic=True).read_text(encoding="utf-8")
    assert "<svg" in page
    assert "b&lt;" in page
    assert "<script" not in page
    assert page.replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="PNGs are drawn by matplotlib")
    path = plot([make_run(tmp_path / "a", [3.0, 2.0])], tmp_path / "c.png", logarithmic=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_png_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"A PNG of curves needs .* 'gpt2lab\[train\]'"):
        plot([make_run(tmp_path / "a", [3.0])], tmp_path / "c.png")


def test_mistakes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", [-3.0])
    with pytest.raises(DataError, match=r"nowhere has no metrics\.jsonl with a measurement"):
        plot([tmp_path / "nowhere"], tmp_path / "c.svg")
    with pytest.raises(ConfigError, match=r"c\.jpg has an ending that is none of \.png, \.svg, \.html"):
        plot([run], tmp_path / "c.jpg")
    with pytest.raises(
        ConfigError, match=r"No run has a metric 'train_los'\. Did you mean 'train_loss'\? There are: step"
    ):
        plot([run], tmp_path / "c.svg", metrics=["train_los"])
    with pytest.raises(ConfigError, match="No run has train_loss over 'years'"):
        plot([run], tmp_path / "c.svg", metrics=["train_loss"], axis="years")
    with pytest.raises(ConfigError, match="nothing above zero to draw"):
        plot([run], tmp_path / "c.svg", metrics=["validation_loss"], logarithmic=True)

"""Notes as a picture: time to the right, pitch upwards, a bar for each note, darker the louder. SVG or PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

from gpt2lab.apps.music.notes import Note, duration
from gpt2lab.errors import MissingExtraError

COLOURS = ("#1f5fa8", "#c2571a", "#2b8a3e", "#8e3b8a")
"""Of the channels, in turn."""

_ROW, _MARGIN, _AXIS = 5.0, 46.0, 24.0  # height of a semitone, room for the names of octaves and for seconds
_MOST_WIDTH = 4000.0


class _Scale(NamedTuple):
    """Where a time and a pitch lie, in pixels."""

    seconds: float
    low: int
    high: int
    per_second: float

    @property
    def width(self) -> float:
        return _MARGIN + self.seconds * self.per_second + 10

    @property
    def height(self) -> float:
        return (self.high - self.low + 1) * _ROW + _AXIS

    def x(self, time: float) -> float:
        return _MARGIN + time * self.per_second

    def y(self, pitch: float) -> float:
        """The upper edge of a pitch."""
        return (self.high - pitch) * _ROW


def _scale(notes: Sequence[Note]) -> _Scale:
    """Show whole octaves, at least two, and 40 pixels a second where that is not too wide."""
    seconds = max(duration(notes), 1.0)
    pitches = [note.pitch for note in notes] or [60]
    low, high = min(pitches) // 12 * 12, max(pitches) // 12 * 12 + 11
    if high - low < 23:
        high = low + 23
    return _Scale(seconds, low, high, min(40.0, _MOST_WIDTH / seconds))


def _every(seconds: float) -> int:
    """Return after how many seconds a line is drawn."""
    return next((step for step in (1, 2, 5, 10, 30, 60) if seconds / step <= 30), 300)


def svg(notes: Sequence[Note], title: str = "") -> str:
    """Return a piano roll as an SVG document."""
    scale = _scale(notes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{scale.width:.0f}" height="{scale.height:.0f}" '
        f'viewBox="0 0 {scale.width:.0f} {scale.height:.0f}" font-family="sans-serif" font-size="11">',
        f"<title>{_escaped(title or 'Piano roll')}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    right, bottom = scale.x(scale.seconds), scale.y(scale.low - 1)
    for pitch in range(scale.low, scale.high + 1, 12):
        y = scale.y(pitch) + _ROW
        parts.append(f'<line x1="{_MARGIN}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke="#ccc"/>')
        parts.append(f'<text x="{_MARGIN - 6}" y="{y}" text-anchor="end" fill="#555">C{pitch // 12 - 1}</text>')
    for second in range(0, int(scale.seconds) + 1, _every(scale.seconds)):
        x = scale.x(second)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{second} s</text>')
    for note in notes:
        wide = max((note.end - note.start) * scale.per_second, 1.0)
        parts.append(
            f'<rect x="{scale.x(note.start):.2f}" y="{scale.y(note.pitch):g}" width="{wide:.2f}" height="{_ROW:g}" '
            f'fill="{COLOURS[note.channel % len(COLOURS)]}" fill-opacity="{_shade(note):.2f}"/>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def png(notes: Sequence[Note], title: str = "") -> bytes:
    """Return a piano roll as a PNG image. Raises `MissingExtraError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import PolyCollection
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("A picture as PNG", "music") from None
    scale = _scale(notes)
    figure = Figure(figsize=(scale.width / 100, scale.height / 100 + 0.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = [
        [(n.start, n.pitch - 0.5), (n.end, n.pitch - 0.5), (n.end, n.pitch + 0.5), (n.start, n.pitch + 0.5)]
        for n in notes
    ]
    colours = [(*_rgb(COLOURS[n.channel % len(COLOURS)]), _shade(n)) for n in notes]
    axes.add_collection(PolyCollection(bars, facecolors=colours))
    axes.set_xlim(0, scale.seconds)
    axes.set_ylim(scale.low - 0.5, scale.high + 0.5)
    octaves = range(scale.low, scale.high + 1, 12)
    axes.set_yticks(list(octaves), [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.grid(color="#ddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("seconds")
    if title:
        axes.set_title(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _shade(note: Note) -> float:
    return 0.35 + 0.65 * note.velocity / 127


def _rgb(colour: str) -> tuple[float, float, float]:
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Draw docs/images/generate.svg: a terminal that shows real commands and what they print.

python docs/images/make.py writes the file; docs/refresh.py and tests/contract/test_readme.py use `picture`.
"""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COMMANDS = (
    'gpt2lab generate "Once upon a time" --length 60 --seed 2',
    'gpt2lab generate "The old man looked at the sea" --temperature 0 --length 24',
    "printf 'The cat sat on the mat.' | gpt2lab score - --summary",
)
WIDTH = 92

_THEME = TerminalTheme(
    (30, 32, 40),
    (222, 222, 226),
    [(30, 32, 40), (224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (222, 222, 226)],
)  # fmt: skip

# No web font: the picture asks nothing of any server. `textLength` keeps the columns even in every font.
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>gpt2lab in a terminal</title>
<style>
.{unique_id}-matrix {{
  font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""  # noqa: E501 - an element on a line


def picture() -> str:
    """Run the commands and return the drawing."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor",
                      legacy_windows=False)  # fmt: skip
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text(printed(command)))
    return console.export_svg(title="", theme=_THEME, code_format=_FORMAT, unique_id="gpt2lab")


def printed(command: str) -> str:
    """Return what a command prints on its standard output."""
    program = 'gpt2lab() { "$0" -m gpt2lab "$@"; }; '
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program + command, sys.executable],
        capture_output=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.decode()


if __name__ == "__main__":
    Path(__file__).with_name("generate.svg").write_text(picture(), encoding="utf-8")

"""A page of the package as one file that needs nothing else: its styles, its modules and its data inside.

The modules are joined in the order in which they need each other; they keep to the simplest form of import and export,
and no two of them use one name for two things at their top level.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WEB = Path(__file__).parents[1] / "web"
"""The pages of the package."""

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def inspection_page(data: Mapping[str, Any]) -> str:
    """Return what `lm.inspection.page_data` and the model's name come to as a page: HTML that asks nobody anything."""
    styles = "".join((WEB / name).read_text(encoding="utf-8") for name in ("style.css", "inside/inside.css"))
    title = html.escape(f"{''.join(data['pieces'])[:60]} · {data['model']}")
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="gpt2lab">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f'<style>\n{styles}</style>\n</head>\n<body>\n<main id="inspection"></main>\n'
        f'<script type="application/json" id="data">{_embedded(data)}</script>\n'
        f'<script type="module">\n{joined(WEB / "inside" / "kept.js")}</script>\n</body>\n</html>\n'
    )


def joined(entry: Path) -> str:
    """Return a module and all that it imports as one script."""
    parts: list[str] = []
    seen: set[Path] = set()

    def add(path: Path) -> None:
        if path in seen:
            return
        seen.add(path)
        source = path.read_text(encoding="utf-8")
        for needed in _IMPORT.findall(source):
            add((path.parent / needed).resolve())
        parts.append(_EXPORT.sub("", _IMPORT.sub("", source)))

    add(entry.resolve())
    return "\n".join(parts)


def _embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that nothing in it can end early: no tag is left in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

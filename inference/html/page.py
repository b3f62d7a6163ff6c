"""Page: the report of a run as one HTML file that opens from disk and asks for nothing.

Styles and scripts are inlined from `assets/`, the data is a block of JSON. Two rules keep texts from acting on the
page: they reach it as JSON only, in ASCII and without `<`, `>` and `&`, and the scripts put them into the document as
text nodes only. A content security policy allows this style and these scripts by their hashes, and no request.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.html.data import data

if TYPE_CHECKING:
    from inference.posterior import Posterior

_SCRIPTS = ("lineages.js", "tokens.js", "particles.js", "charts.js", "genealogy.js", "report.js")
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True)
class Report:
    """A page; as the last expression of a notebook's cell it is shown in a frame."""

    html: str

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page to a file and return its path."""
        target = Path(path)
        target.write_text(self.html, "utf-8")
        return target

    def __repr__(self) -> str:
        return f"<report, {len(self.html) / 1e6:.1f} MB of HTML: .save('run.html')>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="Report of a run" srcdoc="{html.escape(self.html)}" '
            'style="width:100%;height:48rem;border:1px solid #8884"></iframe>'
        )


def page(posterior: Posterior[Any]) -> str:
    """Return the page of a posterior."""
    style, script = _asset("report.css"), "\n".join(map(_asset, _SCRIPTS))
    parts = {
        "<!--policy-->": f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        "<!--style-->": style,
        "<!--script-->": script,
        "<!--data-->": embedded(data(posterior)),
    }
    text = _asset("template.html")
    for place, part in parts.items():
        text = text.replace(place, part)
    return text


def embedded(value: object) -> str:
    """Return JSON that is safe inside a script element of HTML, whatever the texts in it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def _asset(name: str) -> str:
    return (files("inference.html") / "assets" / name).read_text("utf-8")


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"

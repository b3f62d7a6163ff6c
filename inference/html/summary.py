"""Summary: a posterior as a short static table, which is what a notebook shows of one."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from inference.html.text import shown

if TYPE_CHECKING:
    from inference.posterior import Posterior

_ROWS = 12
_LONGEST = 400
"""Characters of a value that are shown."""


def summary(posterior: Posterior[Any]) -> str:
    """Return a fragment of HTML without scripts: the most probable values, evidence, ESS and cost."""
    head = f"<p><b>Posterior</b> of {_escaped(posterior.method)}, seed {posterior.seed}</p>"
    if not posterior.samples:
        dead = f"no survivors, log evidence {posterior.log_evidence:.4f}"
        return f"<div>{head}<p>{dead}<br>{_escaped(posterior.no_survivors or '')}</p></div>"
    ranked = posterior.top(len(posterior))
    rows = "".join(
        f'<tr><td style="text-align:right">{p:.4f}</td>'
        f'<td style="text-align:left"><code dir="ltr">{_escaped(repr(value))}</code></td></tr>'
        for value, p in ranked[:_ROWS]
    )
    rest = len(ranked) - _ROWS
    more = f'<tr><td></td><td style="text-align:left">… and {rest} more values</td></tr>' if rest > 0 else ""
    return (
        f"<div>{head}<table><thead><tr><th>probability</th>"
        f'<th style="text-align:left">value</th></tr></thead><tbody>{rows}{more}</tbody></table>'
        f"<p>log evidence {posterior.log_evidence:.4f}, ESS {posterior.ess:.1f} of {len(posterior)} samples"
        f"<br>{_escaped(str(posterior.cost))}</p></div>"
    )


def _escaped(text: str) -> str:
    text = shown(text)
    return html.escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")

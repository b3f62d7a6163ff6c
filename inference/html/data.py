"""Data of the page: a posterior as plain JSON values, in columns.

What is exact in the posterior is rounded here to five digits, and every text is cut where nobody would read on. The
rows of the page are lineages: one for each sample, one for each particle that died, one for each that was dropped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.record import Record

if TYPE_CHECKING:
    from inference.posterior import Posterior

_VALUES = 1000
"""Distinct values that are listed."""
_LONGEST = 2000
"""Characters of a value, a target or a reason that are shown."""
_REJECTED = 12
"""Rejected candidates of a token that are listed; the others are counted."""


def data(posterior: Posterior[Any]) -> dict[str, Any]:
    """Return what the page shows."""
    record = posterior.record
    values = posterior.top(len(posterior)) if posterior.samples else []
    return {
        "method": posterior.method,
        "seed": posterior.seed,
        "logEvidence": _number(posterior.log_evidence),
        "ess": _number(posterior.ess),
        "samples": len(posterior),
        "cost": str(posterior.cost),
        "noSurvivors": None if posterior.no_survivors is None else _cut(posterior.no_survivors),
        "diagnosis": _diagnosis(posterior),
        "values": [[_cut(repr(value)), _number(p)] for value, p in values[:_VALUES]],
        "moreValues": max(len(values) - _VALUES, 0),
        "steps": {
            "live": [step.live for step in posterior.steps],
            "ess": [_number(step.ess) for step in posterior.steps],
            "logEvidence": _column(np.cumsum([step.log_increment for step in posterior.steps])),
            "ancestors": {str(k): step.ancestors for k, step in enumerate(posterior.steps) if step.ancestors},
        },
        "sites": [
            {"address": s.address, "target": _cut(s.target), "reason": _cut(s.reason), "measured": s.lines()}
            for s in posterior.sites
        ],
        "record": None if record is None else _record(posterior, record),
    }


def _diagnosis(posterior: Posterior[Any]) -> dict[str, Any] | None:
    """Return what speaks against the run; None if nothing does, or nobody survived, which the page says anyway."""
    diagnosis = posterior.diagnose()
    if diagnosis.trusted or not posterior.samples:
        return None
    findings = [finding for finding in diagnosis.findings if finding.severity != "note"]
    return {
        "verdict": diagnosis.verdict,
        "findings": [[f.severity, _cut(f.what), _cut(f.advice)] for f in findings],
    }


def _record(posterior: Posterior[Any], record: Record) -> dict[str, Any]:
    nodes = np.arange(len(record))
    aligned = (
        record.populations == 1
        and int(record.ticks.max()) == len(posterior.steps)
        and int(record.lanes.max()) < int((record.parents < 0).sum())
        and _stays(posterior, record)
    )
    return {
        "aligned": aligned,  # whether ticks and places of the moves are those of the steps and their ancestors
        "parent": np.where(record.parents < 0, 0, nodes - record.parents).tolist(),
        "lane": record.lanes.tolist(),
        "tick": record.ticks.tolist(),
        "site": record.site.tolist(),
        "kernel": record.kernel.tolist(),
        "symbol": record.symbol.tolist(),
        "position": record.positions.tolist() if bool((record.positions >= 0).any()) else None,
        "flags": record.flags.tolist(),
        "logProb": _column(record.log_probs),
        "logMass": _column(record.log_masses),
        "logDraw": _column(record.log_draws),
        "logWeight": _column(record.log_weights),
        "sites": record.sites,
        "kernels": record.kernels,
        "symbols": [_symbol(symbol.data) for symbol in record.symbols],
        "ids": [symbol.token for symbol in record.symbols],
        "rejected": {
            str(node): [len(symbols), *symbols[:_REJECTED]] for node, symbols in record.rejected.items()
        },
        "rows": _rows(posterior, record, aligned),
    }


def _stays(posterior: Posterior[Any], record: Record) -> bool:
    """Return whether all moves in ticks without ancestors are made in the place of the move before."""
    still = np.array([False, *(step.ancestors is None for step in posterior.steps)])
    moves = (record.parents >= 0) & still[record.ticks]
    return bool((record.lanes[moves] == record.lanes[record.parents[moves]]).all())


def _rows(posterior: Posterior[Any], record: Record, aligned: bool) -> dict[str, Any]:
    """Return the lineages: samples by weight, then the dead, then the dropped, each by the tick of its end."""
    weights = posterior.weights if posterior.samples else np.zeros(0)
    best = np.argsort(-weights, kind="stable").tolist()
    leaves = sorted(set(record.leaves.tolist()) - set(record.tips), key=lambda k: (-int(record.ticks[k]), k))
    dead = [node for node in leaves if node in record.deaths]
    dropped = [node for node in leaves if node not in record.deaths]
    reasons = list(dict.fromkeys(record.deaths[node] for node in dead))
    index = {reason: k for k, reason in enumerate(reasons)}
    number = _values(posterior)
    lanes = _lanes(posterior, record) if aligned else record.lanes[list(record.tips)].tolist()
    return {
        "tip": [record.tips[i] for i in best] + dead + dropped,
        "weight": [_number(w) for w in weights[best].tolist()],
        "value": [number[i] for i in best],
        "lane": [lanes[i] for i in best],
        "dead": [index[record.deaths[node]] for node in dead],
        "dropped": len(dropped),
        "reasons": [_cut(reason) for reason in reasons],
    }


def _values(posterior: Posterior[Any]) -> list[int]:
    """Return for each sample the rank of its value."""
    ranks = [0] * len(posterior)
    for rank, (_, members, _) in enumerate(posterior.ranked_groups() if posterior.samples else ()):
        for i in members:
            ranks[i] = rank
    return ranks


def _lanes(posterior: Posterior[Any], record: Record) -> list[int]:
    """Return for each sample its place in the last population; copies of a finished run have places of their own."""
    size = int((record.parents < 0).sum())
    origins = [np.arange(size)]  # of the places after each tick, the last first
    for step in reversed(posterior.steps):
        origins.append(origins[-1] if step.ancestors is None else np.array(step.ancestors)[origins[-1]])
    free: dict[int, list[int]] = {}
    for tip in set(record.tips):
        after = origins[len(posterior.steps) - int(record.ticks[tip])]
        free[tip] = np.flatnonzero(after == record.lanes[tip]).tolist()[::-1]
    return [free[tip].pop() for tip in record.tips]


def _symbol(spelled: bytes) -> str | list[int]:
    """Return the text that bytes spell, or the bytes where they are only part of a character."""
    try:
        return spelled.decode()
    except UnicodeDecodeError:
        return list(spelled)


def _column(numbers: NDArray[np.float64]) -> list[float | int | None]:
    """Return numbers to four decimals, those that are not finite as None."""
    rounded = np.round(numbers, 4) + 0.0  # no -0.0
    return [(int(x) if x == int(x) else x) if math.isfinite(x) else None for x in rounded.tolist()]


def _number(x: float) -> float | None:
    """Return a number to six digits; None if it is not finite."""
    return float(f"{x:.6g}") if math.isfinite(x) else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

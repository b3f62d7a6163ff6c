"""Jobs: what a pass evaluates for the contexts that are asked for, and the slots where their rows stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.engines.base import Context
from inference.engines.prompt_cache import Ids

NOWHERE = -1
"""In place of a slot: a bare prompt has none."""


@dataclass
class Job:
    """Contexts to be evaluated: `tokens` after the first `columns` columns of a slot, or after a bare prompt.

    `draft` is evaluated with them, in case that it comes next; at most `guessed` tokens of one may be guessed, for the
    context `first` of those that are asked for. `to` is the slot where the row will stand.
    """

    prompt: Ids
    slot: int
    columns: int
    tokens: Ids
    draft: Ids = ()
    first: int = 0
    guessed: int = 0
    contexts: list[Context] = field(default_factory=list)
    to: int = NOWHERE


def settle(jobs: Sequence[Job], pinned: set[int], slots: int) -> int:
    """Choose the slot of each job, besides `pinned` ones; return how many slots that takes, `slots` at least.

    A row grows where it stands, unless another context needs it as it is.
    """
    used = set(pinned)
    moving = []
    for job in jobs:
        if job.slot == NOWHERE or job.slot in used:
            moving.append(job)
        else:
            job.to = job.slot
            used.add(job.slot)
    kept = used | {job.slot for job in moving}
    free = (slot for slot in range(slots + len(moving) + 1) if slot not in kept)
    for job in moving:
        job.to = next(free)
        used.add(job.to)
    return max(slots, *(slot + 1 for slot in used))

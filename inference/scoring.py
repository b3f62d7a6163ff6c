"""Scoring: log-densities of given texts, for `observe`, batched over the population.

The density of a language model's text is that of its canonical tokenization followed by its end: the
probability of end-of-sequence or, with stop strings, also of each way to spell a stop right after the text
that the canonical tokenization of the stop and single tokens give.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grammars.stop_scanner import START, stop_scanner
from grammars.vocabulary import unpack
from inference.engines.errors import NotSpellable
from inference.experts import alphabet, log_pool
from inference.sessions import Sessions
from inference.weights import log_sum_exp
from ppl.compiler.normal_form import FiniteForm, InfillForm, TextForm, normal_form
from ppl.errors import InvalidArgument
from ppl.lm import LM
from ppl.nested import Nested
from ppl.targets import Target, Text

if TYPE_CHECKING:
    from inference.twists import Twists

Ids = tuple[int, ...]


def log_densities(
    requests: Sequence[tuple[Target[Any], Any]], sessions: Sessions, twists: Twists
) -> list[float]:
    """Return the log-density of each target at a value; -inf where it has none."""
    results = [-math.inf] * len(requests)
    jobs: list[_Job] = []
    for i, (target, value) in enumerate(requests):
        form = _scored(target)
        if isinstance(form, FiniteForm):
            results[i] = log_mass(form, value)
        elif form.constraint is None or form.constraint.matches(value):
            ids = _canonical(form.text.lm, value)
            if ids is not None and len(ids) <= form.text.max_tokens:
                jobs += [_Job(i, form, ids, path) for path in _stop_paths(form.text)]
    counted: set[tuple[int, Ids]] = set()
    for job, table in zip(jobs, _tables(jobs, sessions), strict=True):
        for n in range(len(job.path) + 1):
            if (job.request, job.path[:n]) not in counted:
                counted.add((job.request, job.path[:n]))
                ending = _log_ending(job.form.text, job.ids, job.path[:n], table)
                results[job.request] = float(np.logaddexp(results[job.request], ending))
    for i, form in {job.request: job.form for job in jobs}.items():
        results[i] += sum(twists.at_end(potential, requests[i][1]) for potential in form.potentials)
    return results


def log_prefixes(target: Target[Any], texts: Sequence[str], sessions: Sessions) -> list[float]:
    """Return the log-probability that a text begins with the canonical tokens of each of `texts`.

    Constraints and potentials of the target are left out: it is about complete texts that they speak.
    """
    form = _scored(target)
    if isinstance(form, FiniteForm):
        return [0.0] * len(texts)
    spelled = [_canonical(form.text.lm, text) for text in texts]
    jobs = [_Job(i, form, ids, ()) for i, ids in enumerate(spelled) if ids is not None]
    results = [-math.inf] * len(texts)
    for job, table in zip(jobs, _tables(jobs, sessions), strict=True):
        results[job.request] = _log_written(job.ids, table)
    return results


def _scored(target: Target[Any]) -> TextForm | FiniteForm:
    form = normal_form(target)
    if isinstance(form, InfillForm):
        raise InvalidArgument(
            f"the density of a text under {target} is a sum over all orders of unmasking",
            hint="score by a language model that writes from left to right",
        )
    if isinstance(form, Nested):
        raise InvalidArgument(
            f"{target} scores no texts", hint="observe(...) multiplies by the mass of a nested program"
        )
    return form


class _Job(NamedTuple):
    """A text to be scored along one path to its end: `ids` spell it, `path` all of a stop string but its end."""

    request: int
    form: TextForm
    ids: Ids
    path: Ids


def _tables(jobs: Sequence[_Job], sessions: Sessions) -> list[Tensor]:
    """Return for each job the (len + 1, V) log-masses of the next tokens along it."""
    asked: defaultdict[LM, list[tuple[Ids, Ids]]] = defaultdict(list)
    for job in jobs:
        for text in job.form.texts:
            asked[text.lm].append((text.prompt, job.ids + job.path))
    answers = {lm: iter(tables) for lm, tables in sessions.along(asked).items()}
    tables = []
    for job in jobs:
        experts = [next(answers[text.lm]) for text in job.form.texts]
        tokens = alphabet(job.form.text.lm.vocabulary)
        tables.append(experts[0] if job.form.pool.plain else log_pool(job.form.pool, experts, tokens))
    return tables


def _canonical(lm: LM, text: str) -> Ids | None:
    """Return the canonical tokenization of a text, None if no tokens spell it: its density is 0."""
    try:
        return lm.encode(text)
    except NotSpellable:
        return None


def log_mass(form: FiniteForm, value: object) -> float:
    """Return the log-mass of a value of a finite measure."""
    masses = [w for v, w in zip(form.values, form.log_masses, strict=True) if v == value]
    return log_sum_exp(np.array(masses))


def _stop_paths(text: Text) -> list[Ids]:
    """Return, for each stop string, its canonical tokens but the last; one empty path if there is no stop."""
    return [text.lm.encode(stop)[:-1] for stop in text.stop] or [()]


def _log_ending(text: Text, ids: Ids, path: Ids, table: Tensor) -> float:
    """Return the log-mass of writing `ids`, then `path`, then one token that ends the text right after `ids`."""
    if len(ids) + len(path) > text.max_tokens:
        return -math.inf
    ends = _ending_tokens(text, ids, path)
    if not ends:
        return -math.inf
    written = ids + path
    return _log_written(written, table) + float(torch.logsumexp(table[len(written), ends].double(), dim=-1))


def _log_written(ids: Ids, table: Tensor) -> float:
    return float(table[torch.arange(len(ids)), torch.tensor(ids, dtype=torch.long)].double().sum())


def _ending_tokens(text: Text, ids: Ids, path: Ids) -> list[int]:
    """Return the tokens that, after `ids` and `path`, end the text exactly after `ids`."""
    vocabulary = text.lm.vocabulary
    ends = [] if path else [vocabulary.end]
    if not text.stop:
        return ends
    scanner, state = stop_scanner(vocabulary, text.stop), START
    for token in ids + path:
        state, end = scanner.step(state, token)
        if end is not None:
            return []
    start = -len(vocabulary.decode(path))
    terminators = np.flatnonzero(unpack(scanner.terminators(state), vocabulary.size))
    return ends + [int(t) for t in terminators if scanner.step(state, int(t))[1] == start]

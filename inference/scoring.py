"""Scoring: log-densities of given texts, for `observe`, batched over the population.

The density of a language model's text is that of its canonical tokenization followed by its end: the
probability of end-of-sequence or, with stop strings, also of each way to spell a stop right after the text
that the canonical tokenization of the stop and single tokens give.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from grammars.stop_scanner import START, stop_scanner
from grammars.vocabulary import unpack
from inference.engines.errors import NotSpellable
from inference.sessions import Sessions
from inference.weights import log_sum_exp
from ppl.compiler.normal_form import FiniteForm, normal_form
from ppl.fiber import Observe
from ppl.lm import LM
from ppl.targets import Text

Ids = tuple[int, ...]


def log_densities(requests: Sequence[Observe], sessions: Sessions) -> list[float]:
    """Return the log-density of each observed text; -inf where it has none."""
    results = [-math.inf] * len(requests)
    jobs: defaultdict[LM, list[tuple[int, Text, Ids, Ids]]] = defaultdict(list)
    for i, request in enumerate(requests):
        form = normal_form(request.target)
        if isinstance(form, FiniteForm):
            results[i] = _finite(form, request.value)
        elif form.constraint is None or form.constraint.matches(request.value):
            ids = _canonical(form.text.lm, request.value)
            if ids is not None and len(ids) <= form.text.max_tokens:
                jobs[form.text.lm] += [(i, form.text, ids, stop) for stop in _stop_paths(form.text)]
    for lm, members in jobs.items():
        tables = sessions[lm].along([(text.prompt, ids + path) for _, text, ids, path in members])
        counted: set[tuple[int, Ids]] = set()
        for (i, text, ids, path), table in zip(members, tables, strict=True):
            for n in range(len(path) + 1):
                if (i, path[:n]) not in counted:
                    counted.add((i, path[:n]))
                    results[i] = float(np.logaddexp(results[i], _log_ending(text, ids, path[:n], table)))
    return results


def _canonical(lm: LM, text: str) -> Ids | None:
    """Return the canonical tokenization of a text, None if no tokens spell it: its density is 0."""
    try:
        return lm.encode(text)
    except NotSpellable:
        return None


def _finite(form: FiniteForm, value: object) -> float:
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
    steps = table[torch.arange(len(written)), torch.tensor(written, dtype=torch.long)].double().sum()
    return float(steps + torch.logsumexp(table[len(written), ends].double(), dim=-1))


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

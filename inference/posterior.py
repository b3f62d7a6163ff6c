"""Posterior: weighted samples of a program's return value, and what the run says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import numpy as np
import torch

from inference.diagnosis.genealogy import Genealogy
from inference.diagnosis.precision import genealogy_of, log_evidence_error, standard_error
from inference.diagnostics import Cost, Step
from inference.errors import NoSurvivors
from inference.posterior_json import from_plain, to_plain
from inference.record import Record
from inference.report import SiteReport
from inference.sample import Sample, Weighted
from inference.voting import Ranked, Vote, grouped, vote
from inference.weights import Floats, effective_sample_size, normalise
from ppl.errors import InvalidArgument
from ppl.rng import Rng, drawing_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from inference.diagnosis.findings import Diagnosis
    from inference.html.page import Report

__all__ = ["Posterior", "Sample", "Weighted"]

R = TypeVar("R")
V = TypeVar("V")


class Posterior(Generic[R]):
    """Weighted samples that represent a normalised posterior.

    Attributes
    ----------
    samples:
        The finished runs of positive weight.
    log_evidence:
        Log of an unbiased estimate of the program's total mass, in nats (for `Enumerate`: of the mass itself).
        The log of an unbiased estimate is itself biased downwards. -inf if nothing survived.
    method, seed:
        What was run.
    steps:
        The ticks, see `Step`.
    cost:
        What was spent, see `Cost`.
    sites:
        What was measured at each text site, see `SiteReport`.
    record:
        Every move of every particle, see `Record`; None unless `infer(..., record=True)` asked for it.
    no_survivors:
        The last death, or another reason why nobody survived; None if nobody died.
    particles:
        How many runs there were in the end, the dead included.
    chains:
        How many Markov chains the samples are the states of, those of the first chain first; None if of none.

    All that reads samples raises `NoSurvivors` where there are none.
    """

    def __init__(
        self,
        samples: Sequence[Sample[R]],
        log_evidence: float,
        method: str,
        seed: int,
        steps: Sequence[Step],
        cost: Cost,
        no_survivors: str | None = None,
        sites: Sequence[SiteReport] = (),
        record: Record | None = None,
        particles: int = 0,
        chains: int | None = None,
    ) -> None:
        self.samples = tuple(samples)
        self.log_evidence = log_evidence
        self.method = method
        self.seed = seed
        self.steps = tuple(steps)
        self.cost = cost
        self.sites = tuple(sites)
        self.record = record
        self.no_survivors = no_survivors
        self.particles = particles
        self.chains = chains

    def explain(self) -> str:
        """Return what the run measured at each text site: kernels, masks and checks, their cost, the weights."""
        return "\n".join(map(str, self.sites)) or "the program drew no text"

    @property
    def weights(self) -> Floats:
        """(n,) normalised weights of the samples."""
        return normalise(np.array([s.log_weight for s in self._alive()]))

    @property
    def ess(self) -> float:
        """Effective sample size of the weights, 0 without samples; of a Markov chain see `chain_ess`."""
        return effective_sample_size(np.array([s.log_weight for s in self.samples]))

    def top(self, k: int = 10) -> list[Ranked[R]]:
        """Return the k most probable distinct values, most probable first; ties in order of first occurrence."""
        return [Ranked(value, probability) for value, _, probability in self.ranked_groups()[:k]]

    def ranked_groups(self) -> list[tuple[R, list[int], float]]:
        """Return the distinct values in the order of `top`, with the indices of their samples."""
        weights = self.weights.tolist()
        groups = grouped(sample.value for sample in self._alive())
        ranked = [(value, at, sum(weights[i] for i in at)) for value, at in groups]
        return sorted(ranked, key=lambda group: -group[2])

    def mode(self) -> R:
        """Return the most probable value."""
        return self.top(1)[0].value

    @overload
    def vote(self, project: None = None, *, least: float = 0.0) -> Vote[R]: ...
    @overload
    def vote(self, project: Callable[[R], V | None], *, least: float = 0.0) -> Vote[V]: ...
    def vote(self, project: Callable[[R], Any] | None = None, *, least: float = 0.0) -> Vote[Any]:
        """Return the answer on which most of the weight agrees: self-consistency, see `inference.voting`.

        Parameters
        ----------
        project:
            From a value to its answer, None where it has none; by default the value itself.
        least:
            The share of the weight, from 0 to 1, below which the vote abstains.
        """
        if not isinstance(least, int | float) or not 0.0 <= least <= 1.0:
            raise InvalidArgument(f"least={least!r}", hint="a share of the weight between 0 and 1")
        values = [sample.value for sample in self._alive()]
        answers = values if project is None else [project(value) for value in values]
        return vote(answers, self.weights.tolist(), least)

    def probability(self, event: R | Callable[[R], bool]) -> float:
        """Return the posterior probability of a value, or of a predicate: whatever is callable is a predicate."""
        holds = event if callable(event) else lambda value: value == event
        return float(sum(weight for value, weight, _ in self if holds(value)))

    def expectation(self, f: Callable[[R], Any]) -> Any:
        """Return the posterior mean of f(value); f gives a number or an array."""
        return sum(weight * f(value) for value, weight, _ in self)

    def standard_error(self, f: Callable[[R], Any]) -> Any:
        """Return the standard error of `expectation(f)`, of the shape of f(value), as the run itself can tell it.

        nan where it cannot; see `inference.diagnosis.precision`.
        """
        return standard_error(self, f)

    @property
    def log_evidence_error(self) -> float:
        """Standard deviation of the evidence estimate over the evidence: about that of `log_evidence`, where small."""
        return log_evidence_error(self)

    def diagnose(self) -> Diagnosis:
        """Return whether to trust the run, and what to change, in words, by the rules of `inference.diagnosis`."""
        from inference.diagnosis.diagnose import diagnose

        return diagnose(self)

    @property
    def genealogy(self) -> Genealogy:
        """Who descends from whom, of `SMC`, `Importance` and `TemperedSMC`; see `inference.diagnosis.genealogy`."""
        return genealogy_of(self)

    def sample(self, n: int | None = None, *, seed: int = 0) -> R | list[R]:
        """Draw one value, or a list of n, independently from the weighted samples."""
        if n is not None and n < 0:
            raise InvalidArgument(
                f"sample({n})", hint="a number of values of at least 0, or none for one value"
            )
        logits = torch.tensor([[s.log_weight for s in self._alive()]], dtype=torch.float64)
        drawn = Rng(drawing_seed(seed)).categorical(logits, np.zeros(1 if n is None else n, dtype=np.int64))
        values = [self.samples[int(i)].value for i in drawn]
        return values[0] if n is None else values

    def __iter__(self) -> Iterator[Weighted[R]]:
        for sample, weight in zip(self.samples, self.weights.tolist(), strict=True):
            yield Weighted(sample.value, weight, sample.trace)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        head = f"Posterior of {self.method}, seed {self.seed}"
        if not self.samples:
            return f"{head}: no survivors, log evidence {self.log_evidence:.4f}\n  {self.no_survivors}"
        rows = [f"  {p:7.4f}  {_line(value)}" for value, p in self.top(8)]
        rest = len(self.top(len(self))) - len(rows)
        return "\n".join(
            [
                f"{head}: log evidence {self.log_evidence:.4f}, {self._worth()}",
                *rows,
                *([f"  … and {rest} more values"] if rest > 0 else []),
                f"  {self.cost}",
            ]
        )

    def _repr_html_(self) -> str:
        from inference.html.summary import summary  # pages are built on posteriors

        return summary(self)

    def to_html(self) -> str:
        """Return a self-contained page about the run; what it shows of tokens needs `infer(..., record=True)`.

        The page works from disk, without a network. See `docs/report.md`.
        """
        from inference.html.page import page

        return page(self)

    def report(self, path: str | PathLike[str] | None = None) -> Report:
        """Return the page of `to_html`, written to `path` if one is given; in a notebook it is shown in a frame."""
        from inference.html.page import Report

        report = Report(self.to_html())
        if path is not None:
            report.save(path)
        return report

    def plot(self) -> Figure:
        """Return a figure of the run for papers: ESS, log-evidence, weights and genealogy; see `inference.plots`.

        Raises
        ------
        MissingDependency
            If matplotlib is not installed.
        """
        from inference.plots import overview

        return overview(self)

    def to_arviz(self, fields: Mapping[str, Callable[[R], Any]] | None = None, *, seed: int = 0) -> Any:
        """Return the samples as ArviZ has them: an `InferenceData`, or a `DataTree` of ArviZ 1.x.

        Parameters
        ----------
        fields:
            By name, functions from a value to a number or an array. None: the value, or its fields, that are numbers.
        seed:
            Of the resampling of weighted samples (`inference.diagnosis.exchange`); chains stay (chains, draws).

        Raises
        ------
        MissingDependency
            If ArviZ is not installed.
        InvalidArgument
            If there are no numbers.
        """
        from inference.diagnosis.exchange import to_arviz

        return to_arviz(self, fields, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but targets and parsers as plain JSON values; see `from_dict`."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any], type_: Any = None) -> Posterior[Any]:
        """Return the posterior that `to_dict` described; values are validated as `type_` where it is given."""
        return cls(**from_plain(data, type_))

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str, type_: Any = None) -> Posterior[Any]:
        """Return the posterior of a JSON text that `to_json` made."""
        return cls.from_dict(cast(dict[str, Any], json.loads(text)), type_)

    def _worth(self) -> str:
        """Return how many samples there are and what they are worth, as far as it can be told."""
        moved = [step.moved for step in self.steps if step.moved is not None]
        if moved:
            return f"{len(self)} states of Markov chains that moved in {np.mean(moved):.0%} of the sweeps"
        return f"ESS {self.ess:.1f} of {len(self)} samples"

    def _alive(self) -> tuple[Sample[R], ...]:
        if not self.samples:
            raise NoSurvivors(
                f"no run of {self.method} survived, so there are no samples\n  {self.no_survivors}",
                hint="raise the number of particles or max_tokens, loosen the condition or constraint named above, "
                "or move it into the target of the site (sample(p & constraint)) so that it steers the tokens",
            )
        return self.samples


def _line(value: Any, limit: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

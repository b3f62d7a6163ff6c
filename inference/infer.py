"""infer: a model and a method to a posterior."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from inference.diagnostics import Cost
from inference.estimators import AWRS
from inference.methods.base import Method
from inference.methods.smc import SMC
from inference.posterior import Posterior
from inference.progress import Progress, progress_for
from inference.recording import Recording
from inference.report import reports
from inference.runtime import Runtime
from inference.sample import Sample
from ppl.errors import InvalidArgument
from ppl.program import Model, Program
from ppl.rng import Rng

R = TypeVar("R")


def infer(
    model: Model[R],
    method: Method | None = None,
    *,
    seed: int = 0,
    awrs: AWRS | None = None,
    drafts: bool = True,
    progress: bool | None = None,
    record: bool = False,
) -> Posterior[R]:
    """Return the posterior of `model` as weighted samples with an estimate of the evidence.

    Parameters
    ----------
    model:
        A program applied to its arguments: `program(...)`.
    method:
        `SMC()` by default; `Enumerate`, `Importance`, `Rejection`.
    seed:
        All randomness follows from it: same seed, engine and versions, same result. (Where masks or checks take
        long, the choice between them follows measured times; pin it with `c.by_mask()` or `c.by_check()`.)
    awrs:
        How adaptive weighted rejection sampling spends its checks, see `AWRS`.
    drafts:
        Whether tokens that probably come next are evaluated ahead, several in a forward pass, see `inference.drafts`.
        It changes the speed, and when particles are compared; neither posterior nor evidence.
    progress:
        Show a line of progress; by default only if standard error is a terminal.
    record:
        Keep every move of every particle in `posterior.record` (about 100 bytes for a token), for the report. It
        changes neither the random numbers nor the result.

    Raises
    ------
    PPLError
        Bad input is refused before any language-model call where that is possible; an exception of the
        program's own arrives as `ProgramError` with the original as its cause. A run in which no particle
        survives is no error here: its posterior has `log_evidence == -inf`.
    """
    method, seed = checked_settings(method, seed, awrs)
    if not isinstance(record, bool):
        raise InvalidArgument(f"record={record!r}", hint="True or False")
    runtime = Runtime(awrs, drafts=drafts, recorder=Recording() if record else None)
    with progress_for(progress) as shown:
        return posterior_of(model, method, seed, runtime, shown)


def checked_settings(method: Method | None, seed: int, awrs: AWRS | None) -> tuple[Method, int]:
    """Return the method and the seed to use; raise `InvalidArgument` if the settings are none."""
    method = SMC() if method is None else method
    if not isinstance(method, Method):
        raise InvalidArgument(f"method={method!r}", hint="for example method=SMC(particles=16)")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidArgument(f"seed={seed!r}", hint="an integer of at least 0")
    if awrs is not None and not isinstance(awrs, AWRS):
        raise InvalidArgument(f"awrs={awrs!r}", hint="for example awrs=AWRS(max_accepts=3)")
    return method, int(seed)


def posterior_of(
    model: Model[R], method: Method, seed: int, runtime: Runtime, progress: Progress
) -> Posterior[R]:
    """Return the posterior of `model` by a run in `runtime`, which is closed afterwards."""
    _require_model(model)
    if isinstance(runtime.recorder, Recording) and not method.recordable:
        raise InvalidArgument(
            f"record=True of {method!r}, which is no population that advances from the program's start",
            hint="leave it out; SMC, BeamSearch and ParticleIndependentMH, for example, can be recorded",
        )
    start = runtime.clock()
    with runtime:
        result = method.run(model, Rng(seed), runtime, progress)
        usage = runtime.usage
        sites = reports(runtime)
    seconds, checks = runtime.clock() - start, sum(site.checks for site in sites)
    evaluated = usage.prompt_tokens + usage.tokens
    spent = runtime.runs, runtime.verifier_calls, usage.rough
    cost = Cost(result.drawn, usage.calls, evaluated, seconds, checks, usage.drafted, *spent)
    model.measured = {site.address: site.lines() for site in sites}
    pairs = enumerate(zip(result.particles, result.log_weights.tolist(), strict=True))
    kept = [(particle, w, i) for i, (particle, w) in pairs if particle.finished and w > -np.inf]
    return Posterior(
        samples=[Sample(particle.value, w, particle.trace, place) for particle, w, place in kept],
        log_evidence=result.log_evidence,
        method=repr(method),
        seed=seed,
        steps=tuple(result.steps),
        cost=cost,
        sites=sites,
        no_survivors=None if result.last_death is None else str(result.last_death),
        record=runtime.recorder.record([particle for particle, _, _ in kept]),
        particles=len(result.particles),
        chains=result.chains,
    )


def _require_model(model: object) -> None:
    if isinstance(model, Program):
        name = model.function.__qualname__
        raise InvalidArgument(
            f"infer got the program {name} itself", hint=f"call it: infer({name}(...), method)"
        )
    if not isinstance(model, Model):
        raise InvalidArgument(
            f"infer got {model!r}, which is no model", hint="decorate a function with @program"
        )

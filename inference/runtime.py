"""Runtime: what a run works with, besides the model and the randomness: sessions, sites and their settings."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from inference.drafts import Drafts
from inference.engines.base import Usage
from inference.estimators import AWRS
from inference.recording import Recorder
from inference.sessions import Sessions
from inference.site import Site
from inference.twists import Twists
from ppl.compiler.normal_form import FiniteForm
from ppl.compiler.plan import InfillPlan, TextPlan
from ppl.trace import Address


class Runtime:
    """The open sessions of a run and what it keeps for each text site; a context manager that closes both.

    Attributes
    ----------
    sessions:
        One for each language model.
    clock:
        Seconds that the run has taken, from any origin.
    awrs:
        How rejection sampling spends its checks.
    adaptive:
        Whether sites may change between masks and checks. A Markov chain stops it: its states carry random weights
        whose law must stay what it was. For the same reason it has no drafts.
    bridge:
        Tokens over which exponents move to those of the target, see `inference.bridging`; None: they do not.
    twists:
        What was asked of potentials.
    drafts:
        What guesses the tokens that come next, see `inference.drafts`; None: nothing is evaluated ahead.
    denoising:
        What the denoisers of masked-diffusion models have spent.
    recorder:
        Who is told of every move.
    runs:
        Runs of the program that have come to their end.
    judged:
        Values that the method has had ranked or verified.
    sites:
        What is kept for each place in the program and constraint there, in the order of first visits.
    """

    def __init__(
        self,
        awrs: AWRS | None = None,
        sessions: Sessions | None = None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        drafts: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        self.sessions = Sessions() if sessions is None else sessions
        self.clock = clock
        self.awrs = AWRS() if awrs is None else awrs
        self.adaptive = True
        self.bridge: int | None = None
        self.drafts = Drafts() if drafts else None
        self.twists = Twists(self.sessions)
        self.denoising = Usage()
        self.runs = self.judged = 0
        self.recorder = Recorder() if recorder is None else recorder
        self.sites: dict[tuple[object, ...], Site] = {}
        self.addresses: dict[Site, Address] = {}
        self.nested: dict[Hashable, FiniteForm] = {}  # what nested programs came to that are computed exactly
        self._elsewhere: list[Usage] = []  # what was spent in runs within the run

    def site(self, address: Address, plan: TextPlan | InfillPlan) -> Site:
        """Return what is kept for a plan at a place in the program."""
        base = (plan.text.lm, plan.text.stop) if isinstance(plan, TextPlan) else (plan.infill.mdm, ())
        key = (address, *base, plan.constraint, plan.pool, len(plan.potentials))
        if key not in self.sites:
            self.sites[key] = Site(plan, self.awrs, self.clock)
            self.addresses[self.sites[key]] = address
            self.recorder.site(self.sites[key])
        return self.sites[key]

    @property
    def usage(self) -> Usage:
        """What all models have spent so far, without runs within the run that are still going."""
        return sum((self.sessions.usage, self.denoising, *self._elsewhere), Usage())

    @contextmanager
    def apart(self) -> Iterator[Runtime]:
        """Give a runtime to runs within the run: its settings and sessions are its own, sites and usage are shared.

        So the contexts of the run stay in its cache, and in `infer_many` what runs within ask is answered first. They
        are not recorded.
        """
        inner = copy.copy(self)
        inner.sessions, inner.recorder = self.sessions.apart(), Recorder()
        inner.drafts = None if self.drafts is None else Drafts()
        try:
            yield inner
        finally:
            self._elsewhere.append(inner.sessions.usage)
            inner.sessions.__exit__(None, None, None)

    @property
    def verifier_calls(self) -> int:
        """Texts that potentials were asked of, and values that the method has had judged."""
        return self.twists.asked + self.judged

    @property
    def switching(self) -> bool:
        """Whether some site may still change between masks and checks."""
        return self.adaptive and any(part.switches for site in self.sites.values() for part in site.parts)

    def adapt(self) -> None:
        """Let the sites choose between masks and checks; for between ticks."""
        for site in self.sites.values() if self.adaptive else ():
            site.adapt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.twists.close()
        self.sessions.__exit__(kind, error, traceback)

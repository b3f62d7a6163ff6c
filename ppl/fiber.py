"""Fiber: one run of a program that stops at each primitive and can be forked.

The user's function runs in a greenlet. A primitive switches to whoever drives the fiber with a typed request
and returns what the driver answers, so that thousands of runs of ordinary synchronous functions advance in
step. A Python stack cannot be copied; a fork therefore copies the *trace*. The original keeps its greenlet and
the copy replays the trace, lazily, when it is first resumed: recorded choices are fed back, weights (already
counted) are skipped, and each site is checked to be the site of the record.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from grammars.errors import PPLError
from ppl.errors import OutsideInference, ProgramError, ReplayDivergence
from ppl.targets import Categorical, Target
from ppl.trace import Address, Choice, Trace


@dataclass(frozen=True)
class Draw:
    """The program asks for a value of `target`; for a text, `parse` makes the value that it is given."""

    address: Address
    target: Target[Any]
    parse: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Observe:
    """The program multiplies its weight by the density of `target` at `value`."""

    address: Address
    target: Target[Any]
    value: Any


@dataclass(frozen=True)
class Weigh:
    """The program adds `log_weight` (nats) to its log-weight; `primitive` is "condition" or "factor"."""

    address: Address
    log_weight: float
    primitive: str


@dataclass(frozen=True)
class Finished:
    """The program returned `value`."""

    value: Any


Request = Draw | Observe | Weigh | Finished


@dataclass(frozen=True)
class Raised:
    """The recorded outcome of a memoised call that raised."""

    error: Exception


class _Stack(greenlet):
    """The greenlet of a fiber; primitives find their fiber through it."""

    def __init__(self, fiber: Fiber, run: Callable[[], Any]) -> None:
        super().__init__(lambda: Finished(run()))
        self.fiber = fiber
        self.gr_context = contextvars.copy_context()


class Fiber:
    """One run of a program, as a sequence of requests and answers.

    `start()` and then `answer(...)` return the next request; after `Finished` there is none.
    """

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run
        self._stack: _Stack | None = None
        self._choices: list[Choice] = []
        self._cursor = 0  # choices before it have been given to the running greenlet
        self._memoising = False
        self._pending: Request | None = None

    @property
    def trace(self) -> Trace:
        """The choices made so far."""
        return Trace(self._choices)

    @property
    def pending(self) -> Request | None:
        """The request that waits for an answer."""
        return self._pending

    def start(self) -> Request:
        """Run to the first request."""
        self._stack = _Stack(self, self._run)
        return self._resume(None)

    def answer(self, outcome: Any = None) -> Request:
        """Answer the pending request and run to the next: a `Draw` with its outcome, the others with nothing."""
        request = self._pending
        if self._stack is None:
            self._replay()
        if not isinstance(request, Draw):
            return self._resume(None)
        choice = Choice(request.address, request.target, outcome, request.parse)
        self._record(choice)
        return self._resume(choice.value)

    def fork(self) -> Fiber:
        """Return a copy that waits at the same request and replays when it is answered."""
        copy = Fiber(self._run)
        copy._choices = list(self._choices)
        copy._pending = self._pending
        return copy

    def close(self) -> None:
        """Abandon the run; its `finally` blocks are executed."""
        stack, self._stack = self._stack, None
        if stack is not None and not stack.dead:
            stack.parent = getcurrent()
            stack.throw(GreenletExit)

    # Called from inside the greenlet, by the primitives.

    def request(self, request: Draw | Observe | Weigh) -> Any:
        """Hand `request` to the driver and return its answer."""
        if self._memoising:
            raise OutsideInference(
                f"a primitive was called inside memo, at {request.address}",
                hint="memo records deterministic calls; call sample and friends outside of it",
            )
        stack = getcurrent()
        assert stack.parent is not None
        return stack.parent.switch(request)

    def memo(self, address: Address, call: Callable[[], Any]) -> Any:
        """Return the recorded result of this call site, or compute and record it; an exception likewise."""
        if self._cursor < len(self._choices):
            outcome = self._recorded(address, None).outcome
        else:
            self._memoising = True
            try:
                outcome = call()
            except Exception as error:
                outcome = Raised(error)
            finally:
                self._memoising = False
            self._record(Choice(address, None, outcome))
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome

    # Internals.

    def _record(self, choice: Choice) -> None:
        self._choices.append(choice)
        self._cursor = len(self._choices)

    def _resume(self, value: Any) -> Request:
        assert self._stack is not None
        self._stack.parent = getcurrent()
        try:
            self._pending = self._stack.switch(value) if self._stack.gr_frame else self._stack.switch()
        except ReplayDivergence:
            raise
        except Exception as error:
            message, hint = (error.message, error.hint) if isinstance(error, PPLError) else (str(error), None)
            raise ProgramError(
                f"the program raised {type(error).__name__}: {message}\n  {self.describe()}",
                hint=hint
                or "its traceback is above; catch the exception in the program, or `condition` on it",
            ) from error
        assert self._pending is not None
        return self._pending

    def _replay(self) -> None:
        """Run afresh, feeding the trace back, up to the pending request."""
        pending, self._cursor = self._pending, 0
        request = self.start()
        while not (self._cursor == len(self._choices) and _same_site(request, pending)):
            if isinstance(request, Weigh | Observe):
                request = self._resume(None)
            elif isinstance(request, Draw) and self._cursor < len(self._choices):
                request = self._resume(
                    _value(self._recorded(request.address, request.target), request.target)
                )
            else:
                raise self._divergence(
                    f"now it reaches {_site(request)}", f"the run waited at {_site(pending)}"
                )

    def _recorded(self, address: Address, target: Target[Any] | None) -> Choice:
        choice = self._choices[self._cursor]
        if choice.address != address or not _same_target(choice.target, target):
            raise self._divergence(
                f"now site {self._cursor} is {_call(address, target)}",
                f"the run recorded {_call(choice.address, choice.target)}",
            )
        self._cursor += 1
        return choice

    def _divergence(self, now: str, then: str) -> ReplayDivergence:
        return ReplayDivergence(
            f"a replay of the program took another path:\n  {then}\n  {now}",
            hint="a program must be deterministic given its samples: draw with `sample`, wrap clocks, files, "
            "randomness and mutable state in `memo`",
        )

    def describe(self) -> str:
        """Return one line on the choices made so far, for messages."""
        limits = [60] * (len(self._choices) - 1) + [2000]  # the last choice is the one to look at
        pairs = zip(self._choices, limits, strict=False)
        made = "; ".join(f"{c.address} = {_short(c.outcome, limit)}" for c, limit in pairs)
        return f"choices so far: {made or 'none'}"


def current_fiber(primitive: str) -> Fiber:
    """Return the fiber that is running, or raise `OutsideInference` naming the primitive."""
    stack = getcurrent()
    if not isinstance(stack, _Stack):
        raise OutsideInference(
            f"{primitive}(...) was called outside inference",
            hint="call it in a function decorated with @program, and run that with infer(program(...), method)",
        )
    return stack.fiber


def _same_site(request: Request, pending: Request | None) -> bool:
    if isinstance(request, Draw) and isinstance(pending, Draw):
        return request.address == pending.address and _same_target(request.target, pending.target)
    return False


def _same_target(a: Any, b: Any) -> bool:
    """Return whether two targets are equal; values of finite ones need not compare, only their masses."""
    if type(a) is not type(b) or not is_dataclass(a):
        return bool(a == b)
    if isinstance(a, Categorical):
        return bool(a.probabilities == b.probabilities)
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return all(_same_target(x, y) if isinstance(x, Target) else x == y for x, y in pairs)


def _value(choice: Choice, target: Target[Any]) -> Any:
    """Return the value of a recorded choice, for a finite target the one that this run has in its place."""
    for then, now in zip(_finite_parts(choice.target), _finite_parts(target), strict=True):
        for index, value in enumerate(then.values):
            if value is choice.outcome:
                return now.values[index]
    return choice.value


def _finite_parts(target: Any) -> list[Categorical[Any]]:
    if isinstance(target, Categorical):
        return [target]
    if not is_dataclass(target):
        return []
    parts = [getattr(target, f.name) for f in fields(target)]
    return [finite for part in parts if isinstance(part, Target) for finite in _finite_parts(part)]


def _site(request: Request | None) -> str:
    if isinstance(request, Draw):
        return _call(request.address, request.target)
    return "the program's end" if isinstance(request, Finished) else f"{request}"


def _call(address: Address, target: Target[Any] | None) -> str:
    what = "memo" if target is None else f"sample({target})"
    return f"{what} at {address.file}:{address.line}"


def _short(outcome: Any, limit: int) -> str:
    text = repr(outcome)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

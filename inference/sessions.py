"""Sessions: one session per language model of a run, opened when first needed, closed together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from inference.engines.base import Engine, Session, Usage
from ppl.errors import InvalidArgument
from ppl.lm import LM


class Sessions:
    """The open sessions of a run; a context manager that gives all their memory back."""

    def __init__(self) -> None:
        self._open: dict[LM, Session] = {}

    def __getitem__(self, lm: LM) -> Session:
        if lm not in self._open:
            if not isinstance(lm, Engine):
                raise InvalidArgument(
                    f"{lm!r} is a language model that cannot compute",
                    hint='use an engine, for example inference.load("smollm2")',
                )
            self._open[lm] = lm.session()
        return self._open[lm]

    @property
    def usage(self) -> Usage:
        """What all sessions have spent so far."""
        spent = [session.usage for session in self._open.values()]
        return Usage(
            sum(u.calls for u in spent),
            sum(u.prompt_tokens for u in spent),
            sum(u.tokens for u in spent),
            sum(u.drafted for u in spent),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in self._open.values():
            session.close()
        self._open.clear()

"""Text state: a text being written at one site, token by token.

It joins the context (for the language model), the constraint's matcher and the scanner for stop strings, and
answers what kernels ask: which tokens may come, does this one pass, is the text finished.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from grammars.constraint import Matcher
from grammars.stop import StopMatcher
from grammars.stop_scanner import START, StopScanner, stop_scanner
from grammars.vocabulary import Mask, Vocabulary
from inference.engines.base import Context
from inference.estimators import AWRS
from inference.site import Site
from ppl.compiler.plan import KernelName, TextPlan
from ppl.lm import LM
from ppl.rng import Noise


class Twist(NamedTuple):
    """The last value of a potential, in nats, and the number of characters that it was asked of."""

    characters: int = 0
    value: float = 0.0


if TYPE_CHECKING:
    from inference.bridging import Ahead


@dataclass
class TextState:
    """The state of one text site of one particle; `finished` once the end was drawn."""

    plan: TextPlan
    site: Site
    contexts: tuple[Context, ...]
    """What each expert has read: its prompt and the tokens so far."""
    matcher: Matcher | None
    scanner: StopScanner | None
    scan: int = START
    data: bytes = b""
    """What the tokens so far spell."""
    finished: bool = False
    twists: tuple[Twist, ...] = ()
    """For each potential what it was last asked."""
    written: tuple[float, ...] = ()
    """Where exponents are bridged: the log-masses that the terms of the pool gave to the tokens so far."""
    ahead: tuple[Ahead, int] | None = None
    """Where exponents are bridged: what the terms give to the next token, and this state's row of it."""
    draft: tuple[tuple[int, int | str], ...] = ()
    """The tokens that are guessed to come next, each with the kind of the guess (`inference.drafts`)."""
    foretold: bool = False
    """Whether its last token was one that had been guessed for it."""
    noise: list[Noise] = field(default_factory=list)
    """The randomness of the next draws that guesses were made with (`inference.foresight`)."""
    tallied: bool = True
    """Whether its end counts; not that of a text that only looks ahead."""
    _content: bytes = b""

    @classmethod
    def begin(cls, plan: TextPlan, site: Site | None = None) -> TextState:
        """Return the state before the first token; a site of its own is made for it if none is given."""
        site = Site(plan, AWRS()) if site is None else site
        text, matcher = plan.text, site.matcher()
        scanner = stop_scanner(text.lm.vocabulary, text.stop) if text.stop else None
        if matcher is not None and scanner is not None:
            assert plan.constraint is not None
            matcher = StopMatcher(matcher, plan.constraint.accepts, scanner)
        contexts = tuple(Context(expert.prompt) for expert in plan.texts or (text,))
        twists = tuple(Twist() for _ in plan.potentials)
        return cls(plan, site, contexts, matcher, scanner, twists=twists)

    @property
    def lms(self) -> tuple[LM, ...]:
        """The language models of the experts."""
        return tuple(text.lm for text in self.plan.texts) or (self.plan.text.lm,)

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the site's language model."""
        return self.plan.text.lm.vocabulary

    @property
    def at_limit(self) -> bool:
        """Whether `max_tokens` tokens are written, so that only the end may come."""
        return self.contexts[0].length >= self.plan.text.max_tokens

    @property
    def kernel(self) -> KernelName:
        """The kernel of the next move: at the limit an unconstrained text is masked, too."""
        if self.matcher is None:
            unconstrained: KernelName = "direct" if self.plan.pool.plain else "corrector"
            return "masked" if self.at_limit else unconstrained
        return "masked" if self.matcher.mask_is_exact else "awrs"

    @property
    def unmasked(self) -> bool:
        """Whether nothing is masked, and the law of the next token is normalised: all is left to checks."""
        if self.at_limit or not self.plan.pool.plain:
            return False
        return self.matcher is None or self.matcher.mask() is None

    @property
    def key(self) -> tuple[Hashable, ...]:
        """What `allowed` depends on: texts with equal keys have equal masks."""
        return id(self.site), self.at_limit, self.data

    def allowed(self) -> Mask:
        """Return the packed mask of what may come next, the end included.

        Where the kernel is "awrs" it may hold more: ask `passes` of what is drawn.
        """
        mask = None if self.matcher is None else self.matcher.mask()
        if mask is None:
            mask = self.vocabulary.text_mask.copy()
        if self.at_limit:
            mask &= self.terminators()
        if self.kernel == "awrs" or self._may_end():
            end = self.vocabulary.end
            mask[end // 32] |= np.uint32(1 << (end % 32))
        return mask

    def passes(self, token: int) -> bool:
        """Return whether `token`, which `allowed` holds, may come."""
        if self.matcher is None:
            return True
        return self._may_end() if token == self.vocabulary.end else self.matcher.confirms(token)

    def prefetch(self, token: int) -> None:
        """Announce that `passes` will soon be asked of `token`."""
        if self.matcher is None or self.plan.constraint is None:
            return
        if token == self.vocabulary.end:
            self.plan.constraint.prefetch(self.data)
        else:
            self.matcher.prefetch([token])

    def advance(self, token: int) -> None:
        """Write `token`, which may come next."""
        forced = self.at_limit
        if token == self.vocabulary.end:
            self._finish(self.data, forced)
            return
        end = None
        if self.scanner is not None:
            self.scan, end = self.scanner.step(self.scan, token)
        if self.matcher is not None and not self.matcher.advance(token):
            raise AssertionError(f"token {token} was drawn but is not allowed after {self.content!r}")
        self.contexts = tuple(context.extend(token) for context in self.contexts)
        before, self.data = len(self.data), self.data + (self.vocabulary.tokens[token] or b"")
        if end is not None:
            self._finish(self.data[: before + end], forced)

    @property
    def content(self) -> bytes:
        """The text so far; once finished, without the stop string."""
        return self._content if self.finished else self.data

    @property
    def shown(self) -> str:
        """The text so far as a str."""
        return decode_text(self.content)

    def fork(self) -> TextState:
        """Return an independent copy: it draws with randomness of its own."""
        matcher = None if self.matcher is None else self.matcher.fork()
        draft = () if self.noise else self.draft
        return replace(self, matcher=matcher, draft=draft, noise=[])

    def looking_ahead(self) -> TextState:
        """Return a copy that runs ahead of the text, and counts for nothing."""
        return replace(self.fork(), tallied=False)

    def _finish(self, content: bytes, forced: bool) -> None:
        self.finished, self._content = True, content
        self.site.tally.ended += self.tallied
        self.site.tally.forced += forced and self.tallied

    def _may_end(self) -> bool:
        if self.matcher is None or self.plan.constraint is None:
            return True
        return self.matcher.is_accepting() and self.plan.constraint.accepts(self.data)

    def terminators(self) -> Mask:
        """Return the packed mask of the tokens that end the text with a stop string."""
        if self.scanner is None:
            return np.zeros(self.vocabulary.words, dtype=np.uint32)
        return self.scanner.terminators(self.scan)


def decode_text(content: bytes) -> str:
    """Return the str of a text; bytes that are not UTF-8 become U+FFFD."""
    return content.decode("utf-8", "replace")

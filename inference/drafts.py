"""Drafts: tokens that probably come next, evaluated ahead in the same forward pass.

A pass over few rows costs about as much as one over a few more: its time goes into reading the weights. So each
context may be asked for together with a *draft*, the tokens that it will probably be continued with, and the answers
after these tokens are kept. The run draws as ever, from its own exact distributions, masks, checks, exponents and
weights included; a particle whose token is the one that was guessed has its next answer without a pass. Nothing about
the law of a move changes, whatever is guessed. What changes is when particles are compared: one whose drafts come true
is some tokens ahead of the others at the next resampling. That is a resampling at stopping times of each particle's own
path, which depend on the past only, and leaves evidence and posterior unbiased.

A token that will be reached with the probability h costs the pass 1 token more, and saves h tokens later on. With C the
cost of a pass beyond its tokens (`Session.pass_cost`), it saves h C as well, if no other row needs that pass; of n rows
few get so far. A draft goes on while

    h (1 + C / n²) > 1,

which was measured on real cases (docs/performance.md): a row that runs ahead of fifteen others saves nothing, since the
passes are those of the slowest.

Guesses come from what the constraint forces, in the language model's own tokens, and from what followed the last three,
two or one tokens before: in the prompt, in this text, and in those of the other particles. Where more is to be expected
from rough passes of the model itself, or from a draft model (`inference.engines.drafted`), they come from these
(`inference.foresight`). How often each kind comes true at a site is counted there.

References: Leviathan, Kalman and Matias (2023), *Fast inference from transformers via speculative decoding*; Saxena
(2023), *Prompt lookup decoding*. Here the drawn token itself is compared, so that weights need no correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from grammars.vocabulary import Mask, unpack
from inference.engines.base import Context, Engine, Session
from inference.foresight import Foresight, length
from inference.guesses import Source
from inference.sessions import Sessions
from inference.text import TextState
from inference.twists import State
from ppl.rng import Rng

Ids = tuple[int, ...]

_LONGEST = 3
"""Most tokens that a guess looks back at."""
_MOST = 8
"""Most tokens of a draft."""
_FEW = 48
"""Most tokens that a mask may leave for it to be looked at whether they spell one text."""
_REMEMBERED = 1 << 20


class Drafts:
    """The guesses of one run."""

    def __init__(self) -> None:
        self._followed: dict[tuple[object, ...], int] = {}
        self._prompts: set[tuple[int, Ids]] = set()
        self._forced: dict[tuple[object, ...], Ids] = {}

    def drafts(
        self,
        states: Sequence[TextState],
        sessions: Sessions,
        rng: Rng,
        *,
        bridged: bool = False,
        switching: bool = False,
    ) -> tuple[list[Ids], Foresight | None]:
        """Return a draft for each state, and who guesses those of the others, for one pass; the states take note.

        Parameters
        ----------
        states, sessions, rng:
            All texts that are being written, the open sessions, and where the randomness of draws comes from.
        bridged:
            Whether exponents move along the sequence.
        switching:
            Whether sites may change between masks and checks. They do so by what both have cost, looking ahead
            included; numbers that were set aside have had their part in that, and are given up.
        """
        chosen: dict[tuple[object, ...], _Draft] = {}
        lengths = []
        for state in states:
            if switching:
                state.noise.clear()
            key = (state.key, state.plan.text.lm, state.contexts[0].prompt)
            if key not in chosen:
                cost = min(sessions[lm].pass_cost for lm in state.lms)
                chosen[key] = self._draft(state, cost, len(states)) if cost > 0.0 else _Draft()
            draft, rough = chosen[key], 0
            if rng.sets_aside and _foreseen(state, bridged):
                rough = self._rough(state, draft, sessions[state.lms[0]], len(states))
            lengths.append(rough)
            state.draft = () if rough else tuple(zip(draft.tokens, draft.sources, strict=True))
        foresight = Foresight(states, lengths, rng) if any(lengths) else None
        return [tuple(token for token, _ in state.draft) for state in states], foresight

    @staticmethod
    def known(state: State, sessions: Sessions) -> bool:
        """Return whether a guess for the state has come true, and the laws of its next token are there.

        That they are there because the same was guessed for another particle is not enough: when particles are compared
        must not depend on the randomness that is set aside for others.
        """
        return (
            isinstance(state, TextState)
            and state.foretold
            and all(
                sessions[lm].knows(context) for lm, context in zip(state.lms, state.contexts, strict=True)
            )
        )

    def drawn(self, state: TextState, token: int) -> None:
        """Take note of the token that comes next in a text, which is not yet written."""
        context = state.contexts[0]
        state.foretold = bool(state.draft) and state.draft[0][0] == token
        if state.draft:
            (guess, source), *rest = state.draft
            count = state.site.guesses.counts[source]
            count[0] += 1
            count[1] += guess == token
            state.draft = tuple(rest) if guess == token else ()
        for past in _pasts(context):
            self._followed[id(state.plan.text.lm), past] = token
        if len(self._followed) > _REMEMBERED:
            self._followed.clear()
            self._prompts.clear()

    def _draft(self, state: TextState, pass_cost: float, rows: int) -> _Draft:
        """Return a draft from what is forced and what was seen."""
        self._read(state)
        draft, reached, gain = _Draft(), 1.0, pass_cost / rows**2
        guesser = _Guesser(state)
        room = min(_MOST, state.plan.text.max_tokens - state.contexts[0].length)
        while len(draft.tokens) < room:
            for token, source in self._guesses(state, guesser, draft.tokens):
                here = reached * state.site.guesses.probability(source)
                if here * (1.0 + gain) > 1.0 and guesser.take(token):
                    reached = here
                    draft.tokens.append(token)
                    draft.sources.append(source)
                    draft.expected += reached
                    break
            else:
                break
        return draft

    @staticmethod
    def _rough(state: TextState, draft: _Draft, session: Session, rows: int) -> int:
        """Return how many tokens to guess with rough passes; 0 where a draft that is there brings as much."""
        if not session.rough_cost:
            return 0
        true = state.site.guesses.probability("rough")
        most, rate = length(true, rows, session.pass_cost, session.rough_cost, session.rough_share)
        here = (1.0 + draft.expected) / (session.pass_cost + rows * (len(draft.tokens) + 1))
        left = state.plan.text.max_tokens - state.contexts[0].length
        return min(most, left) if rate > here else 0

    def _guesses(self, state: TextState, guesser: _Guesser, after: list[int]) -> Iterator[tuple[int, Source]]:
        """Yield guesses of the token after a draft, the likeliest kinds first."""
        followed = []
        for past in _pasts(state.contexts[0], after):
            token = self._followed.get((id(state.plan.text.lm), past))
            if token is not None and _writes(state, token):
                followed.append((token, len(past)))
        yield from (guess for guess in followed if guess[1] == _LONGEST)
        forced = self._force(guesser)
        if forced:
            yield forced[0], "forced"
        yield from (guess for guess in followed if guess[1] < _LONGEST)

    def _force(self, guesser: _Guesser) -> Ids:
        """Return the language model's tokens of the text that the constraint forces next."""
        key = guesser.key
        if key is None:
            return ()
        if key not in self._forced:
            if len(self._forced) > _REMEMBERED:
                self._forced.clear()
            self._forced[key] = guesser.forced()
        return self._forced[key]

    def _read(self, state: TextState) -> None:
        """Learn what follows what in a prompt."""
        prompt, lm = state.contexts[0].prompt, id(state.plan.text.lm)
        if (lm, prompt) in self._prompts:
            return
        self._prompts.add((lm, prompt))
        for i, token in enumerate(prompt):
            for n in range(1, min(i, _LONGEST) + 1):
                self._followed[lm, prompt[i - n : i]] = token


@dataclass
class _Draft:
    """Guessed tokens, the kinds of the guesses, and how many are expected to come true."""

    tokens: list[int] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    expected: float = 0.0


class _Guesser:
    """A text that runs ahead along its draft, as far as a mask says whether it may."""

    def __init__(self, state: TextState) -> None:
        follows = state.matcher is not None and state.kernel == "masked"
        self._state = state.looking_ahead() if follows else None

    @property
    def key(self) -> tuple[object, ...] | None:
        """What a forced text depends on; None if nothing can be forced."""
        return None if self._state is None else self._state.key

    def take(self, token: int) -> bool:
        """Go on with a token; return whether it may come."""
        state = self._state
        if state is None:
            return True
        if state.at_limit or state.finished or state.matcher is None or not state.matcher.allows(token):
            return False
        state.advance(token)
        return not state.finished

    def forced(self) -> Ids:
        """Return the tokens of the text that must come next, as the language model spells it."""
        assert self._state is not None
        ahead, text = self._state.fork(), b""
        while len(text) < 64 and not ahead.at_limit:
            token = _only(ahead.allowed(), ahead)
            if token is None:
                break
            text += ahead.vocabulary.tokens[token] or b""
            ahead.advance(token)
            if ahead.finished:
                break
        lm = ahead.plan.text.lm
        try:
            return tuple(lm.encode(text.decode())) if text and isinstance(lm, Engine) else ()
        except UnicodeDecodeError:
            return ()


def _only(mask: Mask, state: TextState) -> int | None:
    """Return the longest of the allowed tokens, if the text of each other one is a beginning of it."""
    allowed = unpack(mask, state.vocabulary.size).nonzero()[0]
    if not 0 < len(allowed) <= _FEW or state.vocabulary.end in allowed:
        return None
    texts = sorted((state.vocabulary.tokens[v] or b"", v) for v in allowed.tolist())
    longest, token = max(texts, key=lambda pair: len(pair[0]))
    return token if all(longest.startswith(text) for text, _ in texts) else None


def _foreseen(state: TextState, bridged: bool) -> bool:
    """Return whether draws of a state's next tokens can be foreseen with a rough model."""
    plain = state.plan.pool.plain
    return len(state.contexts) == 1 and state.kernel != "awrs" and (plain or not bridged)


def _writes(state: TextState, token: int) -> bool:
    """Return whether a token, which may come from a prompt, has text."""
    vocabulary = state.vocabulary
    return token < vocabulary.size and vocabulary.tokens[token] is not None


def _pasts(context: Context, after: Sequence[int] = ()) -> list[Ids]:
    """Return the last 3, 2 and 1 tokens of a context and what comes after it."""
    last = list(after[-_LONGEST:])
    node: Context = context
    while len(last) < _LONGEST and node.parent is not None:
        last.insert(0, node.token)
        node = node.parent
    missing = _LONGEST - len(last)
    if missing and node.parent is None:
        last = [*node.prompt[-missing:], *last]
    return [tuple(last[-n:]) for n in range(min(_LONGEST, len(last)), 0, -1)]

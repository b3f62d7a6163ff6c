"""Speculative decoding: a language model whose next tokens are guessed by another, smaller one, the *draft model*.

The draft model makes the rough distributions of `inference.foresight`, in place of rough passes of the model itself.
The law of everything stays that of the base: a guess is a token drawn from the draft model with the randomness of the
draw to come, and counts only if the base's own distribution, mask and exponents give the same one.

Reference: Leviathan, Kalman and Matias (2023), *Fast inference from transformers via speculative decoding*.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from inference.engines.base import Context, Engine, Guess, NextTokens, Session
from inference.engines.warped import WarpedLM
from inference.engines.wrapping import WrappingEngine
from ppl.errors import InvalidArgument

Ids = tuple[int, ...]


class DraftedLM(WrappingEngine):
    """A language model with a draft model, which guesses several tokens for one pass of the language model.

    It is the same language model, and gives the same results; one particle even writes the same text. What it saves
    depends on how near the draft model comes, how much smaller it is, and how many particles there are. Runs that
    share their calls (`infer_many`) make no guesses.

    Parameters
    ----------
    base:
        The language model. Warp this one, and not its base: `WarpedLM(DraftedLM(lm, draft_model), ...)`.
    draft_model:
        Another one with the same tokens, such as a small one of its family.
    cost:
        What it costs to evaluate a token with the draft model, in tokens of the base, above 0; by default the ratio of
        their numbers of weights. How many tokens are guessed depends on it.

    Raises
    ------
    InvalidArgument
        If the vocabularies differ, if the base cannot evaluate several tokens of a text in a pass, or if the cost is
        none, or has to be given.

    Examples
    --------
    >>> lm = DraftedLM(load("Qwen/Qwen2.5-7B-Instruct"), load("Qwen/Qwen2.5-0.5B-Instruct"))  # doctest: +SKIP
    """

    def __init__(self, base: Engine, draft_model: Engine, *, cost: float | None = None) -> None:
        if not isinstance(base, Engine) or isinstance(base, WarpedLM | DraftedLM):
            raise InvalidArgument(
                f"DraftedLM of {base!r}",
                hint="give a draft model to a model as it was loaded; warp it afterwards",
            )
        if not isinstance(draft_model, Engine):
            raise InvalidArgument(f"draft_model={draft_model!r}", hint='a language model, as of load("...")')
        _check_vocabularies(base, draft_model)
        with base.session() as session:
            if not session.pass_cost:
                raise InvalidArgument(
                    f"{base.name!r} evaluates one token of a text in a pass, so that guesses save nothing",
                    hint="use the engine transformers, and a model whose attention it can split, or no draft model",
                )
        if cost is None and base.weights and draft_model.weights:
            cost = draft_model.weights / base.weights
        if cost is None:
            raise InvalidArgument(
                f"how {draft_model.name!r} and {base.name!r} compare in size is not known",
                hint="say what a token of the draft model costs, in tokens of the other, for example cost=0.1",
            )
        if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0.0 < cost < float("inf"):
            raise InvalidArgument(f"cost={cost!r}", hint="a number above 0, such as 0.1")
        super().__init__(base, f"{base.name} (drafts from {draft_model.name})")
        self.draft_model, self.cost = draft_model, float(cost)

    @override
    def session(self) -> Session:
        base = self.base.session()
        try:
            return _DraftedSession(self, base, self.draft_model.session())
        except BaseException:
            base.close()
            raise


class _DraftedSession(Session):
    """A session of the base, and one of the draft model."""

    def __init__(self, lm: DraftedLM, base: Session, drafts: Session) -> None:
        super().__init__(base.usage)
        self.pass_cost = base.pass_cost
        self.rough_cost, self.rough_share = lm.cost * (drafts.pass_cost or base.pass_cost), lm.cost
        self._lm, self._base, self._drafts = lm, base, drafts

    @override
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        if guess is not None:
            drafts = self._guessed(contexts, drafts, guess)
        return self._base.next_tokens(contexts, drafts)

    @override
    def knows(self, context: Context) -> bool:
        return self._base.knows(context)

    @override
    def recall(self, contexts: Sequence[Context]) -> NextTokens:
        return self._base.recall(contexts)

    @override
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        return self._base.along(requests)

    @override
    def close(self) -> None:
        try:
            self._base.close()
        finally:
            self._drafts.close()

    def _guessed(
        self, contexts: Sequence[Context], drafts: Sequence[Sequence[int]], guess: Guess
    ) -> list[Sequence[int]]:
        """Return the drafts, with guessed ones for the contexts that have none: of equal ones for the first."""
        result: list[Sequence[int]] = list(drafts or [()] * len(contexts))
        ends = dict[int, Context]()
        seen = set[tuple[Ids, Ids]]()
        for i, (context, draft) in enumerate(zip(contexts, result, strict=True)):
            if (
                not guess.lengths[i] or draft or not context.length
            ):  # a bare prompt is answered without a draft
                continue
            key = context.prompt, context.generated()
            if key not in seen:
                ends[i] = context
            seen.add(key)
        while ends := {i: end for i, end in ends.items() if self._fits(end)}:
            members = list(ends)
            calls = self._drafts.usage.calls
            following = self._drafts.next_tokens([ends[i] for i in members])
            self.usage.rough += self._drafts.usage.calls - calls
            tokens = guess(self._same_width(following), members)
            going = [(i, token) for i, token in zip(members, tokens, strict=True) if token >= 0]
            for i, token in going:
                result[i] = (*result[i], token)
            ends = {i: ends[i].extend(token) for i, token in going if len(result[i]) < guess.lengths[i]}
        return result

    def _fits(self, context: Context) -> bool:
        most = self._lm.draft_model.context_length
        return most is None or len(context.prompt) + context.length <= most

    def _same_width(self, following: NextTokens) -> NextTokens:
        """Return the distributions over the ids of the base, whose embeddings may be padded otherwise."""
        missing = self._lm.vocabulary.size - following.logprobs.shape[-1]
        if not missing:
            return following
        return NextTokens(F.pad(following.logprobs, (0, missing), value=-torch.inf), following.rows)


def _check_vocabularies(base: Engine, draft_model: Engine) -> None:
    """Raise `InvalidArgument` unless all ids that have text, or end one, are the same; others may be missing."""
    ours, theirs = base.vocabulary, draft_model.vocabulary
    common = min(ours.size, theirs.size)
    differ = [v for v in range(common) if ours.tokens[v] != theirs.tokens[v]]
    differ += [
        v for v in range(common, max(ours.size, theirs.size)) if (ours if v < ours.size else theirs).tokens[v]
    ]
    if differ or ours.end != theirs.end:
        found = f"id {differ[0]}, say, is another token" if differ else "other ids end their texts"
        raise InvalidArgument(
            f"{draft_model.name!r} has another vocabulary than {base.name!r}: {found}",
            hint="the draft model must have the same tokens: use a smaller model of the same family",
        )

"""Any order of questions: whatever contexts are asked for, each row is the model's own answer to that context.

The pool of contexts grows from a few prompts. A question takes any of them, old or new, as they are or one
token longer; that covers forks, resampling, leaving and coming back, and sites that begin again. Some
contexts are rebuilt from their ids, so that the session has never seen the node. Two sessions of one engine
take turns and must not feel each other.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engines.base import Context
from tests.engines.conftest import tiny
from tests.engines.test_session import Reference, agree

KINDS = ["gemma3", "gpt2", "llama", "mistral", "qwen3"]
PROMPTS = [(7,), (7, 8, 9), tuple(range(40, 50)), tuple(range(60, 73))]


class Pick(NamedTuple):
    """A context of the pool, counted from its young end, and what becomes of it."""

    back: int
    token: int | None
    rebuilt: bool


picks = st.builds(
    Pick,
    back=st.one_of(st.integers(0, 4), st.integers(0, 60)),
    token=st.one_of(st.sampled_from([5, 6]), st.sampled_from([5, 6]), st.none()),
    rebuilt=st.sampled_from([False] * 5 + [True]),
)
questions = st.tuples(st.booleans(), st.lists(picks, min_size=1, max_size=6))


@cache
def reference(kind: str) -> Reference:
    return Reference(tiny(kind))


def rebuild(context: Context) -> Context:
    node = Context(context.prompt)
    for token in context.generated():
        node = node.extend(token)
    return node


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(asked=st.lists(questions, min_size=6, max_size=24))
def test_every_row_is_the_answer_to_its_context_alone(
    kind: str, asked: list[tuple[bool, list[Pick]]]
) -> None:
    alone = reference(kind)
    pool = [Context(prompt) for prompt in PROMPTS]
    with alone.engine.session() as one, alone.engine.session() as other:
        for which, chosen in asked:
            contexts = []
            for pick in chosen:
                context = pool[-1 - pick.back % len(pool)]
                context = rebuild(context) if pick.rebuilt else context
                contexts.append(context if pick.token is None else context.extend(pick.token))
            answer = (one if which else other).next_tokens(contexts)
            for context, row in zip(contexts, answer.rows, strict=True):
                assert agree(answer.logprobs[row], alone(context.prompt + context.generated()))
            pool += contexts

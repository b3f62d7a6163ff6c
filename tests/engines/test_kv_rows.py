"""Rows of the cache: what is known by its tokens is found again, those that have left take no memory, failures none."""

from __future__ import annotations

import random
from typing import Any
from unittest.mock import patch

import pytest
import torch

from inference.engines.base import Context
from inference.engines.pages import PAGE
from inference.engines.transformers import TransformersEngine
from tests.engines.conftest import tiny
from tests.engines.stock import Reference, check, words

PROMPT = (5, 6, 7)


def written(tokens: tuple[int, ...], prompt: tuple[int, ...] = PROMPT) -> Context:
    """Return a context that no session has seen, whatever its tokens."""
    context = Context(prompt)
    for token in tokens:
        context = context.extend(token)
    return context


def test_what_stands_in_a_row_is_not_evaluated_again(llama: TransformersEngine) -> None:
    tokens = words(random.Random(1), 12)
    reference = Reference(llama)
    with llama.session() as session:
        session.next_tokens([written(tokens)])
        for asked, new in [
            (tokens, 1),  # all of it is there, but not what comes next
            (tokens[:8], 1),
            ((*tokens[:8], 9, 10), 2),
            ((*tokens[:5], 9), 1),
            ((9, 10, 11), 3),
        ]:
            before = session.usage.tokens
            check(llama, session, [written(asked)], reference)
            assert session.usage.tokens == before + new


def test_two_that_begin_like_one_row(llama: TransformersEngine) -> None:
    tokens = words(random.Random(2), 10)
    with llama.session() as session:
        row = written(tokens)
        session.next_tokens([row])
        before = session.usage.tokens
        asked = [written((*tokens[:6], 8)), row.extend(8), written((*tokens[:9], 9, 9)), row]
        check(llama, session, asked, Reference(llama))
        assert session.usage.tokens == before + 1 + 1 + 2


def test_rows_of_other_prompts_and_forgotten_ones_are_no_beginnings(llama: TransformersEngine) -> None:
    tokens, reference = words(random.Random(3), 6), Reference(llama)
    with llama.session() as session:
        check(llama, session, [written(tokens)], reference)
        check(
            llama, session, [written(tokens, (9, 8))], reference
        )  # another prompt is in use, the first forgotten
        check(llama, session, [written(tokens)], reference)


@pytest.mark.parametrize("left", [1, 3])
def test_rows_that_have_left_give_their_memory(llama: TransformersEngine, left: int) -> None:
    rng, reference = random.Random(4), Reference(llama)
    with llama.session() as session:
        contexts = [written((token,)) for token in range(20, 36)]
        for _ in range(3):
            contexts = [c.extend(rng.randrange(5, 60)) for c in contexts]
            session.next_tokens(contexts)
        full = session.nbytes
        some = contexts[-left:]
        parked = some[0]  # known, and not extended
        for _ in range(60):
            some = [c.extend(rng.randrange(5, 60)) for c in some]
            session.next_tokens([*some, parked])
        check(llama, session, [*some, parked], reference)
        check(llama, session, [c.extend(9) for c in [*some, parked]], reference)
        assert (
            session.nbytes < (1.2 if left == 1 else 2) * full
        )  # all of them would take more than 4 times as much


def test_drafts_come_true_after_others_have_grown(llama: TransformersEngine) -> None:
    rng, reference = random.Random(6), Reference(llama)
    with llama.session() as session:
        contexts = [written((token,)) for token in range(20, 36)]
        session.next_tokens(contexts)
        ahead, grown = contexts[14].extend(7), contexts[15]
        session.next_tokens([ahead, grown], [(8, 9), ()])
        ahead = ahead.extend(8)
        for _ in range(40):
            grown = grown.extend(rng.randrange(5, 60))
            check(llama, session, [grown, ahead], reference)
        calls = session.usage.calls
        check(llama, session, [ahead.extend(9)], reference)
        assert session.usage.calls == calls


def test_who_is_known_by_the_draft_of_another_has_a_draft_of_its_own(llama: TransformersEngine) -> None:
    reference = Reference(llama)
    with llama.session() as session:
        one = written((20,))
        session.next_tokens([one], [(7, 8)])
        two, rest = one.extend(7), one.extend(9)
        calls = session.usage.calls
        assert session.knows(one.extend(7))
        session.next_tokens([two, rest], [(5, 6), ()])
        assert session.usage.calls == calls + 1
        assert session.knows(two.extend(5).extend(6))
        check(llama, session, [two.extend(5), rest], reference)


@pytest.mark.parametrize("step", ["resize", "change"])
def test_a_failure_while_pages_change_leaves_a_usable_session(llama: TransformersEngine, step: str) -> None:
    """Some layers have changed, others not: none of it may be used."""
    reference = Reference(llama)
    with llama.session() as session:
        contexts = [written((token,)) for token in range(20, 28)]
        session.next_tokens(contexts)
        kept, new = contexts[-1], words(random.Random(5), 40)
        first, last = session._rows._layers[0], session._rows._layers[-1]
        change = getattr(type(first), step)
        changed = []

        def fails(layer: Any, *args: Any) -> None:
            if layer is last:
                raise torch.OutOfMemoryError
            changed.append(layer)
            change(layer, *args)

        with patch.object(type(first), step, fails), pytest.raises(torch.OutOfMemoryError):
            session.next_tokens([kept.extend(new[0]), kept.extend(new[1])], [new[2:], ()])
        assert changed
        check(llama, session, [kept.extend(3), contexts[0]], reference)
        check(llama, session, [kept.extend(3).extend(4)], reference)


def test_a_large_population_that_ends_gives_its_memory_back(llama: TransformersEngine) -> None:
    rng, reference = random.Random(8), Reference(llama)
    with llama.session() as session:
        rows = [written((token,)) for token in range(20, 84)]
        for _ in range(30):
            rows = [row.extend(rng.randrange(5, 280)) for row in rows]
            session.next_tokens(rows)
        full, some = session.nbytes, rows[20:23]
        for _ in range(4):
            some = [row.extend(rng.randrange(5, 280)) for row in some]
            check(llama, session, some, reference)
        assert session.nbytes < 0.15 * full
        check(llama, session, [row.extend(9) for row in [*some, rows[0]]], reference)


def test_what_is_not_a_number_stays_in_its_row() -> None:
    """Pages that were another's, and those that a shorter row reads in place of none, hold nothing of it."""
    engine = tiny("llama")
    with torch.no_grad():
        engine.forward.model.get_input_embeddings().weight[77] = torch.nan
    with engine.session() as session:

        def none(*contexts: Context) -> list[bool]:
            answer = session.next_tokens(contexts)
            return [bool(answer.logprobs[row].isnan().any()) for row in answer.rows]

        broken = written((8, 9, 77))
        assert none(broken) == [True]
        one, two = written((20,)), written((21,))
        none(broken, one, two, *(written((30 + i,)) for i in range(6)))
        two = two.extend(40)
        none(broken, one, two)
        for _ in range(2 * PAGE):
            two = two.extend(41)
            assert none(broken, two, one)[1:] == [False, False]
        assert none(one.extend(3), two.extend(3)) == [False, False]
        assert none(written((20,)), written((21, 22, 23, 24, 25, 26, 27))) == [False, False]
        row = written((50, 51, 52))
        none(row)
        row = row.extend(77)
        none(row)
        parted, long = written((50, 51, 53)), written(tuple(range(60, 76)))  # the page of `row` is copied
        assert none(row.extend(60), parted, long) == [True, False, False]


def test_what_rows_share_is_kept_once(llama: TransformersEngine) -> None:
    """Resampled again and again, rows have most of their pasts in common."""
    rng, reference = random.Random(7), Reference(llama)
    with llama.session() as session:
        rows, most = [written((token,)) for token in range(20, 52)], 0
        for step in range(80):
            if step % 10 == 9:
                rows = rng.choices(rows, k=len(rows))
            rows = [row.extend(rng.randrange(5, 280)) for row in rows]
            session.next_tokens(rows)
            paths = set[Context]()
            for row in rows:
                node: Context | None = row
                while node is not None and node not in paths:
                    paths.add(node)
                    node = node.parent
            most = max(most, len(paths))
        token = sum(t[:, 0, 0].nbytes for layer in session._rows._layers for t in layer.buffers())
        assert session.nbytes < 1.3 * token * most < 0.6 * token * 81 * len(rows)
        check(llama, session, [row.extend(9) for row in rows], reference)

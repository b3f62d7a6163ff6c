"""Many prompts in one session: answers are the stock ones, and a pass costs what its own rows need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from inference.engines.base import Context, Session
from inference.engines.transformers import TransformersEngine
from tests.engines.stock import Reference, agree, check, words

LENGTHS = (4, 30, 1, 19, 11)
ROWS = 3


class Made(TorchDispatchMode):
    """Counts the elements of tensors that are made: results of operations that are neither arguments nor views."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        old = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if _is_tensor(t)}
        new = [t for t in tree_leaves(result) if _is_tensor(t)]
        self.elements += sum(t.numel() for t in new if t.untyped_storage().data_ptr() not in old)
        return result


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


class Programs:
    """Rows of several prompts, which are held in one session from the first call on."""

    def __init__(self, session: Session, prompts: Sequence[tuple[int, ...]], rows: int = ROWS) -> None:
        self.session = session
        self.rows = [[Context(prompt).extend(5 + i) for i in range(rows)] for prompt in prompts]
        session.next_tokens([Context(prompt) for prompt in prompts])
        session.next_tokens(self.contexts())

    def contexts(self) -> list[Context]:
        return [context for rows in self.rows for context in rows]

    def grow(self, program: int, token: int, which: Sequence[int] = range(ROWS)) -> None:
        for row in which:
            self.rows[program][row] = self.rows[program][row].extend(token)

    def cost(self, grown: dict[int, Sequence[int]]) -> tuple[int, int]:
        """Return operations and elements made in a pass over the `grown` rows of programs."""
        for program, which in grown.items():
            self.grow(program, 7, which)
        with FlopCounterMode(display=False) as flops, Made() as made:
            self.session.next_tokens([self.rows[p][r] for p, which in grown.items() for r in which])
        return flops.get_total_flops(), made.elements


@pytest.fixture
def prompts() -> list[tuple[int, ...]]:
    rng = random.Random(2)
    return [words(rng, n) for n in LENGTHS]


@pytest.mark.parametrize("in_use", [(0,), (1,), (0, 4), (1, 2), (2, 3, 4), range(5)], ids=str)
def test_passes_over_rows_of_some_prompts_equal_stock(
    engine: TransformersEngine, prompts: list[tuple[int, ...]], in_use: Sequence[int]
) -> None:
    reference, rng = Reference(engine), random.Random(3)
    with engine.session() as session:
        programs = Programs(session, prompts)
        for which in (range(ROWS), (0, 2), (1,), range(ROWS)):
            for program in in_use:
                programs.grow(program, rng.randrange(5, 280), which)
            check(engine, session, programs.contexts(), reference)
        for program in range(len(prompts)):  # those that waited go on
            programs.grow(program, rng.randrange(5, 280))
        check(engine, session, programs.contexts(), reference)


def test_drafts_of_rows_of_some_prompts_equal_stock(
    engine: TransformersEngine, prompts: list[tuple[int, ...]]
) -> None:
    reference = Reference(engine)
    with engine.session() as session:
        programs = Programs(session, prompts)
        for program in (0, 3):
            programs.grow(program, 20, (0, 2))
        asked = programs.contexts()
        drafts = [tuple(range(30, 30 + i % 4)) for i in range(len(asked))]
        answer = session.next_tokens(asked, drafts)
        for context, row in zip(asked, answer.rows, strict=True):
            assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))
        for program in (0, 3):
            programs.grow(program, 30, (0, 2))
        check(engine, session, programs.contexts(), reference)


def test_prompts_that_no_row_of_a_pass_continues_cost_it_nothing(
    llama: TransformersEngine, prompts: list[tuple[int, ...]]
) -> None:
    for in_use in ((0,), (1,), (2,), (3,), (4,), (0, 1), (3, 4)):
        with llama.session() as alone, llama.session() as among:
            few = Programs(alone, [prompts[i] for i in in_use], rows=2)
            many = Programs(among, prompts, rows=2)
            assert many.cost(dict.fromkeys(in_use, range(2))) == few.cost(
                dict.fromkeys(range(len(in_use)), range(2))
            )


def test_sessions_keep_no_copies_of_prompts(
    llama: TransformersEngine, prompts: list[tuple[int, ...]]
) -> None:
    with llama.session() as first, llama.session() as second:
        for session in (first, second):
            Programs(session, prompts[:2])
        Programs(first, prompts)
        for prompt in prompts[:2]:
            known = llama.prompts.get(prompt)
            assert known is not None
            for session in (first, second):
                assert session._rows._prompts[prompt][0][0].data_ptr() == known.kv[0][0].data_ptr()

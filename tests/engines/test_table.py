from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.engines import table
from inference.engines.base import Context
from inference.engines.errors import NotSpellable, PromptTooLong, SessionClosed
from inference.engines.table import TableLM
from ppl.errors import InvalidArgument


def test_a_function_of_prompt_and_generated_ids() -> None:
    seen = []

    def probs(prompt: str, generated: tuple[int, ...]) -> list[float]:
        seen.append((prompt, generated))
        return [0.25, 0.25, 0.5]

    lm = TableLM(["a", "b"], probs)
    with lm.session() as session:
        root = Context(lm.encode_prompt("hé"))
        answer = session.next_tokens([root.extend(1), root, root.extend(1)])
    assert seen == [("hé", (1,)), ("hé", ())]
    assert answer.rows.tolist() == [0, 1, 0]
    assert answer.logprobs.dtype == torch.float64
    assert answer.logprobs.exp().tolist() == [[0.25, 0.25, 0.5]] * 2
    assert session.usage.calls == 1
    assert (session.usage.prompt_tokens, session.usage.tokens) == (2, 1)


def test_a_table_with_and_without_prompts() -> None:
    lm = TableLM(["a"], {(): [0.5, 0.5], ("x", ()): [1, 0], (0,): [0, 1]})
    with lm.session() as session:
        any_prompt, x = Context(lm.encode_prompt("y")), Context(lm.encode_prompt("x"))
        first, second, third = session.next_tokens([any_prompt, x, x.extend(0)]).logprobs.exp().tolist()
        assert (first, second, third) == ([0.5, 0.5], [1, 0], [0, 1])
        with pytest.raises(InvalidArgument, match=r"\(0, 0\)"):
            session.next_tokens([x.extend(0).extend(0)])


@pytest.mark.parametrize(
    "vector", [[0.5, 0.6], [1.5, -0.5], [1.0], [math.nan, 1.0], [[0.5, 0.5]], None, [[1], [0, 1]], ["a", "b"]]
)
def test_what_is_no_distribution_is_refused(vector: list[float]) -> None:
    lm = TableLM(["a"], lambda prompt, generated: vector)
    with pytest.raises(InvalidArgument, match="hint: give 2"):
        lm.session().next_tokens([Context(())])
    with pytest.raises(InvalidArgument, match=r"at key \(0,\)"):
        TableLM(["a"], {(): [0.5, 0.5], (0,): vector})


@pytest.mark.parametrize("key", [0, "x", (1,), ("x", 0), ("x", (0, 1)), ("x", "y")])
def test_what_is_no_key_is_refused(key: object) -> None:
    with pytest.raises(InvalidArgument, match="keys are tuples of ids below 1"):
        TableLM(["a"], {key: [0.5, 0.5]})  # type: ignore[dict-item]


def test_too_long_is_refused() -> None:
    lm = TableLM(["a"], lambda prompt, generated: [0.5, 0.5], context_length=3)
    with pytest.raises(PromptTooLong):
        lm("xx", max_tokens=2)
    with pytest.raises(PromptTooLong):
        lm.session().along([(lm.encode_prompt("xx"), (0, 0))])
    with pytest.raises(PromptTooLong):
        lm.session().next_tokens([Context(lm.encode_prompt("xxxx"))])


def test_examples() -> None:
    assert doctest.testmod(table).failed == 0


def test_random_is_reproducible_and_depends_on_the_whole_context() -> None:
    def vectors(seed: int) -> list[list[float]]:
        lm = TableLM.random(["a", "ab", "a"], seed)
        x, y = (Context(lm.encode_prompt(p)) for p in "xy")
        asked = [x, y, x.extend(0), x.extend(2), x.extend(0).extend(1), x.extend(1).extend(0)]
        return lm.session().next_tokens(asked).logprobs.tolist()

    assert vectors(1) == vectors(1)
    assert len({tuple(v) for v in vectors(1) + vectors(2)}) == 12
    assert np.allclose(np.exp(vectors(3)).sum(1), 1)


def test_sparse_random_never_forbids_the_end() -> None:
    lm = TableLM.random(["a", "b", "c"], 0, sparsity=0.7)
    logprobs = torch.stack([lm.logprobs((), (i % 3, i)) for i in range(60)])
    assert torch.isfinite(logprobs[:, -1]).all()
    assert torch.isinf(logprobs[:, :-1]).any()


def test_ngram_counts() -> None:
    lm = TableLM.ngram(["abba", "ab"], order=2, alpha=0.5)
    after_a = [0 + 0.5, 2 + 0.5, 1 + 0.5]
    assert lm.logprobs((), (0,)).exp().tolist() == pytest.approx([c / 4.5 for c in after_a])
    assert lm.logprobs(lm.encode_prompt("ba"), ()).tolist() == lm.logprobs((), (0,)).tolist()
    unknown = lm.logprobs(lm.encode_prompt("?"), ())
    assert unknown.tolist() == lm.logprobs((), ()).tolist()
    assert TableLM.ngram(["ab"], order=1, alpha=0).logprobs((), ()).exp().tolist() == pytest.approx(
        [1 / 3] * 3
    )
    with pytest.raises(InvalidArgument, match="order"):
        TableLM.ngram(["ab"], order=0)
    with pytest.raises(InvalidArgument, match="a list"):
        TableLM.ngram("ab")
    with pytest.raises(InvalidArgument, match="sparsity"):
        TableLM.random(["a"], 0, sparsity=2)


@given(st.text("abc", max_size=8))
def test_encode_spells_the_text(text: str) -> None:
    lm = TableLM.random(["ab", "a", "bc", "b", "c", "a"], 0)
    assert lm.vocabulary.decode(lm.encode(text)) == text.encode()


def test_encode_prefers_long_tokens_but_not_into_a_dead_end() -> None:
    lm = TableLM.random(["a", "ab", "bc"], 0)
    assert lm.encode("aab") == (0, 1)
    assert lm.encode("abc") == (0, 2)
    with pytest.raises(NotSpellable, match="'b'"):
        lm.encode("b")


def test_along_equals_stepwise() -> None:
    lm = TableLM.random(["a", "b"], 5)
    prompt = lm.encode_prompt("p")
    with lm.session() as session:
        (answer,) = session.along([(prompt, (0, 1, 1))])
        root = Context(prompt)
        nodes = [root, root.extend(0), root.extend(0).extend(1), root.extend(0).extend(1).extend(1)]
        assert torch.equal(answer, session.next_tokens(nodes).logprobs)
    with pytest.raises(SessionClosed):
        session.next_tokens([root])


def test_bad_arguments() -> None:
    with pytest.raises(InvalidArgument, match="empty"):
        TableLM(["a", ""], {})
    lm = TableLM(["a"], {}, context_length=3)
    with pytest.raises(PromptTooLong, match="2 tokens and 2 more"):
        lm.check_fits((1, 2), 2)
    assert lm.encode_chat([{"role": "user", "content": "hi"}]) == lm.encode_prompt("user: hi\nassistant: ")

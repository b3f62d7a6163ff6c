"""Incremental = stock: each row that a session returns is the model's own forward on that context alone."""

from __future__ import annotations

import gc
import inspect
import random
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any
from unittest.mock import patch

import pytest
import torch

from inference import SMC, infer
from inference.engines.base import Context
from inference.engines.errors import PromptTooLong, SessionClosed
from inference.engines.pages import PAGE
from inference.engines.transformers import TransformersEngine
from ppl import ProgramError, program, sample
from tests.engines.conftest import tiny
from tests.engines.stock import Reference, agree, check, words
from tests.engines.tokenizers_built import byte_level


@pytest.mark.parametrize("seed", range(3))
def test_random_walk_of_a_population_equals_stock(engine: TransformersEngine, seed: int) -> None:
    rng = random.Random(seed)
    prompts = [words(rng, n) for n in (3, 9, 17)]
    reference = Reference(engine)
    with engine.session() as session:
        contexts = [Context(rng.choice(prompts)) for _ in range(6)]
        for tick in range(14):
            check(engine, session, contexts, reference)
            if rng.random() < 0.4:  # resampling
                contexts = [rng.choice(contexts) for _ in contexts]
            if len(contexts) > 2 and rng.random() < 0.2:  # a row finishes
                contexts.pop(rng.randrange(len(contexts)))
            if rng.random() < 0.2:  # order means nothing
                rng.shuffle(contexts)
            alphabet = words(rng, 3)  # few tokens, so that equal contexts arise
            contexts = [c if rng.random() < 0.15 else c.extend(rng.choice(alphabet)) for c in contexts]
            if rng.random() < 0.3:  # a prompt joins late
                contexts.append(
                    Context(rng.choice(prompts) if tick % 2 else words(rng, rng.randrange(1, 25)))
                )
            if rng.random() < 0.1:  # a context that the session has never seen
                stranger = Context(words(rng, 4))
                for token in words(rng, 3):
                    stranger = stranger.extend(token)
                contexts.append(stranger)


@pytest.mark.parametrize("seed", range(3))
def test_drafts_that_come_true_equal_stock(engine: TransformersEngine, seed: int) -> None:
    """Particles follow their drafts for a while, fork, part, fall behind and join; each answer is the stock one."""
    rng = random.Random(seed)
    prompts = [words(rng, n) for n in (3, 11)]
    reference = Reference(engine)
    with engine.session() as session:
        contexts = [Context(rng.choice(prompts)) for _ in range(5)]
        session.next_tokens(contexts)
        hits = 0
        for _ in range(10):
            contexts = [c.extend(rng.randrange(5, 9)) for c in contexts]
            drafts = [tuple(rng.randrange(5, 9) for _ in range(rng.randrange(5))) for _ in contexts]
            answer = session.next_tokens(contexts, drafts)
            for context, row in zip(contexts, answer.rows, strict=True):
                assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))
            calls = session.usage.calls
            for i, draft in enumerate(drafts):
                for token in draft[: rng.randrange(len(draft) + 1)]:
                    contexts[i] = contexts[i].extend(token)
                    if not session.knows(contexts[i]):
                        break  # of equal contexts the longest draft is evaluated
                    hits += 1
                    recalled = session.recall([contexts[i]]).logprobs[0]
                    assert agree(recalled, reference(contexts[i].prompt + contexts[i].generated()))
            assert session.usage.calls == calls
            if rng.random() < 0.5:
                contexts = [rng.choice(contexts) for _ in contexts]
            known = [c for c in contexts if session.knows(c)]
            contexts = contexts if len(known) == len(contexts) else contexts[:3] + known[:2]
        assert hits > 5 or not engine.forward.splits


def test_a_prompt_that_was_not_asked_for_is_not_known(llama: TransformersEngine) -> None:
    with llama.session() as session:
        root = Context((5, 6, 7))
        session.next_tokens([root])
        child = root.extend(8)
        session.next_tokens([child], [(9,)])
        assert not session.knows(Context((5, 6)))
        assert not session.knows(root.extend(9))
        assert session.knows(child.extend(9))
        assert not session.knows(child.extend(9).extend(9))


def test_parked_rows_that_come_back_are_aligned_again(engine: TransformersEngine) -> None:
    rng = random.Random(7)
    reference = Reference(engine)
    parked, moving = Context(words(rng, 4)).extend(5), Context(words(rng, 7))
    with engine.session() as session:
        session.next_tokens([parked, moving])
        for token in words(rng, 9):
            moving = moving.extend(token)
            check(engine, session, [moving, parked], reference)
        for token in words(rng, 3):
            moving, parked = moving.extend(token), parked.extend(token)
            check(engine, session, [parked, moving], reference)


def test_many_prompts_of_different_lengths_at_once(engine: TransformersEngine) -> None:
    rng = random.Random(3)
    contexts = [Context(words(rng, n)) for n in (1, 2, 5, 11, 20, 31)]
    reference = Reference(engine)
    with engine.session() as session, patch("inference.engines.forward.BATCH_TOKENS", 40):
        check(engine, session, contexts, reference)
        check(engine, session, [c.extend(9) for c in contexts], reference)


def test_large_populations_take_several_passes(engine: TransformersEngine) -> None:
    """What the attention scores of a pass may take bounds its rows, and the answers are the same."""
    rng = random.Random(5)
    reference = Reference(engine)
    contexts = [Context(words(rng, n)) for n in (3, 3, 8, 8, 8)]
    with engine.session() as session, patch("inference.engines.kv_cache.PASS_SCORES", 40):
        session.next_tokens(contexts)
        for step in range(4):
            contexts = [c.extend(rng.randrange(5, 60)) for c in contexts]
            calls = session.usage.calls
            check(engine, session, contexts, reference)
            assert session.usage.calls > calls + (step > 0 and engine.forward.splits)


def test_a_pass_in_one_thread_leaves_the_attention_of_others_alone() -> None:
    """An adapter shares the configuration of its base, in which the way to attend is set for a pass."""
    engine, ids = tiny("llama"), (5, 6, 7, 8)
    expected = engine.forward.evaluate([ids])
    with ThreadPoolExecutor(1) as threads, engine.session() as session:
        asked: list[Future[torch.Tensor]] = []

        def ask_meanwhile(*_: object) -> None:
            if not asked:
                asked.append(threads.submit(engine.forward.evaluate, [ids]))
                wait(asked, timeout=0.3)

        root = Context((9, 10))
        session.next_tokens([root])
        hook = engine.forward.model.model.layers[0].register_forward_pre_hook(ask_meanwhile)
        session.next_tokens([root.extend(11)])
        hook.remove()
        assert torch.equal(asked[0].result(), expected)


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_models_take_their_cache_by_either_name(name: str) -> None:
    """transformers renames the argument: both versions are there for a while."""
    model = tiny("qwen3").forward.model
    plain = type(model).forward
    own = "cache" if "cache" in inspect.signature(plain).parameters else "past_key_values"

    class Renamed(type(model)):  # type: ignore[misc]
        def forward(self, input_ids, attention_mask=None, position_ids=None, logits_to_keep=0, **options):  # type: ignore[no-untyped-def]
            if name in options:
                options[own] = options.pop(name)
            return plain(
                self, input_ids, attention_mask, position_ids, logits_to_keep=logits_to_keep, **options
            )

    signature = inspect.signature(plain)
    renamed = [p.replace(name=name if p.name == own else p.name) for p in signature.parameters.values()]
    Renamed.forward.__signature__ = signature.replace(parameters=renamed)  # type: ignore[attr-defined]
    model.__class__ = Renamed
    engine = TransformersEngine(model, byte_level(), name="renamed")
    rng, reference, root = random.Random(0), Reference(engine), Context((5, 6, 7))
    with engine.session() as session:
        rows = [root.extend(token) for token in words(rng, 4)]
        for _ in range(3):
            check(engine, session, rows, reference)
            rows = [row.extend(token) for row, token in zip(rows, words(rng, 4), strict=True)]
        assert session.usage.tokens == 12


def test_copies_share_all_but_the_page_that_they_are_in(llama: TransformersEngine) -> None:
    reference = Reference(llama)
    with llama.session() as session:
        root = Context((5, 6, 7))
        for token in range(20, 20 + 4 * PAGE):
            root = root.extend(token)
            session.next_tokens([root])
        whole = session.nbytes
        rows = [root.extend(60 + i) for i in range(8)]
        check(llama, session, rows, reference)
        assert session.pages_copied == 0  # the beginning ends with a page
        rows = [row.extend(70) for row in rows for _ in "ab"]
        check(llama, session, [row.extend(80 + i) for i, row in enumerate(rows)], reference)
        assert session.pages_copied == 8  # one of each two goes on where it was
        prompt = 3 * whole / (3 + 4 * PAGE)
        assert session.nbytes - prompt < 6 * (whole - prompt)  # apart they would take 16 times as much


def test_a_prompt_that_begins_like_another_is_evaluated_from_there(llama: TransformersEngine) -> None:
    reference = Reference(llama)
    shared = tuple(range(10, 40))
    llama.prompts.clear()
    with llama.session() as session:
        check(llama, session, [Context((*shared, 50, 51))], reference)
        before = session.usage.prompt_tokens
        check(llama, session, [Context((*shared, 60, 61, 62))], reference)
        assert session.usage.prompt_tokens == before + 3
        check(llama, session, [Context((*shared, 60, 61, 62)).extend(5)], reference)
    with llama.session() as session:  # another run
        check(llama, session, [Context((*shared, 60, 61, 62))], reference)
        assert session.usage.calls == 0


def test_along_equals_stepwise(engine: TransformersEngine) -> None:
    rng = random.Random(1)
    shared = words(rng, 6)
    requests = [(shared, words(rng, n)) for n in (0, 1, 5)] + [(words(rng, 3), words(rng, 4))]
    requests.append(requests[2])
    reference = Reference(engine)
    with engine.session() as session:
        answers = session.along(requests)
    for (prompt, continuation), answer in zip(requests, answers, strict=True):
        assert answer.shape == (len(continuation) + 1, engine.vocabulary.size)
        for i in range(len(continuation) + 1):
            assert agree(answer[i], reference(prompt + continuation[:i]))


def test_shared_prompt_is_evaluated_once(llama: TransformersEngine) -> None:
    prompt = tuple(range(10, 30))
    llama.prompts.clear()
    with llama.session() as session:
        answer = session.next_tokens([Context(prompt) for _ in range(8)])
        assert answer.logprobs.shape[0] == 1
        assert (session.usage.calls, session.usage.prompt_tokens, session.usage.tokens) == (1, 20, 0)


def test_equal_contexts_are_evaluated_once_and_kept_ones_not_again(llama: TransformersEngine) -> None:
    root = Context((5, 6, 7))
    with llama.session() as session:
        session.next_tokens([root])
        children = [root.extend(t) for t in (8, 9, 8, 8)]
        answer = session.next_tokens(children)
        assert answer.rows[0] == answer.rows[2] == answer.rows[3] != answer.rows[1]
        assert session.usage.tokens == 2
        calls = session.usage.calls
        again = session.next_tokens(list(reversed(children)))
        assert session.usage.calls == calls
        assert torch.equal(again.logprobs[again.rows[0]], answer.logprobs[answer.rows[3]])
        session.next_tokens([children[0].extend(3), children[2].extend(3), children[1].extend(3)])
        assert session.usage.tokens == 4


def test_a_prompt_reached_again_is_not_evaluated_again(llama: TransformersEngine) -> None:
    prompt = (5, 6, 7)
    with llama.session() as session:
        first = session.next_tokens([Context(prompt)]).logprobs
        other = Context((9, 9))
        session.next_tokens([other])
        calls = session.usage.calls
        again = session.next_tokens([Context(prompt)]).logprobs
        assert session.usage.calls == calls
        assert torch.equal(first, again)


def test_one_forward_per_step_and_no_copy_without_resampling(llama: TransformersEngine) -> None:
    rng = random.Random(0)
    contexts = [Context((5, 6, 7))] * 6
    with llama.session() as session:
        session.next_tokens(contexts)
        contexts = [c.extend(20 + i) for i, c in enumerate(contexts)]
        session.next_tokens(contexts)
        calls, copied = session.usage.calls, session.pages_copied
        for step in range(80):  # grows the buffers, too
            contexts = [c.extend(rng.randrange(2, 280)) for c in contexts]
            rng.shuffle(contexts)
            session.next_tokens(contexts)
            assert session.usage.calls == calls + step + 1
        assert session.pages_copied == copied
        survivors = [contexts[0]] * 3 + contexts[3:]  # two rows are replaced by copies of another
        session.next_tokens([c.extend(30 + i) for i, c in enumerate(survivors)])
        assert session.pages_copied == copied + 2


def test_close_gives_back_the_memory(llama: TransformersEngine) -> None:
    session = llama.session()
    root = Context(tuple(range(5, 40)))
    session.next_tokens([root])
    session.next_tokens([root.extend(t) for t in range(5, 9)])
    layers = session._rows._layers
    tensors = [weakref.ref(t) for x in layers for t in x.buffers()]
    del layers
    session.close()
    gc.collect()
    assert all(ref() is None for ref in tensors)
    assert session.nbytes == 0
    with pytest.raises(SessionClosed, match="fresh session"):
        session.next_tokens([root])


def test_too_long_is_refused_before_the_forward(llama: TransformersEngine) -> None:
    with llama.session() as session:
        with pytest.raises(PromptTooLong, match=r"129 tokens.*128 tokens"):
            session.next_tokens([Context((5,) * 129)])
        with pytest.raises(PromptTooLong):
            session.along([((5,) * 100, (6,) * 29)])
        assert session.usage.calls == 0
        full = Context((5,) * 128)
        session.next_tokens([full])
        with pytest.raises(PromptTooLong, match="1 more do not fit"):
            session.next_tokens([full.extend(5)])
    with pytest.raises(PromptTooLong, match="hint"):
        llama.check_fits((5,) * 100, 29)


def test_a_windowed_row_without_its_prompt_is_no_place_to_copy_to() -> None:
    """A row evaluated whole has lost its prompt from sliding windows; a fork into its slot needs all of it."""
    engine = tiny("gemma3")
    prompt, rng = tuple(range(40, 50)), random.Random(0)
    reference, root = Reference(engine), Context(tuple(range(40, 50)))
    with engine.session() as session:
        session.next_tokens([root])
        mover = root
        for token in words(rng, 8):
            mover = mover.extend(token)
            session.next_tokens([root, mover])
        stranger = Context(prompt)
        for token in words(rng, 8):
            stranger = stranger.extend(token)
        session.next_tokens([root, mover, stranger])
        check(engine, session, [root.extend(t) for t in (5, 6, 7)], reference)


def test_an_interrupted_copy_leaves_no_half_written_rows(llama: TransformersEngine) -> None:
    reference = Reference(llama)
    roots = [Context((5, 6, 7)), Context((8, 9, 10))]
    index_copy = torch.Tensor.index_copy_
    copies = 0

    def interrupted(self: torch.Tensor, *args: Any) -> torch.Tensor:
        nonlocal copies
        copies += 1
        if copies == 3:
            raise KeyboardInterrupt
        return index_copy(self, *args)

    with llama.session() as session:
        session.next_tokens(roots)
        grown = [root.extend(2) for root in roots]
        session.next_tokens(grown)
        with patch.object(torch.Tensor, "index_copy_", interrupted), pytest.raises(KeyboardInterrupt):
            session.next_tokens([grown[0].extend(3), grown[0].extend(4)])
        check(llama, session, [roots[1]], reference)
        check(llama, session, [roots[1].extend(3), roots[1].extend(4)], reference)


def test_memory_is_given_back_after_an_exception_that_is_still_held(llama: TransformersEngine) -> None:
    tensors: list[weakref.ref[torch.Tensor]] = []

    @program
    def fails() -> str:
        text = sample(llama("a", max_tokens=3))
        (session,) = opened
        tensors.extend(weakref.ref(t) for layer in session._rows._layers for t in layer.buffers())
        raise ValueError(text)

    opened: list[Any] = []
    start = llama.session
    with (
        patch.object(llama, "session", side_effect=lambda: opened.append(start()) or opened[0]),
        pytest.raises(ProgramError) as held,
    ):
        infer(fails(), SMC(particles=4), seed=0)
    opened.clear()
    gc.collect()
    assert held.value is not None
    assert tensors
    assert all(ref() is None for ref in tensors)


def test_a_failed_call_leaves_a_usable_session(llama: TransformersEngine) -> None:
    reference = Reference(llama)
    root = Context((5, 6, 7))
    with llama.session() as session:
        session.next_tokens([root])
        with (
            patch.object(llama.forward, "extend", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            session.next_tokens([root.extend(8)])
        check(llama, session, [root.extend(8), root], reference)

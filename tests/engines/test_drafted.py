"""Draft models: another model guesses, and the law, the text and the evidence stay those of the base."""

from __future__ import annotations

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
import torch

from grammars import Regex
from grammars.vocabulary import Vocabulary
from inference import SMC, DraftedLM, Importance, TableLM, WarpedLM, infer, infer_many, program_seed
from inference.engines.base import Context
from inference.engines.errors import SessionClosed
from inference.engines.transformers import TransformersEngine
from inference.testing import check_unbiased
from ppl import InvalidArgument, potential, program, sample
from tests.engines.conftest import packed_llama, tiny
from tests.engines.stock import Reference, agree, check
from tests.inference.shared_programs import free, masked


def table(seed: int, *, pass_cost: float = 64.0) -> TableLM:
    lm = TableLM.random(["a", "b"], seed=seed)
    lm.pass_cost = pass_cost
    return lm


BASE = table(41)
LM = DraftedLM(BASE, table(42), cost=0.02)
WARPED = WarpedLM(LM, temperature=0.5)


@program
def weighed(lm: TableLM) -> str:
    return sample(lm("aa", max_tokens=3) ** 0.5 * potential(lambda text: 0.4 * text.count("a"), at="token"))


MODELS = [masked, free, weighed]


@pytest.mark.parametrize("lm", [LM, WARPED], ids=["drafted", "warped"])
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_law_is_the_same(model: object, lm: DraftedLM) -> None:
    check_unbiased(model(lm), Importance(1), max_paths=3_000_000)


def test_the_law_of_particles_that_are_resampled_is_the_same() -> None:
    check_unbiased(masked(LM), SMC(2, 1.0), max_paths=3_000_000)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_one_particle_writes_what_the_base_writes(model: object) -> None:
    guessed = 0
    for seed in range(8):
        drafted, alone = (infer(model(lm), SMC(1), seed=seed) for lm in (LM, table(41)))
        assert [s.value for s in drafted.samples] == [s.value for s in alone.samples]
        assert drafted.log_evidence == pytest.approx(alone.log_evidence, abs=1e-12)
        guessed += drafted.cost.rough_calls
        assert infer(model(LM), SMC(1), seed=seed, drafts=False).cost.rough_calls == 0
    assert guessed > 0


def test_a_draft_model_that_is_the_base_foresees_everything() -> None:
    @program
    def long(lm: DraftedLM) -> str:
        return sample(lm("ab", max_tokens=40) & Regex("[ab]{40}"))

    posterior = infer(long(DraftedLM(BASE, BASE, cost=0.02)), SMC(1), seed=3)
    assert posterior.cost.lm_calls < 10
    assert posterior.cost.tokens == 41
    (site,) = posterior.sites
    assert site.guessed == site.guesses > 25


def test_a_draft_model_that_costs_as_much_is_not_asked() -> None:
    assert infer(free(DraftedLM(table(41, pass_cost=2.0), table(41), cost=1.0)), SMC(1)).cost.rough_calls == 0


def test_programs_that_share_their_calls_make_no_guesses() -> None:
    models = [free(lm) for lm in (LM, WARPED, BASE)]
    for k, posterior in enumerate(infer_many(models, SMC(3), seed=5)):
        alone = infer(models[k], SMC(3), seed=program_seed(5, k), drafts=False)
        assert posterior.cost.rough_calls == 0
        assert posterior.log_evidence == pytest.approx(alone.log_evidence, abs=1e-12)


class Along:
    """Guesses given tokens, and notes what it was told."""

    def __init__(self, *drafts: tuple[int, ...]) -> None:
        self.lengths = [len(draft) for draft in drafts]
        self._drafts = drafts
        self._done = [0] * len(drafts)
        self.seen: list[tuple[int, torch.Tensor]] = []

    def __call__(self, following, members):  # type: ignore[no-untyped-def]
        tokens = []
        for i, row in zip(members, following.rows, strict=True):
            self.seen.append((i, following.logprobs[row].clone()))
            tokens.append(self._drafts[i][self._done[i]])
            self._done[i] += 1
        return tokens


@pytest.fixture(scope="module")
def pair() -> tuple[TransformersEngine, TransformersEngine]:
    return packed_llama(), tiny("llama")


def test_real_models(pair: tuple[TransformersEngine, TransformersEngine]) -> None:
    """Each guess is asked of the draft model; the answers are the base's; what was guessed right needs no pass."""
    base, small = pair
    lm, ours, theirs = DraftedLM(base, small), Reference(base), Reference(small)
    assert 0.0 < lm.cost < 1.0
    with lm.session() as session:
        contexts = [Context((5, 6, 7)).extend(8), Context((5, 6, 7)).extend(9), Context((8, 9)).extend(3)]
        guess = Along((10, 11), (20, 21, 22), ())
        following = session.next_tokens(contexts, (), guess)
        for context, row in zip(contexts, following.rows, strict=True):
            assert agree(following.logprobs[row], ours(context.prompt + context.generated()))
        assert [i for i, _ in guess.seen] == [0, 1, 0, 1, 1]
        done = [0, 0]
        for i, law in guess.seen:
            context = contexts[i]
            for token in [(10, 11), (20, 21, 22)][i][: done[i]]:
                context = context.extend(token)
            assert agree(law, theirs(context.prompt + context.generated()))
            done[i] += 1
        calls, rough = session.usage.calls, session.usage.rough
        assert rough >= 3
        grown = contexts[1].extend(20).extend(21)
        assert session.knows(grown)
        check(base, session, [grown], ours)
        assert (session.usage.calls, session.usage.rough) == (calls, rough)


def test_equal_texts_are_guessed_for_once(pair: tuple[TransformersEngine, TransformersEngine]) -> None:
    """As with rough passes: what the base evaluates of two drafts is one, which must not decide for both."""
    with DraftedLM(*pair).session() as session:
        guess = Along((10, 11), (20, 21, 22))
        session.next_tokens([Context((5, 6, 7)).extend(8), Context((5, 6, 7)).extend(8)], (), guess)
        assert [i for i, _ in guess.seen] == [0, 0]


def test_a_context_with_a_draft_is_not_guessed_for(
    pair: tuple[TransformersEngine, TransformersEngine],
) -> None:
    with DraftedLM(*pair).session() as session:
        guess = Along((10, 11), (20, 21))
        contexts = [Context((5, 6, 7)).extend(8), Context((5, 6, 7)).extend(9)]
        session.next_tokens(contexts, [(30,), ()], guess)
        assert [i for i, _ in guess.seen] == [1, 1]
        assert session.knows(contexts[0].extend(30))


def test_the_draft_model_reads_up_to_its_last_position(
    pair: tuple[TransformersEngine, TransformersEngine],
) -> None:
    most = pair[1].context_length
    assert most is not None
    base = packed_llama(max_position_embeddings=most + 8)
    with DraftedLM(base, pair[1], cost=0.01).session() as session:
        guess = Along((10, 11, 12, 13))
        session.next_tokens([Context((5,) * (most - 2)).extend(6)], (), guess)
        assert len(guess.seen) == 2  # after most - 1 and after most tokens


def test_sessions_know_what_a_token_of_the_draft_model_costs() -> None:
    with LM.session() as session:
        assert session.rough_share == LM.cost == 0.02
        assert session.rough_cost == pytest.approx(0.02 * 64.0)


def test_a_draft_model_that_is_always_wrong_is_soon_left() -> None:
    def around(by: int) -> TableLM:
        """A model that goes round in a circle, by so many places at a time."""

        def probs(prompt: str, ids: tuple[int, ...]) -> np.ndarray:
            last = ids[-1] if ids else "abc".index(prompt[-1])
            return np.eye(4)[(last + by) % 3]

        return TableLM(["a", "b", "c"], probs, pass_cost=8.0)

    @program
    def circle(lm: DraftedLM) -> str:
        return sample(lm("c", max_tokens=200))

    cost = infer(circle(DraftedLM(around(1), around(2), cost=0.5)), SMC(1), seed=0).cost
    assert 0 < cost.rough_calls < 60
    assert cost.tokens == 200


def test_both_sessions_are_closed(pair: tuple[TransformersEngine, TransformersEngine]) -> None:
    lm = DraftedLM(*pair)
    session = lm.session()
    session.close()
    for closed in (session._base, session._drafts):
        with pytest.raises(SessionClosed):
            closed.next_tokens([Context((5,))])
    opened = []
    start = pair[0].session
    with (
        patch.object(pair[0], "session", side_effect=lambda: opened.append(start()) or opened[0]),
        patch.object(pair[1], "session", side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lm.session()
    with pytest.raises(SessionClosed):
        opened[0].next_tokens([Context((5,))])


def test_the_draft_model_reads_only_what_is_new(pair: tuple[TransformersEngine, TransformersEngine]) -> None:
    base, small = pair
    with DraftedLM(base, small).session() as session:
        context = Context((5, 6, 7)).extend(30)
        session.next_tokens([context], (), Along((40, 41, 42)))
        for _ in range(6):  # two guesses come true each time, and the third does not
            before = session._drafts.usage.tokens
            context = context.extend(40).extend(41).extend(50)
            session.next_tokens([context], (), Along((40, 41, 42)))
            assert session._drafts.usage.tokens == before + 3  # what was drawn, and two of the guesses


def test_a_run_of_real_models(pair: tuple[TransformersEngine, TransformersEngine]) -> None:
    base, small = pair

    @program
    def letters(lm: TransformersEngine) -> str:
        return sample(lm("ab", max_tokens=30) & Regex("[a-z ]{30,}").by_mask())

    for cost in (None, 0.01):
        lm = DraftedLM(base, small, cost=cost)
        on, off = infer(letters(lm), SMC(1), seed=1), infer(letters(base), SMC(1), seed=1, drafts=False)
        assert [s.value for s in on.samples] == [s.value for s in off.samples]
        assert on.log_evidence == pytest.approx(off.log_evidence, abs=1e-3)
    assert on.cost.rough_calls > 0


def test_a_text_beyond_the_context_of_the_draft_model(
    pair: tuple[TransformersEngine, TransformersEngine],
) -> None:
    """It is guessed as far as the draft model can read, and written on."""
    base = packed_llama(max_position_embeddings=256)

    @program
    def letters(lm: DraftedLM) -> str:
        return sample(lm("ab" * 60, max_tokens=40) & Regex("[a-z ]{40,}").by_mask())

    text = infer(letters(DraftedLM(base, pair[1], cost=0.01)), SMC(1), seed=1)
    alone = infer(letters(base), SMC(1), seed=1, drafts=False)
    assert [s.value for s in text.samples] == [s.value for s in alone.samples]


def test_a_draft_model_whose_embeddings_are_padded_otherwise() -> None:
    wide = TableLM(["a", "b"], lambda *_: np.array([0.3, 0.3, 0.4]), pass_cost=64.0)
    padded = dataclasses.replace(wide.vocabulary, tokens=(*wide.vocabulary.tokens, None))
    wide.vocabulary = padded
    wide.logprobs = lambda *_: torch.tensor([0.3, 0.3, 0.4, 0.0], dtype=torch.float64).log()  # type: ignore[method-assign]
    narrow = TableLM(["a", "b"], lambda *_: np.array([0.3, 0.3, 0.4]), pass_cost=64.0)
    for base, small in ((wide, narrow), (narrow, wide)):
        lm = DraftedLM(base, small, cost=0.02)
        assert sum(infer(free(lm), SMC(1), seed=seed).cost.rough_calls for seed in range(4)) > 0


class TestRefused:
    def test_other_tokens(self) -> None:
        with pytest.raises(InvalidArgument, match="another vocabulary"):
            DraftedLM(BASE, TableLM.random(["a", "c"], seed=1), cost=0.1)
        with pytest.raises(InvalidArgument, match="another vocabulary"):
            DraftedLM(BASE, TableLM.random(["a", "b", "c"], seed=1), cost=0.1)

    def test_another_end(self) -> None:
        other = table(42)
        other.vocabulary = Vocabulary((b"a", b"b", None, None), frozenset({3}))
        with pytest.raises(InvalidArgument, match="other ids end"):
            DraftedLM(BASE, other, cost=0.1)

    def test_a_base_that_evaluates_one_token_in_a_pass(self) -> None:
        with pytest.raises(InvalidArgument, match="save nothing"):
            DraftedLM(table(41, pass_cost=0.0), BASE, cost=0.1)

    def test_a_cost_that_is_not_known(self) -> None:
        with pytest.raises(InvalidArgument, match=r"cost=0\.1"):
            DraftedLM(BASE, table(42))

    @pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf"), "small", True])
    def test_a_cost_that_is_none(self, cost: object) -> None:
        with pytest.raises(InvalidArgument, match="above 0"):
            DraftedLM(BASE, table(42), cost=cost)  # type: ignore[arg-type]

    def test_what_is_no_model(self) -> None:
        with pytest.raises(InvalidArgument, match="draft_model='smollm2'"):
            DraftedLM(BASE, "smollm2")  # type: ignore[arg-type]

    @pytest.mark.parametrize("base", [WARPED, LM, "lm"], ids=["warped", "drafted", "no model"])
    def test_bases(self, base: object) -> None:
        with pytest.raises(InvalidArgument, match="warp it afterwards"):
            DraftedLM(base, BASE, cost=0.1)  # type: ignore[arg-type]

"""Forward passes of Llama models: the stock logits; rough passes leave no trace in them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from grammars import Regex
from inference import SMC, infer
from inference.engines.base import Context, NextTokens
from inference.engines.forward import Forward
from inference.engines.int4 import Int4Linear, can_halve, can_round
from inference.engines.llama_forward import LlamaForward, covers
from inference.engines.packed import PackedPart, can_pack
from inference.engines.transformers import TransformersEngine
from ppl import program, sample
from tests.engines.conftest import CONFIGS, packed_llama, tiny
from tests.engines.stock import Reference, agree, words

CHANGES = {
    "plain": {},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "one head of keys": {"num_key_value_heads": 1, "head_dim": 32},
    "tied": {"tie_word_embeddings": True},
    "scaled rotation": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
}


@pytest.fixture(scope="module", autouse=True)
def packing_is_possible() -> None:
    if not can_pack():
        pytest.skip("this PyTorch has no oneDNN")


@pytest.fixture(params=CHANGES)
def lm(request: pytest.FixtureRequest) -> TransformersEngine:
    return packed_llama(**CHANGES[request.param])


roughly = pytest.mark.skipif(not can_halve(), reason="this CPU does not multiply in bfloat16")


class Guesses:
    """Guesses given tokens, and keeps the distributions that it was shown."""

    def __init__(self, tokens: Sequence[Sequence[int]]) -> None:
        self.tokens = tokens
        self.lengths = [len(given) for given in tokens]
        self.seen: dict[tuple[int, int], torch.Tensor] = {}
        self._made = [0] * len(tokens)

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        result = []
        for i, row in zip(members, following.rows, strict=True):
            self.seen[i, self._made[i]] = following.logprobs[int(row)].clone()
            result.append(self.tokens[i][self._made[i]])
            self._made[i] += 1
        return result


def test_passes_of_sequences_are_those_of_transformers(lm: TransformersEngine) -> None:
    fast, stock = lm.forward, Forward(lm.forward.model)
    assert isinstance(fast, LlamaForward)
    sequences = [tuple(range(3, 20)), tuple(range(40, 45)), (7,)]
    with torch.inference_mode():
        for keep in (1, 4):
            a, b = fast.evaluate(sequences, keep=keep), stock.evaluate(sequences, keep=keep)
            for row, ids in enumerate(sequences):
                n = min(keep, len(ids))
                torch.testing.assert_close(a[row, -n:], b[row, -n:], atol=1e-4, rtol=1e-4)
        (logits, rows), (others, other_rows) = fast.prefill(sequences), stock.prefill(sequences)
        torch.testing.assert_close(logits, others, atol=1e-4, rtol=1e-4)
        for kv, other in zip(rows, other_rows, strict=True):
            torch.testing.assert_close(kv, other, atol=1e-4, rtol=1e-4)
        for rest in ((5,), (5, 6, 9)):
            a, _ = fast.continued(rows[0], rest)
            b, _ = stock.continued(other_rows[0], rest)
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@roughly
def test_rough_passes_leave_no_trace(lm: TransformersEngine) -> None:
    rng, reference = random.Random(0), Reference(lm)
    prompts = [words(rng, 12), words(rng, 5)]
    with lm.session() as session:
        assert session.rough_cost > 0.0
        contexts = [Context(prompts[i % 2]).extend(5 + i) for i in range(4)]
        session.next_tokens(contexts)
        for _ in range(3):
            contexts = [c.extend(rng.randrange(2, 280)) for c in contexts]
            guess = Guesses([words(rng, n) for n in (3, 0, 2, 4)])
            calls = session.usage.calls
            answer = session.next_tokens(contexts, (), guess)
            assert session.usage.calls == calls + 1
            assert sorted(guess.seen) == [(i, k) for i, n in enumerate(guess.lengths) for k in range(n)]
            for context, row in zip(contexts, answer.rows, strict=True):
                assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))
            for i, tokens in enumerate(guess.tokens):
                ahead = contexts[i]
                for token in tokens:
                    ahead = ahead.extend(token)
                    assert session.knows(ahead)
                    known = session.recall([ahead])
                    assert agree(known.logprobs[0], reference(ahead.prompt + ahead.generated()))
            contexts[0] = contexts[0].extend(
                guess.tokens[0][0]
            )  # one goes on along its draft, the others do not
        assert session.usage.rough == 3 * 4


@roughly
def test_rough_distributions_are_near_the_exact_ones() -> None:
    lm = packed_llama()
    with lm.session() as session:
        contexts = [Context((3, 4, 5)).extend(9)]
        session.next_tokens(contexts)
        contexts = [contexts[0].extend(11)]
        guess = Guesses([(7, 8)])
        exact = session.next_tokens(contexts, (), guess).logprobs[0].exp()
        near, other = guess.seen[0, 0].exp(), guess.seen[0, 1].exp()
        assert float((near - exact).abs().sum()) < 0.6 < float((other - exact).abs().sum())


@roughly
def test_a_run_makes_rough_passes_and_writes_what_it_would_without() -> None:
    lm = packed_llama()

    @program
    def letters() -> str:
        return sample(lm("ab", max_tokens=30) & Regex("[a-z ]{30,}").by_mask())

    rough = 0
    for seed in range(3):
        on, off = (infer(letters(), SMC(1), seed=seed, drafts=drafts) for drafts in (True, False))
        assert [s.value for s in on.samples] == [s.value for s in off.samples]
        assert on.log_evidence == pytest.approx(off.log_evidence, abs=1e-3)
        assert on.cost.lm_calls <= off.cost.lm_calls
        assert off.cost.rough_calls == 0
        rough += on.cost.rough_calls
    assert rough > 0


@pytest.mark.parametrize("at", [pytest.param("rough", marks=roughly), "exact"])
def test_an_interrupted_pass_leaves_nothing_that_is_taken_for_known(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = packed_llama()
    reference = Reference(lm)

    def interrupt(*_: object) -> list[int]:
        raise KeyboardInterrupt

    with lm.session() as session:
        one, two = (Context((3, 4, 5)).extend(9 + i) for i in range(2))
        session.next_tokens([one, two])
        guess = Guesses([(8, 8), (8, 8)])
        with monkeypatch.context() as patch:
            if at == "rough":
                patch.setattr(Guesses, "__call__", interrupt)
            else:
                patch.setattr(lm.forward, "extend", interrupt)
            with pytest.raises(KeyboardInterrupt):
                session.next_tokens([one.extend(7), two.extend(7)], (), guess)
        same = Context((3, 4, 5)).extend(10).extend(7)  # the text of the row that was interrupted
        session.next_tokens([same])
        following = [same.extend(11), same.extend(12)]
        answer = session.next_tokens(following)
        for context, row in zip(following, answer.rows, strict=True):
            assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))


@pytest.mark.parametrize("name", ["q_proj", "o_proj"])
def test_layers_that_compute_something_else_keep_the_code(name: str) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2.0 * super().forward(x)

    lm = tiny("llama")
    attention = lm.forward.model.model.layers[1].self_attn
    plain = getattr(attention, name)
    doubled = Doubled(plain.in_features, plain.out_features, bias=False)
    doubled.weight = plain.weight
    setattr(attention, name, doubled)
    assert not covers(lm.forward.model)
    lm.pack()
    assert getattr(attention, name) is doubled


def test_a_layer_with_a_bias_among_some_without() -> None:
    lm, stock = tiny("llama"), tiny("llama")
    for model in (lm.forward.model, stock.forward.model):
        model.model.layers[0].self_attn.q_proj.bias = nn.Parameter(
            torch.linspace(-1, 1, 32), requires_grad=False
        )
    lm.pack()
    with torch.inference_mode():
        a, b = (engine.forward.evaluate([(5, 6, 7)]) for engine in (lm, stock))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_a_cpu_without_products_in_bfloat16_has_no_rough_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with packed_llama().session() as session:
        assert session.rough_cost == 0.0


@roughly
def test_a_context_that_is_nearly_full_is_not_guessed_beyond() -> None:
    lm = packed_llama(max_position_embeddings=16)
    with lm.session() as session:
        context = Context(tuple(range(3, 16))).extend(5)
        session.next_tokens([context])
        guess = Guesses([(7, 8, 9, 10)])
        session.next_tokens([context.extend(6)], (), guess)
        assert len(guess.seen) == 1


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_other_architectures_keep_their_code(kind: str) -> None:
    engine = tiny(kind)
    assert covers(engine.forward.model) == (kind == "llama")
    engine.pack()
    assert isinstance(engine.forward, LlamaForward) == (kind == "llama")
    with engine.session() as session:
        assert session.rough_cost == 0.0  # the sizes of the tiny one do not suit the kernel either


def test_another_precision_keeps_its_code() -> None:
    assert not covers(tiny("llama").forward.model.bfloat16())


def test_packing_again_changes_nothing() -> None:
    lm = packed_llama()
    before = {id(m._whole[0]) for m in lm.forward.model.modules() if isinstance(m, PackedPart)}
    lm.pack()
    assert before == {id(m._whole[0]) for m in lm.forward.model.modules() if isinstance(m, PackedPart)}


@roughly
def test_weights_on_sixteen_levels_are_kept() -> None:
    rng = np.random.default_rng(0)
    levels = torch.from_numpy(rng.integers(0, 16, size=(64, 96))).float()
    levels[:, ::32], levels[:, 1::32] = 0.0, 15.0
    weight = levels / 8 - 1
    x = torch.from_numpy(rng.normal(size=(5, 96))).float().bfloat16().float()
    bias = torch.from_numpy(rng.normal(size=64)).float()
    exact = x @ weight.T
    rough = Int4Linear(weight, bias)
    torch.testing.assert_close(rough(x), exact + bias, atol=0.05, rtol=0.02)
    torch.testing.assert_close(rough.added(x, exact), 2 * exact + bias, atol=0.05, rtol=0.02)


@roughly
def test_constant_weights_and_layers_that_do_not_suit() -> None:
    weight = torch.full((64, 32), 0.5)
    torch.testing.assert_close(
        Int4Linear(weight)(torch.ones(1, 32)), torch.full((1, 64), 16.0), atol=0.1, rtol=0.01
    )
    assert can_round(weight)
    assert not can_round(weight[:40])
    assert not can_round(weight[:, :24])
    assert not can_round(weight.to("meta"))

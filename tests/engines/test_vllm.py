"""vLLM = transformers: each row is the model's own forward pass on that context alone, whatever vLLM shares.

Needs vLLM, which has an environment of its own: CONTRIBUTING.md tells how.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers as hf

from grammars import Regex
from inference import SMC, Enumerate, infer, load
from inference.engines.base import Context
from inference.engines.errors import (
    ModelDamaged,
    ModelNotFound,
    PromptTooLong,
    SessionClosed,
    UnsupportedModel,
    UnsupportedVersion,
)
from inference.engines.transformers import TransformersEngine
from ppl import program, sample
from ppl.errors import InvalidArgument
from tests.engines.conftest import SMALL, random_weights
from tests.engines.test_session import Reference, words

pytest.importorskip("vllm")

from inference.engines.vllm import VLLMEngine
from inference.engines.vllm_core import check_runner

TOLERANCE = 1e-3
BLOCK = 32
WIDTH = 32  # the least that vLLM's attention has a kernel for on a CPU
BLOCK_BYTES = 2 * 3 * 2 * WIDTH * 4 * BLOCK
"""Keys and values, layers, heads, width, bytes of a float32, tokens."""


@pytest.fixture(scope="module")
def stock() -> TransformersEngine:
    return random_weights(hf.LlamaConfig(**SMALL | {"head_dim": WIDTH}), "tiny")


@pytest.fixture(scope="module")
def source(stock: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    stock.forward.model.save_pretrained(path)
    stock._tokenizer.save_pretrained(path)
    return path


def opened(source: Path, **settings: Any) -> VLLMEngine:
    settings = {"kv_cache_memory_bytes": 1000 * BLOCK_BYTES, **settings}
    return VLLMEngine.open(str(source), name="tiny", dtype="float32", **settings)


@pytest.fixture(scope="module")
def roomy(source: Path) -> VLLMEngine:
    return opened(source)


@pytest.fixture(scope="module")
def cramped(source: Path) -> VLLMEngine:
    """Three sequences at a time, prompts in pieces, and too few blocks for the populations that are asked for."""
    return opened(source, max_num_seqs=3, max_num_batched_tokens=40, kv_cache_memory_bytes=9 * BLOCK_BYTES)


@pytest.fixture(params=["roomy", "cramped"])
def engine(request: pytest.FixtureRequest) -> VLLMEngine:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def reference(stock: TransformersEngine) -> Reference:
    return Reference(stock)


def agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    finite = torch.isfinite(b)
    return bool((finite == torch.isfinite(a)).all()) and bool((a[finite] - b[finite]).abs().max() < TOLERANCE)


def check(session: Any, contexts: Sequence[Context], reference: Reference) -> None:
    answer = session.next_tokens(contexts)
    assert answer.logprobs.dtype == torch.float32
    assert len(answer.rows) == len(contexts)
    for context, row in zip(contexts, answer.rows, strict=True):
        assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))


def grown(prompt: tuple[int, ...], *tokens: int) -> Context:
    context = Context(prompt)
    for token in tokens:
        context = context.extend(token)
    return context


@pytest.mark.parametrize("seed", range(3))
def test_random_walk_of_a_population_equals_stock(
    engine: VLLMEngine, reference: Reference, seed: int
) -> None:
    rng = random.Random(seed)
    prompts = [words(rng, n) for n in (3, BLOCK - 4, 2 * BLOCK + 1)]
    free = engine.batch.free_blocks
    with engine.session() as session:
        contexts = [Context(rng.choice(prompts)) for _ in range(6)]
        for _ in range(16):
            check(session, contexts, reference)
            if rng.random() < 0.4:  # resampling
                contexts = [rng.choice(contexts) for _ in contexts]
            if len(contexts) > 2 and rng.random() < 0.2:  # a row finishes
                contexts.pop(rng.randrange(len(contexts)))
            if rng.random() < 0.2:  # order means nothing
                rng.shuffle(contexts)
            alphabet = words(rng, 3)  # few tokens, so that equal contexts arise
            contexts = [c if rng.random() < 0.15 else c.extend(rng.choice(alphabet)) for c in contexts]
            if rng.random() < 0.3:  # a prompt joins late
                contexts.append(Context(rng.choice(prompts)))
            if rng.random() < 0.2:  # a context that the session has never seen
                contexts.append(grown(words(rng, 4), *words(rng, 3)))
    assert engine.batch.free_blocks == free


def test_along_equals_stepwise(engine: VLLMEngine, reference: Reference) -> None:
    rng = random.Random(1)
    shared = words(rng, BLOCK + 3)
    requests = [(shared, words(rng, n)) for n in (0, 1, 40)] + [(words(rng, 3), words(rng, 4))]
    requests.append(requests[2])
    child = Context(shared).extend(7)
    with engine.session() as session:
        check(
            session, [Context(shared)], reference
        )  # its blocks are known, and are computed again all the same
        free = engine.batch.free_blocks
        answers = session.along(requests)
        check(session, [child], reference)
        assert engine.batch.free_blocks == free
    for (prompt, continuation), answer in zip(requests, answers, strict=True):
        assert answer.shape == (len(continuation) + 1, engine.vocabulary.size)
        for i in range(len(continuation) + 1):
            assert agree(answer[i], reference(prompt + continuation[:i]))


def test_usage_counts_what_is_evaluated(roomy: VLLMEngine) -> None:
    prompt = tuple(range(10, 10 + BLOCK + 8))
    root = Context(prompt)
    for _ in range(2):  # what earlier sessions have computed changes nothing
        with roomy.session() as session:
            usage = session.usage
            assert session.next_tokens([Context(prompt), root, root]).logprobs.shape[0] == 1
            assert (usage.calls, usage.prompt_tokens, usage.tokens) == (1, len(prompt), 0)
            root_again = session.next_tokens([root])
            assert usage.calls == 1
            children = [root.extend(t) for t in (8, 8, 8)]
            answer = session.next_tokens(children)
            assert answer.logprobs.shape[0] == 1
            assert root_again.logprobs.shape == answer.logprobs.shape
            assert (usage.calls, usage.prompt_tokens, usage.tokens) == (2, len(prompt), 1)
            session.next_tokens(
                [children[0].extend(3), children[1].extend(4)]
            )  # a fork shares the full block
            assert (usage.calls, usage.prompt_tokens, usage.tokens) == (3, len(prompt) + 8, 1 + 1 + 2)
            session.along([(prompt, (5, 6))])
            assert (usage.calls, usage.prompt_tokens, usage.tokens) == (4, 2 * len(prompt) + 8, 4 + 2)


def test_one_pass_of_one_token_each_while_nothing_forks(roomy: VLLMEngine, reference: Reference) -> None:
    rng = random.Random(0)
    contexts = [Context(words(rng, 5)) for _ in range(5)]
    with roomy.session() as session:
        session.next_tokens(contexts)
        for step in range(40):  # over the ends of blocks
            contexts = [c.extend(rng.randrange(2, 280)) for c in contexts]
            rng.shuffle(contexts)
            session.next_tokens(contexts)
            assert (session.usage.calls, session.usage.tokens) == (step + 2, 5 * (step + 1))
        check(session, contexts, reference)


def test_sessions_of_one_engine_take_turns(engine: VLLMEngine, reference: Reference) -> None:
    rng = random.Random(2)
    mine, yours = Context(words(rng, 40)), Context(words(rng, 6))
    with engine.session() as one, engine.session() as other:
        for token in words(rng, 5):
            check(one, [mine, mine.extend(9)], reference)
            check(other, [yours], reference)
            mine, yours = mine.extend(token), yours.extend(token)


def test_close_gives_the_blocks_back(roomy: VLLMEngine) -> None:
    free = roomy.batch.free_blocks
    session = roomy.session()
    root = Context(tuple(range(5, 80)))
    session.next_tokens([root])
    session.next_tokens([root.extend(t) for t in range(5, 9)])
    assert roomy.batch.free_blocks == free - 2 - 4  # two full blocks in common, a last one for each
    session.along([((5, 6, 7), (8, 9))])
    assert roomy.batch.free_blocks == free
    session.next_tokens([root])
    session.close()
    session.close()
    assert roomy.batch.free_blocks == free
    with pytest.raises(SessionClosed, match="fresh session"):
        session.next_tokens([root])


def test_too_long_is_refused_and_the_longest_is_not(roomy: VLLMEngine, reference: Reference) -> None:
    longest = roomy.context_length
    assert longest == 127
    with roomy.session() as session:
        with pytest.raises(PromptTooLong):
            session.next_tokens([Context((5,) * (longest + 1))])
        assert session.usage.calls == 0
        with pytest.raises(PromptTooLong):
            session.along([((5,) * longest, (6,))])
        check(session, [grown((5,) * (longest - 1), 8), Context((5,) * longest)], reference)
        almost = Context((6,) * (longest - 1))
        check(session, [almost], reference)
        check(session, [almost.extend(7)], reference)
        with pytest.raises(PromptTooLong):
            session.next_tokens([almost.extend(7).extend(7)])
        assert session.along([((5,) * (longest - 1), (6,))])[0].shape[0] == 2


@pytest.mark.parametrize("half", ["execute_model", "sample_tokens"])
def test_an_interrupted_call_leaves_a_usable_engine(
    roomy: VLLMEngine, reference: Reference, half: str
) -> None:
    rng = random.Random(3)
    root = Context(words(rng, 2 * BLOCK))
    executor = roomy.batch._core.model_executor
    with roomy.session() as session:
        session.next_tokens([root])
        children = [root.extend(8), root.extend(9), Context(words(rng, 2 * BLOCK + 1))]
        with patch.object(executor, half, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            session.next_tokens(children)
        check(session, children, reference)  # no block counts as computed that is not
        check(session, [c.extend(5) for c in children], reference)


@program
def number(lm: Any) -> str:
    return sample(lm("a number:", max_tokens=2) & Regex("[0-9]{1,2}"))


def test_evidence_equals_that_of_transformers(stock: TransformersEngine, engine: VLLMEngine) -> None:
    ours, theirs = infer(number(engine), Enumerate()), infer(number(stock), Enumerate())
    assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=TOLERANCE)


def test_the_same_seed_gives_the_same_posterior(roomy: VLLMEngine) -> None:
    @program
    def line() -> str:
        return sample(roomy("once upon a time, " * 4, max_tokens=12) & Regex("[ -~]*"))

    first, second = (infer(line(), SMC(particles=6), seed=4) for _ in range(2))
    assert first.log_evidence == second.log_evidence
    assert first.top() == second.top()


def test_load_shares_engines_in_use_and_says_what_it_cannot_do(source: Path) -> None:
    with patch("inference.engines.vllm_core.KV_BYTES", 100 * BLOCK_BYTES):
        engine = load(source, engine="vllm")
    assert isinstance(engine, VLLMEngine)
    assert load(source, engine="vllm") is engine
    assert load(source) is not engine
    with pytest.raises(InvalidArgument, match="built for"):
        load(source, engine="vllm", device="cpu")
    with pytest.raises(InvalidArgument, match="double precision"):
        load(source, engine="vllm", dtype="float64")


def test_a_directory_that_vllm_cannot_run_is_refused(tmp_path: Path) -> None:
    hf.BertConfig(hidden_size=32, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises((ModelDamaged, UnsupportedModel)):
        load(tmp_path, engine="vllm")
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        load(tmp_path / "..", engine="vllm")


def test_other_versions_are_refused(source: Path) -> None:
    with patch("vllm.__version__", "0.31.4"), pytest.raises(UnsupportedVersion, match=r"0\.31\.4.*0\.32"):
        load(source, engine="vllm")


def test_other_inner_workings_are_refused(roomy: VLLMEngine) -> None:
    core = roomy.batch._core
    fake = SimpleNamespace(
        model_executor=core.model_executor, scheduler=core.scheduler, batch_queue=[object()]
    )
    with pytest.raises(UnsupportedVersion, match="batch_queue"):
        check_runner(fake)
    with pytest.raises(UnsupportedVersion, match="driver_worker"):
        check_runner(SimpleNamespace(model_executor=object()))


def test_weights_go_when_the_engine_goes(source: Path) -> None:
    engine = opened(source)
    runner = engine.batch._runner
    assert runner.model is not None
    del engine
    gc.collect()
    assert runner.model is None


@pytest.mark.model
def test_smollm2_equals_that_of_transformers() -> None:
    lm, stock = load("smollm2", engine="vllm"), load("smollm2")
    assert lm.vocabulary.tokens == stock.vocabulary.tokens
    assert lm.vocabulary.eos == stock.vocabulary.eos
    assert lm.encode_chat([{"role": "user", "content": "Hi"}]) == stock.encode_chat(
        [{"role": "user", "content": "Hi"}]
    )
    rng = random.Random(0)
    contexts = [Context(lm.encode_prompt("The capital of France is a city that " * 4))] * 4
    with lm.session() as ours, stock.session() as theirs:
        for _ in range(12):
            answer, expected = ours.next_tokens(contexts), theirs.next_tokens(contexts)
            assert agree(answer.logprobs[answer.rows], expected.logprobs[expected.rows])
            likely = expected.logprobs[expected.rows].topk(3).indices.tolist()
            contexts = [c.extend(rng.choice(tokens)) for c, tokens in zip(contexts, likely, strict=True)]

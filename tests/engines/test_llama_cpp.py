"""Engine llama.cpp: each row is the model's own answer to its context alone, whatever was asked before."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import SMC, infer, load
from inference.engines.base import Context
from inference.engines.errors import (
    ModelDamaged,
    ModelNotFound,
    PromptTooLong,
    SessionClosed,
    UnsupportedModel,
)
from inference.engines.transformers import TransformersEngine
from ppl import program, sample
from ppl.errors import InvalidArgument
from tests.engines import tokenizers_built as built
from tests.engines.conftest import SMALL, tiny
from tests.engines.test_random_access import PROMPTS, Pick, questions, rebuild
from tests.engines.test_session import Reference, words

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from inference.engines import llama_cpp_cells, llama_cpp_population, llama_cpp_session
from inference.engines.llama_cpp import LlamaCppEngine
from inference.engines.llama_cpp_model import LlamaModel
from tests.engines import gguf_built

GELU = 1e-2
"""llama.cpp reads the activations of Gemma from a table in float16, so small differences jump."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    return gguf_built.write(folder / "tiny.gguf", tiny("llama").forward.model, built.byte_level())


@pytest.fixture(scope="module")
def llama(file: Path) -> LlamaCppEngine:
    engine = load(file)
    assert isinstance(engine, LlamaCppEngine)
    return engine


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(tiny("llama"))


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaCppEngine, TransformersEngine]:
    """Gemma 3 whose layers all look through a window of 6 tokens, in llama.cpp and in transformers."""
    config = hf.Gemma3TextConfig(
        **SMALL, sliding_window=6, layer_types=["sliding_attention"] * 3, query_pre_attn_scalar=8
    )
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    file = tmp_path_factory.mktemp("gemma") / "tiny.gguf"
    gguf_built.write(file, model, built.byte_level())
    engine = LlamaCppEngine(LlamaModel(file, "gemma"), built.byte_level(), name="gemma")
    return engine, TransformersEngine(model, built.byte_level(), name="gemma")


class Alone:
    """An engine asked for one context at a time, in a fresh session each."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine = engine
        self.known: dict[tuple[int, ...], torch.Tensor] = {}

    def __call__(self, ids: tuple[int, ...]) -> torch.Tensor:
        if ids not in self.known:
            with self.engine.session() as session:
                self.known[ids] = session.next_tokens([Context(ids)]).logprobs[0]
        return self.known[ids]


@pytest.fixture(scope="module")
def windowed_alone(windowed: tuple[LlamaCppEngine, TransformersEngine]) -> Alone:
    return Alone(windowed[0])


def check(session, contexts: Sequence[Context], alone, tolerance: float = 1e-4) -> None:
    answer = session.next_tokens(contexts)
    assert len(answer.rows) == len(contexts)
    for context, row in zip(contexts, answer.rows, strict=True):
        assert near(answer.logprobs[row], alone(context.prompt + context.generated()), tolerance)


def near(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    finite = torch.isfinite(b)
    return torch.equal(finite, torch.isfinite(a)) and bool((a - b)[finite].abs().max() < tolerance)


# The same numbers as transformers


def test_vocabulary_and_ends_are_those_of_transformers(llama: LlamaCppEngine) -> None:
    other = tiny("llama")
    assert llama.vocabulary.tokens == other.vocabulary.tokens
    assert llama.vocabulary.eos == other.vocabulary.eos == {0}
    assert llama.context_length == 128
    for text in ("the quick brown fox", " naïve\n", "a<tool>b<|end|>"):
        assert llama.encode(text) == other.encode(text)
        assert llama.encode_prompt(text) == other.encode_prompt(text)


def test_a_prompt_begins_as_the_file_says(tmp_path: Path) -> None:
    begun = gguf_built.write(tmp_path / "b.gguf", tiny("llama").forward.model, built.byte_level(), bos=True)
    engine = load(begun)
    assert engine.encode_prompt("the") == (1, *engine.encode("the"))
    assert engine.encode_prompt("") == (1,)
    assert engine.encode("the")[0] != 1


def test_one_context_at_a_time(llama: LlamaCppEngine, reference: Reference) -> None:
    for n in (1, 2, 17, 128):
        with llama.session() as session:
            check(session, [Context(words(random.Random(n), n))], reference)


def test_a_model_with_windows(windowed: tuple[LlamaCppEngine, TransformersEngine]) -> None:
    engine, other = windowed
    ids, reference = words(random.Random(0), 40), Reference(other)
    for n in (1, 5, 40):
        assert near(Alone(engine)(ids[:n]), reference(ids[:n]), GELU)


# Any order of questions


@pytest.mark.parametrize("kind", ["llama", "windowed"])
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(asked=st.lists(questions, min_size=6, max_size=24))
def test_every_row_is_the_answer_to_its_context_alone(
    kind: str, asked: list[tuple[bool, list[Pick]]], request: pytest.FixtureRequest
) -> None:
    if kind == "llama":
        engine, alone = request.getfixturevalue("llama"), request.getfixturevalue("reference")
    else:
        engine, alone = request.getfixturevalue("windowed")[0], request.getfixturevalue("windowed_alone")
    tolerance = 1e-4 if kind == "llama" else GELU
    pool = [Context(prompt) for prompt in PROMPTS]
    with engine.session() as one, engine.session() as other:
        for which, chosen in asked:
            contexts = []
            for pick in chosen:
                context = pool[-1 - pick.back % len(pool)]
                context = rebuild(context) if pick.rebuilt else context
                contexts.append(context if pick.token is None else context.extend(pick.token))
            check(one if which else other, contexts, alone, tolerance)
            pool += contexts


@pytest.mark.parametrize("seed", range(3))
def test_random_walk_of_a_population(seed: int, llama: LlamaCppEngine, reference: Reference) -> None:
    rng = random.Random(seed)
    prompts = [words(rng, n) for n in (3, 9, 17)]
    with llama.session() as session:
        contexts = [Context(rng.choice(prompts)) for _ in range(8)]
        for _ in range(20):
            check(session, contexts, reference)
            if rng.random() < 0.4:  # resampling
                contexts = [rng.choice(contexts) for _ in contexts]
            if rng.random() < 0.2:  # scores of texts in between
                requests = [(rng.choice(prompts), words(rng, n)) for n in (0, 1, 4)]
                check_along(session, requests, reference)
            contexts = [c if rng.random() < 0.15 else c.extend(rng.choice((5, 6, 7))) for c in contexts]
            if rng.random() < 0.3:
                contexts.append(Context(words(rng, rng.randrange(1, 25))))


def check_along(session, requests, alone) -> None:
    for (prompt, continuation), answer in zip(requests, session.along(requests), strict=True):
        assert len(answer) == len(continuation) + 1
        for i, row in enumerate(answer):
            assert near(row, alone(prompt + continuation[:i]))


def test_along(llama: LlamaCppEngine, reference: Reference) -> None:
    rng = random.Random(1)
    shared = words(rng, 6)
    requests = [(shared, words(rng, n)) for n in (0, 1, 5)] + [(words(rng, 3), words(rng, 4))]
    requests += [requests[2], (shared[:2], shared[2:])]
    with llama.session() as session:
        check_along(session, requests, reference)
        assert session.usage.prompt_tokens == 6 + 3
        check_along(session, requests, reference)
    with llama.session() as session:
        check(session, [Context(shared).extend(9)], reference)
        with patch.object(llama_cpp_population, "BATCH_LOGITS", 900):  # three rows at a time
            check_along(session, requests, reference)
        check(session, [Context(shared).extend(9).extend(8)], reference)


# Limits


def test_memory_grows_with_texts_and_with_contexts(llama: LlamaCppEngine, reference: Reference) -> None:
    rng, root = random.Random(0), Context((5, 6, 7))
    with (
        patch.object(llama_cpp_cells, "_CELLS", 256),
        patch.object(llama_cpp_cells, "_SEQUENCES", 4),
        llama.session() as session,
    ):
        contexts = [root.extend(t) for t in range(2, 42)]
        for _ in range(10):
            check(session, contexts, reference)
            contexts = [c.extend(rng.randrange(2, 280)) for c in contexts]
        cells = session._populations[0]._cells
        assert cells._cells == 512
        assert 40 < cells._sequences <= 256
        assert session.usage.prompt_tokens == 3
        assert session.usage.tokens == 40 * 10


def test_more_contexts_than_one_memory_tells_apart(llama: LlamaCppEngine, reference: Reference) -> None:
    rng, root = random.Random(0), Context((5, 6, 7))
    with patch.object(llama_cpp_session, "CROWD", 5), llama.session() as session:
        contexts = [root.extend(t) for t in range(2, 15)]
        for _ in range(6):
            check(session, contexts, reference)
            contexts = [rng.choice(contexts[:4]).extend(rng.randrange(2, 280)) for _ in contexts]
        assert len(session._populations) == 3
    root = Context((5, 6, 7))
    with llama.session() as session:
        session.next_tokens([root])
        check(session, [root.extend(t).extend(v) for t in range(2, 42) for v in range(2, 12)], reference)


def test_longer_batches_than_llama_cpp_takes_at_once(llama: LlamaCppEngine, reference: Reference) -> None:
    rng = random.Random(0)
    contexts = [Context(words(rng, 100)) for _ in range(4)]
    contexts += [rebuild(contexts[0]).extend(t) for t in (5, 6)]
    with llama.session() as session:
        check(session, contexts, reference)
        assert session.usage.calls == 2
        assert (session.usage.prompt_tokens, session.usage.tokens) == (400, 2)


def test_too_long_is_refused(llama: LlamaCppEngine) -> None:
    with llama.session() as session:
        with pytest.raises(PromptTooLong, match=r"129 tokens.*128 tokens"):
            session.next_tokens([Context((5,) * 129)])
        with pytest.raises(PromptTooLong):
            session.along([((5,) * 100, (6,) * 29)])
        assert session.usage.calls == 0
        full = Context((5,) * 128)
        session.next_tokens([full])
        with pytest.raises(PromptTooLong, match="filled"):
            session.next_tokens([full.extend(5)])
        session.next_tokens([full])


# What it costs


def test_a_prompt_is_evaluated_once(llama: LlamaCppEngine) -> None:
    prompt = tuple(range(10, 30))
    with llama.session() as session:
        answer = session.next_tokens([Context(prompt) for _ in range(8)])
        assert answer.logprobs.shape[0] == 1
        assert (session.usage.calls, session.usage.prompt_tokens, session.usage.tokens) == (1, 20, 0)
        session.next_tokens([Context((9, 9))])
        again = session.next_tokens([Context(prompt)]).logprobs
        assert (session.usage.calls, session.usage.prompt_tokens) == (2, 22)
        assert torch.equal(answer.logprobs, again)
        session.next_tokens([Context((*prompt, 40)), Context((*prompt[:10], 50))])  # share what they can
        assert (session.usage.calls, session.usage.prompt_tokens) == (3, 24)


def test_equal_contexts_are_evaluated_once_and_kept_ones_not_again(llama: LlamaCppEngine) -> None:
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
        assert (session.usage.calls, session.usage.tokens) == (calls + 1, 4)


def test_contexts_that_left_give_their_cells_back(llama: LlamaCppEngine) -> None:
    rng = random.Random(0)
    with patch.object(llama_cpp_cells, "_CELLS", 256), llama.session() as session:
        for _ in range(60):  # 60 times 12 tokens would not fit
            session.next_tokens([Context(words(rng, 9)).extend(5).extend(6).extend(7)])
        assert session._populations[0]._cells._cells == 256


# Mishaps


def test_an_interrupted_call_leaves_a_usable_session(llama: LlamaCppEngine, reference: Reference) -> None:
    parent = Context((5, 6, 7)).extend(8)
    with llama.session() as session:
        session.next_tokens([parent])
        with patch.object(llama, "softmax", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            session.next_tokens([parent.extend(9)])  # which has taken over the sequence of its parent
        check(session, [parent.extend(8), parent.extend(9)], reference)
        check(session, [parent.extend(8).extend(7), parent], reference)


def test_a_closed_session(llama: LlamaCppEngine) -> None:
    session = llama.session()
    session.next_tokens([Context((5,))])
    cells = session._populations[0]._cells
    session.close()
    assert cells._context is None
    with pytest.raises(SessionClosed, match="fresh session"):
        session.next_tokens([Context((5,))])


def test_probabilities_that_are_no_numbers(tmp_path: Path) -> None:
    model = tiny("llama").forward.model
    model.model.norm.weight[3] = torch.nan
    engine = load(gguf_built.write(tmp_path / "nan.gguf", model, built.byte_level()))
    with engine.session() as session, pytest.raises(UnsupportedModel, match="not numbers"):
        session.next_tokens([Context((5, 6))])


# Loading


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PPL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_loaded_and_shared_while_in_use(file: Path, llama: LlamaCppEngine) -> None:
    assert load(file) is llama
    assert load(str(file), engine="llama.cpp", device="cpu") is llama


def test_weights_of_other_types(file: Path, cache: Path, reference: Reference) -> None:
    ids = words(random.Random(0), 20)
    exact = load(file, dtype="float32")
    assert near(Alone(exact)(ids), reference(ids))
    small = load(file, dtype="q8_0")
    (folder,) = cache.glob("tiny-*-q8_0-*/")
    assert (folder / "model.gguf").stat().st_size < file.stat().st_size
    assert small.model.dtype is torch.float16
    p, q = reference(ids), Alone(small)(ids)
    finite = torch.isfinite(p)
    divergence = float((p.exp() * (p - q))[finite].sum())
    assert 1e-8 < divergence < 1e-2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int4"}, r"'int4' is no type[\s\S]*float32, q8_0"),
        ({"dtype": torch.bfloat16}, "'bfloat16' is no type"),
        ({"engine": "vapour"}, r"'vapour' is unknown[\s\S]*llama\.cpp"),
        ({"engine": "transformers"}, "is a file"),
        ({"device": "meta"}, "cannot be used here"),
        ({"revision": "main"}, "no Hugging Face id"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str, file: Path) -> None:
    with pytest.raises(InvalidArgument, match=message):
        load(file, **arguments)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no GGUF file[\s\S]*smollm2"):
        load(tmp_path / "absent.gguf", engine="llama.cpp")
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 100)
    with pytest.raises(ModelDamaged, match="magic"):
        load(tmp_path / "junk.gguf")


def test_missing_packages_name_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with (
        patch("importlib.util.find_spec", return_value=None),
        pytest.raises(UnsupportedModel, match=r"pip install 'ppl\[llama-cpp\]'"),
    ):
        load(tmp_path / "model.gguf")


def test_positions_that_depend_on_the_memory_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.gguf"
    more = {"rope__scaling__original_context_length": 64}
    gguf_built.write(file, tiny("llama").forward.model, built.byte_level(), **more)
    with pytest.raises(UnsupportedModel, match="positions for long contexts"):
        load(file)


def test_tokens_that_transformers_and_llama_cpp_read_differently(file: Path) -> None:
    with (
        patch.object(LlamaModel, "piece", return_value=b"?"),
        pytest.raises(UnsupportedModel, match=r"token 2 of .* for transformers, b'\?' for llama\.cpp"),
    ):
        LlamaCppEngine(LlamaModel(file, "odd"), built.byte_level(), name="odd")


# Programs


def test_a_program_has_the_posterior_that_it_has_with_transformers(llama: LlamaCppEngine) -> None:
    @program
    def text(lm) -> str:
        return sample(lm("the", max_tokens=4))

    mine, theirs = (infer(text(lm), SMC(particles=32), seed=0) for lm in (llama, tiny("llama")))
    assert [value for value, _, _ in mine] == [value for value, _, _ in theirs]
    assert mine.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-4)


# The embedded model


@pytest.mark.model
def test_the_embedded_model() -> None:
    stock = load("smollm2")
    context = Context(stock.encode_chat([{"role": "user", "content": "What is the capital of France?"}]))
    with stock.session() as session:
        p = session.next_tokens([context]).logprobs[0]
    finite = torch.isfinite(p)
    for dtype, low, high in (("float32", -1e-6, 1e-5), (None, 1e-6, 0.05), ("q8_0", 1e-6, 0.05)):
        lm = load("smollm2", engine="llama.cpp", dtype=dtype)
        assert lm.vocabulary.tokens == stock.vocabulary.tokens
        assert lm.vocabulary.eos == stock.vocabulary.eos
        with lm.session() as session:
            q = session.next_tokens([context]).logprobs[0]
        assert low < float((p.exp() * (p - q))[finite].sum()) < high

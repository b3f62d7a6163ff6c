"""Inside `generate` of transformers: the posterior of `infer`, on the caller's model, which is left as it was."""

import inspect

import pytest
import torch
import transformers as hf

from grammars import Regex
from inference import SMC, BeamSearch, Generated, Importance, WarpedLM, infer, infer_many, load, ppl_generate
from inference.drawing import draw
from inference.engines.transformers import TransformersEngine
from inference.errors import NoSurvivors
from ppl import InvalidArgument, program, sample
from ppl.rng import Rng, drawing_seed
from ppl.targets import Text
from tests.engines.conftest import CONFIGS, random_weights
from tests.engines.tokenizers_built import byte_level

TOKENIZER = byte_level()
TOKENIZER.pad_token = TOKENIZER.eos_token
SEVERAL = {"do_sample": True, "top_k": 0}
WORD = Regex("[a-z ]{1,6}")


@pytest.fixture(scope="module")
def model():
    return random_weights(CONFIGS["llama"](), "tiny").forward.model


@program
def text(target):
    return sample(target)


def target(lm, prompt, limit, constraint=None, stop=()):
    written = Text(lm, tuple(prompt), "", stop, limit)
    return text(written if constraint is None else written & constraint)


def inputs(*texts):
    given = TOKENIZER(list(texts), return_tensors="pt", padding=True, padding_side="left")
    return {name: given[name] for name in ("input_ids", "attention_mask")}


def same(posterior, other, tolerance=0.0):
    assert posterior.log_evidence == pytest.approx(other.log_evidence, abs=tolerance, rel=0.0)
    assert [s.value for s in posterior.samples] == [s.value for s in other.samples]
    weights = [s.log_weight for s in other.samples]
    assert [s.log_weight for s in posterior.samples] == pytest.approx(weights, abs=tolerance, rel=0.0)


def test_one_prompt_is_what_infer_gives(model):
    given, generate = inputs("the cat"), ppl_generate(WORD, SMC(6), tokenizer=TOKENIZER, seed=4)
    options = {"custom_generate": generate, "max_new_tokens": 5, "num_return_sequences": 3, **SEVERAL}
    out = model.generate(**given, **options, return_dict_in_generate=True)
    assert isinstance(out, Generated)
    lm = TransformersEngine(model, TOKENIZER, name="same")
    posterior = infer(target(lm, given["input_ids"][0].tolist(), 5, WORD), SMC(6), seed=4)
    same(out.posteriors[0], posterior)
    assert out.log_evidence.tolist() == [posterior.log_evidence]
    assert out.weights[0].tolist() == posterior.weights.tolist()
    for tokens, drawn in zip(out.samples[0], posterior.samples, strict=True):
        assert TOKENIZER.decode(tokens, skip_special_tokens=True) == drawn.value
    chosen = draw(posterior.weights, 3, Rng(drawing_seed(4)))
    width = given["input_ids"].shape[1]
    assert torch.equal(out.sequences[:, :width], given["input_ids"].expand(3, -1))
    texts = [TOKENIZER.decode(row[width:], skip_special_tokens=True) for row in out.sequences]
    assert texts == [posterior.samples[i].value for i in chosen]
    assert torch.equal(out.sequences, model.generate(**given, **options))


def test_several_prompts_are_what_infer_many_gives(model):
    given = inputs("the cat", "a", "the dog is")
    generate = ppl_generate(WORD, SMC(4), tokenizer=TOKENIZER, seed=2)
    out = model.generate(**given, custom_generate=generate, max_new_tokens=4, return_dict_in_generate=True,
                         num_return_sequences=2, **SEVERAL)  # fmt: skip
    assert out.sequences.shape[0] == 6
    lm = TransformersEngine(model, TOKENIZER, name="same")
    prompts = [
        row[mask.bool()].tolist()
        for row, mask in zip(given["input_ids"], given["attention_mask"], strict=True)
    ]
    expected = infer_many([target(lm, p, 4, WORD) for p in prompts], SMC(4), seed=2)
    for posterior, other in zip(out.posteriors, expected, strict=True):
        assert posterior.log_evidence == pytest.approx(other.log_evidence, abs=1e-4)
        assert [s.value for s in posterior.samples] == [s.value for s in other.samples]


def test_a_free_text_ends_after_max_new_tokens(model):
    given = inputs("ab")
    generate = ppl_generate(None, Importance(5), tokenizer=TOKENIZER, temperature=0.7, top_p=0.9)
    out = model.generate(**given, custom_generate=generate, max_new_tokens=4, return_dict_in_generate=True)
    lm = WarpedLM(TransformersEngine(model, TOKENIZER, name="same"), temperature=0.7, top_p=0.9, length=4)
    same(out.posteriors[0], infer(target(lm, given["input_ids"][0].tolist(), 4), Importance(5)))
    assert out.log_evidence.item() == pytest.approx(0.0, abs=1e-5)
    assert out.samples[0].shape[1] <= 5
    assert out.sequences.shape[1] <= given["input_ids"].shape[1] + 4 or (out.sequences[:, -1] == 0).all()


def test_stop_strings_end_the_text(model):
    given = inputs("ab")
    generate = ppl_generate(Regex("[a-z ]*"), SMC(8), tokenizer=TOKENIZER, stop=["!", "?"])
    out = model.generate(**given, custom_generate=generate, max_new_tokens=6, return_dict_in_generate=True)
    lm = TransformersEngine(model, TOKENIZER, name="same")
    other = infer(target(lm, given["input_ids"][0].tolist(), 6, Regex("[a-z ]*"), ("!", "?")), SMC(8))
    same(out.posteriors[0], other)


def test_the_model_is_left_as_it_was(model):
    given, generate = inputs("ab"), ppl_generate(WORD, SMC(4), tokenizer=TOKENIZER)
    model.requires_grad_(True)
    frozen = next(iter(model.parameters()))
    frozen.requires_grad_(False)
    model.train()
    module = list(model.modules())[3].eval()
    try:
        for _ in range(2):
            model.generate(**given, custom_generate=generate, max_new_tokens=4)
            assert model.training
            assert not module.training
            assert [p.requires_grad for p in model.parameters()] == [
                p is not frozen for p in model.parameters()
            ]
        loss = model(**given, labels=given["input_ids"]).loss
        loss.backward()
    finally:
        model.eval().requires_grad_(False)


def test_weights_that_were_trained_in_between_count(model):
    given, generate = inputs("the cat"), ppl_generate(WORD, SMC(4), tokenizer=TOKENIZER)
    options = {"custom_generate": generate, "max_new_tokens": 4, "return_dict_in_generate": True}
    before = model.generate(**given, **options)
    table = model.get_input_embeddings().weight
    saved = table.detach().clone()
    with torch.no_grad():
        table += torch.randn_like(table) * 0.1
    try:
        after = model.generate(**given, **options)
        lm = TransformersEngine(model, TOKENIZER, name="same")
        same(after.posteriors[0], infer(target(lm, given["input_ids"][0].tolist(), 4, WORD), SMC(4)))
        assert after.log_evidence != before.log_evidence
    finally:
        with torch.no_grad():
            table.copy_(saved)


class Never(hf.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"do_sample": True, "temperature": 0.5}, "TemperatureLogitsWarper"),
        ({"do_sample": True, "top_k": 5}, "TopKLogitsWarper"),
        ({"repetition_penalty": 1.3}, "RepetitionPenalty"),
        ({"num_beams": 2}, "num_beams=2"),
        ({"stopping_criteria": [Never()]}, "Never"),
        ({"output_scores": True, "return_dict_in_generate": True}, "output_scores"),
        ({"eos_token_id": 7}, "eos_token_id=7"),
    ],
)
def test_what_is_no_part_of_the_posterior_is_refused(model, options, said):
    generate = ppl_generate(WORD, tokenizer=TOKENIZER)
    with pytest.raises(InvalidArgument, match=said):
        model.generate(**inputs("ab"), custom_generate=generate, max_new_tokens=4, **options)


def test_a_beginning_that_no_text_spells_is_refused(model):
    renamed = "cache" in inspect.signature(model.forward).parameters  # since transformers 5.24
    given, cache = inputs("ab"), hf.DynamicCache()
    begun = {"cache" if renamed else "past_key_values": cache}
    with torch.inference_mode():
        model(**given, **begun, use_cache=True)
    longer = {name: torch.cat([part, part[:, -1:]], dim=1) for name, part in given.items()}
    generate = ppl_generate(WORD, tokenizer=TOKENIZER)
    with pytest.raises(InvalidArgument, match="begins with embeddings or a cache"):
        model.generate(**longer, **begun, custom_generate=generate, max_new_tokens=4)


def test_no_survivors_are_an_error(model):
    generate = ppl_generate(Regex("[a-z]{40}"), SMC(2), tokenizer=TOKENIZER)
    with pytest.raises(NoSurvivors):
        model.generate(**inputs("ab"), custom_generate=generate, max_new_tokens=3)


def test_a_search_is_a_method_like_others(model):
    generate = ppl_generate(WORD, BeamSearch(3), tokenizer=TOKENIZER)
    out = model.generate(
        **inputs("ab"), custom_generate=generate, max_new_tokens=4, return_dict_in_generate=True
    )
    assert len(out.weights[0]) == 3


@pytest.mark.model
def test_the_embedded_model_gives_the_texts_and_weights_of_infer():
    lm = load("smollm2")
    model, tokenizer = lm.forward.model, lm._tokenizer
    given = tokenizer("The capital of France is", return_tensors="pt")
    constraint, method = Regex(r" [A-Z][a-z]{2,9}"), SMC(8)
    generate = ppl_generate(constraint, method, tokenizer=tokenizer, seed=3, stop=".")
    out = model.generate(**given, custom_generate=generate, max_new_tokens=6, return_dict_in_generate=True)
    written = lm("The capital of France is", max_tokens=6, stop=".") & constraint
    same(out.posteriors[0], infer(text(written), method, seed=3), tolerance=1e-3)

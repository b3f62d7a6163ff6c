"""Denoisers: transformers' masked language models, and the one that is trained here."""

import math

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from inference import SMC, Importance, TrainedMDM, infer, load_mdm
from inference.engines.errors import ModelDamaged, ModelNotFound, PromptTooLong, UnsupportedModel
from ppl import InvalidArgument, potential, program, sample

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran"]


@program
def drawn(target):
    return sample(target)


@pytest.fixture
def saved(tmp_path):
    """A tiny BERT with random weights."""
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=words, mask_token="[MASK]", **special)
    config = hf.BertConfig(
        vocab_size=12,  # two rows more than there are words
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        initializer_range=0.7,
    )
    hf.BertForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_bert_fills_blanks(saved):
    mdm = load_mdm(saved)
    target = mdm.infill("the ___ sat ___", order="confident")
    assert target.template == (2, 5, 4, 8, 4, 3)
    posterior = infer(drawn(target**2), SMC(16), seed=0)
    for text, _ in posterior.top(16):
        words = text.split()
        assert (words[0], words[2], len(words)) == ("the", "sat", 4)
        assert not any(word.startswith("[") for word in words)
    logprobs = mdm.denoise([target.template], [2, 4])
    assert logprobs.exp().sum(dim=-1).numpy() == pytest.approx(1.0, abs=1e-6)
    assert torch.isneginf(logprobs[..., [0, 1, 2, 3, 4, 10, 11]]).all()
    continued = infer(drawn(mdm("the cat", length=2)), Importance(4)).top(1)[0][0]
    assert len(continued.split()) == 2


def test_batches_are_as_single_sequences(saved):
    mdm = load_mdm(saved)
    sequences = [mdm.infill(f"the {word} ___ ___").template for word in ("cat", "dog", "ran")]
    together = mdm.denoise(sequences, [3, 4])
    for sequence, rows in zip(sequences, together, strict=True):
        torch.testing.assert_close(mdm.denoise([sequence], [3, 4])[0], rows, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_loaded(saved, tmp_path):
    with pytest.raises(PromptTooLong, match="12 tokens"):
        load_mdm(saved)(length=20)
    with pytest.raises(ModelNotFound):
        load_mdm(tmp_path / "nothing")
    headless = tmp_path / "headless"
    hf.BertModel.from_pretrained(saved).save_pretrained(headless)
    hf.AutoTokenizer.from_pretrained(saved).save_pretrained(headless)
    with pytest.raises(ModelDamaged, match="head"):
        load_mdm(headless)
    gpt = tmp_path / "gpt"
    hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=12, n_embd=8, n_layer=1, n_head=1)).save_pretrained(gpt)
    hf.AutoTokenizer.from_pretrained(saved).save_pretrained(gpt)
    with pytest.raises(UnsupportedModel, match="no masked"):
        load_mdm(gpt)


@pytest.fixture(scope="module")
def trained():
    """A denoiser of the texts aXbX with two equal letters X, and of the empty text."""
    losses = []
    texts = ["axbx", "aybydd", "azbz", ""] * 8
    mdm = TrainedMDM.train(
        texts, steps=400, width=32, layers=2, heads=2, batch=32, report=lambda step, loss: losses.append(loss)
    )
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    return mdm


def test_training_learns_the_texts(trained):
    posterior = infer(drawn(trained(length=trained.length)), Importance(200), seed=0)
    for text in ("axbx", "aybydd", "azbz", ""):
        assert posterior.probability(lambda v, text=text: v == text) == pytest.approx(0.25, abs=0.12)
    rewarded = trained(length=trained.length) * potential(lambda text: 3.0 * text.count("z"), at="token")
    assert infer(drawn(rewarded), SMC(64), seed=0).probability(lambda v: v == "azbz") > 0.9
    sharp = infer(drawn(trained("ay", length=5) ** 2), SMC(32), seed=0)
    assert sharp.top(1)[0][0] == "bydd"


def test_a_saved_denoiser_is_the_same(trained, tmp_path):
    trained.save(tmp_path / "mdm")
    again = TrainedMDM.load(tmp_path / "mdm")
    template = trained(length=trained.length).template
    assert torch.equal(again.denoise([template], [0, 1]), trained.denoise([template], [0, 1]))
    with pytest.raises(ModelNotFound, match="train one"):
        TrainedMDM.load(tmp_path / "nothing")


def test_training_is_reproducible_and_leaves_torch_alone():
    before = torch.get_rng_state()
    a, b = (TrainedMDM.train(["ab", "b"], steps=3, width=8, layers=1, heads=1) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(a.network.place, b.network.place)
    assert math.isfinite(float(a.network.place.detach().sum()))


def test_what_cannot_be_trained_or_filled(trained):
    for make, message in [
        (lambda: TrainedMDM.train([]), "no text"),
        (lambda: TrainedMDM.train(["ab"], pattern="a"), "does not cut"),
        (lambda: trained("q", length=1), "unknown token"),
        (lambda: trained(length=50), "knows sequences of 7"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            make()

"""Sequence classifiers as potentials."""

import math

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

from inference import SMC, Enumerate, TableLM, classifier, infer
from inference.engines.errors import ModelDamaged, ModelNotFound
from ppl import InvalidArgument, potential, program, sample

LM = TableLM.random(["good ", "bad ", "so "], seed=2)


def saved(path, labels):
    """Save a tiny classifier with random weights."""
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3, "so": 4}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", model_max_length=16)
    config = hf.BertConfig(
        vocab_size=5,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        initializer_range=0.9,
        pad_token_id=0,
    )
    hf.BertForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@program
def rated(reward, at):
    return sample(LM("x", max_tokens=2) * potential(reward, at=at, batched=True))


def test_the_label_weighs_texts(tmp_path):
    reward = classifier(saved(tmp_path, ["NEGATIVE", "POSITIVE"]), "POSITIVE")
    texts = ["good ", "so bad ", ""]
    alone = [reward([text])[0] for text in texts]
    assert reward(texts) == pytest.approx(alone, abs=1e-5)  # padding changes nothing
    both = math.exp(reward(["bad "])[0]) + math.exp(classifier(tmp_path, "NEGATIVE")(["bad "])[0])
    assert both == pytest.approx(1.0)
    exact = infer(rated(reward, "end"), Enumerate())
    plain = infer(rated(lambda batch: [0.0] * len(batch), "end"), Enumerate())
    for text, probability in plain.top(20):
        expected = probability * math.exp(plain.log_evidence - exact.log_evidence + reward([text])[0])
        assert exact.probability(lambda v, text=text: v == text) == pytest.approx(expected, abs=1e-5)
    assert infer(rated(reward, "word"), SMC(8), seed=0).log_evidence == pytest.approx(
        exact.log_evidence, abs=1
    )
    assert "POSITIVE" in str(rated(reward, "word").explain())


def test_one_output_is_a_score(tmp_path):
    reward = classifier(saved(tmp_path, ["reward"]))
    assert len({round(value, 6) for value in reward(["good", "bad", "so"])}) == 3
    assert len(reward(["good " * 40] * 100)) == 100  # cut, and in batches


def test_a_decoder_without_padding(tmp_path):
    saved(tmp_path, ["a", "b"])
    config = hf.GPT2Config(vocab_size=5, n_embd=16, n_layer=1, n_head=2, n_positions=16, num_labels=2)
    hf.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    words = hf.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    hf.PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, eos_token="[PAD]", model_max_length=16
    ).save_pretrained(tmp_path)
    reward = classifier(tmp_path, "LABEL_1")
    texts = ["good so so", "bad"]
    assert reward(texts) == pytest.approx([reward([text])[0] for text in texts], abs=1e-5)


def test_what_cannot_be_loaded(tmp_path):
    path = saved(tmp_path / "two", ["NEGATIVE", "POSITIVE"])
    with pytest.raises(InvalidArgument, match="NEGATIVE, POSITIVE"):
        classifier(path)
    with pytest.raises(InvalidArgument, match="no label 'positive'"):
        classifier(path, "positive")
    with pytest.raises(ModelNotFound):
        classifier(tmp_path / "nothing")
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound):
        classifier(path, "POSITIVE")
    headless = hf.BertModel.from_pretrained(saved(tmp_path / "three", ["a", "b"]))
    headless.save_pretrained(tmp_path / "headless")
    hf.AutoTokenizer.from_pretrained(tmp_path / "three").save_pretrained(tmp_path / "headless")
    with pytest.raises(ModelDamaged, match="head"):
        classifier(tmp_path / "headless", "LABEL_0")

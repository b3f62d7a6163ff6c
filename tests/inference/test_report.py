"""The report: its data, what is escaped, and the page in a browser where there is one."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from grammars import Choice, Regex, prefix_predicate
from inference import (
    SMC,
    Enumerate,
    Importance,
    LocallyConstrained,
    Posterior,
    Rejection,
    TableLM,
    TemperedSMC,
    infer,
)
from inference.html.data import data
from inference.html.page import embedded
from inference.html.text import shown
from ppl import Categorical, condition, factor, program, sample

LM = TableLM.random(["a", "b", "ab"], seed=1)
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<!--<script>",
    "]]><img src=x onerror='window.hacked=3'>",
    "&lt;b&gt;&amp;",
    "line\u2028separator\u2029paragraph",
    "nul\x00bell\x07escape\x1b[31m tab\t return\r newline\n next\x85",
    "\u202eright to left override\u202c \u2066isolate\u2069",
    "שלום עולם مرحبا",
    "zero\u200bwidth\ufeff",
    "family 👩\u200d👩\u200d👧 e\u0301",
    "<!--data--><!--script--><!--style--><!--policy-->",
    "${window.hacked=4} `backtick` \\u003c {{x}}",
    "replacement \ufffd",
]


HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b\ufeff\ud800-\udfff]")


@program
def hostile():
    value = sample(Categorical([*HOSTILE, "lone \ud800 surrogate"]))
    text = sample(HOSTILE_LM("", max_tokens=2))
    return value, text


HOSTILE_LM = TableLM([*HOSTILE, b"\xf0\x9f", b"\x91\xa9", b"\xff"], lambda prompt, ids: np.full(18, 1 / 18))


@prefix_predicate
def no_aa(text):
    return "aa" not in text


@program
def two_texts():
    first = sample(LM("x", max_tokens=4) & Regex("(a|b)+"), name="first")
    factor(-0.3 * len(first))
    second = sample(LM(first, max_tokens=3) & no_aa, name="second")
    condition(first != second)
    return first, second


@program
def never():
    condition(sample(LM("<script>", max_tokens=1) & Choice(["a"])) == "no </script> such text")


def run(model, method=None, **kwargs):
    return infer(model, method or SMC(24, 1.0), seed=1, record=True, **kwargs)


class Page(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.links, self._in = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        self._in = tag == "script"
        if self._in:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = False

    def handle_data(self, text):
        if self._in:
            self.scripts[-1] += text


def test_the_page_is_one_file_whose_data_can_be_read_back():
    posterior = run(hostile(), Importance(200))
    text = posterior.to_html()
    text.encode("utf-8")
    page = Page(text)
    assert page.links == []
    assert page.tags.count("script") == 2
    assert page.tags == Page(run(two_texts()).to_html()).tags, "texts make no elements"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "<!--" not in text
    block = page.scripts[0]
    assert block.isascii()
    assert not set("<>&") & set(block)
    assert json.loads(block) == json.loads(json.dumps(data(posterior)))


def test_embedded_json_is_json():
    values = [*HOSTILE, "lone \ud800", {"</script>": None}, 1.5, -3]
    assert json.loads(embedded(values)) == values
    with pytest.raises(ValueError, match="JSON"):
        embedded(float("nan"))


@pytest.mark.parametrize("text", HOSTILE)
def test_shown_texts_hide_nothing(text):
    assert not HIDDEN.search(shown(text))


def test_shown_texts_keep_what_prints():
    plain = "family 👩\u200d👩\u200d👧 e\u0301 שלום <b>"
    assert shown(plain) == plain
    assert shown("a\n\t\x00\u202e\ud800\U000e0001") == "a\\n\\t\\x00\\u202e\\ud800\\U000e0001"


def test_notebooks_get_a_short_table_and_a_frame():
    posterior = run(hostile(), Importance(50))
    table = posterior._repr_html_()
    assert set(Page(table).tags) == {
        "div",
        "p",
        "b",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
    }
    assert "\u202e" not in table
    assert f"log evidence {posterior.log_evidence:.4f}, ESS {posterior.ess:.1f} of 50 samples" in table
    assert "more values" in table
    frame = posterior.report()._repr_html_()
    assert Page(frame).tags == ["iframe"]
    assert "no survivors" in infer(never())._repr_html_()


def test_a_report_is_written_where_it_is_asked_for(tmp_path):
    posterior = run(two_texts())
    report = posterior.report(tmp_path / "run.html")
    assert (tmp_path / "run.html").read_text("utf-8") == report.html == posterior.to_html()
    assert posterior.report().save(tmp_path / "again.html").read_text("utf-8") == report.html


def test_the_page_of_a_posterior_that_was_kept_is_the_same():
    posterior = run(two_texts())
    again = Posterior.from_json(posterior.to_json())
    ours, theirs = data(posterior), data(again)
    assert [p for _, p in ours.pop("values")] == [p for _, p in theirs.pop("values")]
    assert json.dumps(ours) == json.dumps(theirs)


def test_rows_are_the_lineages():
    posterior = run(two_texts(), SMC(24, 1.0))
    record, page = posterior.record, data(posterior)["record"]
    rows = page["rows"]
    assert sum(rows["weight"]) == pytest.approx(1.0, abs=1e-4)
    assert rows["weight"] == sorted(rows["weight"], reverse=True)
    assert len(rows["tip"]) == len(posterior) + len(rows["dead"]) + rows["dropped"]
    assert set(rows["tip"]) == set(record.leaves.tolist()) | set(record.tips)
    assert rows["dropped"] == len(record.dropped) > 0
    ends = [int(record.ticks[tip]) for tip in rows["tip"][len(posterior) :]]
    dead = len(rows["dead"])
    assert ends == sorted(ends[:dead], reverse=True) + sorted(ends[dead:], reverse=True)
    assert len(set(ends[dead:])) > 1
    ranked = [value for value, _ in posterior.top(1000)]
    best = np.argsort(-posterior.weights, kind="stable")
    assert [ranked[rank] for rank in rows["value"]] == [posterior.samples[i].value for i in best]
    parents = [k - step if step else -1 for k, step in enumerate(page["parent"])]
    assert parents == record.parents.tolist()


def test_places_of_samples_lead_back_to_their_moves():
    posterior = run(two_texts(), SMC(24, 1.0))
    record, page = posterior.record, data(posterior)["record"]
    assert page["aligned"]
    assert len(set(page["rows"]["lane"])) == len(posterior)
    for tip, lane in zip(page["rows"]["tip"], page["rows"]["lane"], strict=False):
        nodes = {int(record.ticks[node]): int(record.lanes[node]) for node in record.path(tip)}
        for tick in range(len(posterior.steps), -1, -1):
            assert nodes.get(tick, lane) == lane
            if tick and posterior.steps[tick - 1].ancestors is not None:
                lane = posterior.steps[tick - 1].ancestors[lane]


@pytest.mark.parametrize(
    "method", [Enumerate(), Rejection(2000, batch=500), TemperedSMC(8), TemperedSMC(8, start=0.5)], ids=repr
)
def test_every_method_has_a_page(method):
    posterior = run(two_texts(), method)
    json.loads(Page(posterior.to_html()).scripts[0])
    json.loads(Page(infer(two_texts(), method).to_html()).scripts[0])


# In a browser.


@pytest.fixture
def show(browser, tmp_path):
    """Return a function that opens the page of a posterior, and fails if it complains or asks for anything."""
    complaints, contexts = [], []

    def open_page(posterior):
        posterior.report(tmp_path / "run.html")
        contexts.append(browser.new_context(offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
        page.goto((tmp_path / "run.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def test_values_and_particles_are_shown(show):
    posterior = run(two_texts())
    page = show(posterior)
    values = page.locator("#values code").all_inner_texts()
    assert values == [repr(value) for value, _ in posterior.top(1000)]
    assert page.locator("#list .row").count() == len(posterior)
    ranked = [value for value, _ in posterior.top(1000)]
    best = np.argsort(-posterior.weights, kind="stable")
    written = page.locator("#list .row .text").all_inner_texts()
    for i, text in zip(best, written, strict=False):
        pieces = re.findall(r"(?:first|second) \(two_texts:\d+\)([ab]*)∎", text.replace("\n", ""))
        assert tuple(pieces) == posterior.samples[i].value
    page.locator("#values button").nth(1).click()
    second = sum(posterior.samples[i].value == ranked[1] for i in best)
    assert page.locator("#list .row").count() == second


def test_hostile_texts_do_nothing_and_are_readable(show):
    page = show(run(hostile(), Importance(300)))
    page.locator("#lines").select_option("0")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img").count() == 0
    texts = "\n".join(page.locator("#values code").all_inner_texts())
    assert "<script>window.hacked = 1</script>" in texts
    assert "\\ud800" in texts
    page.locator("#search").fill("right to left")
    page.wait_for_timeout(200)
    rows = page.locator("#list .row .text").all_inner_texts()
    assert rows
    assert all("⟨U+202E⟩right to left override⟨U+202C⟩" in row or "\\u202e" in row for row in rows)
    page.locator("#search").fill("👩")
    page.wait_for_timeout(200)
    assert any("·👩" in row for row in page.locator("#list .row .text").all_inner_texts())


def test_the_keyboard_reaches_tokens(show):
    posterior = run(two_texts())
    page = show(posterior)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.locator("#list").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator("[aria-selected=true]").count() == 1
    best = np.argsort(-posterior.weights, kind="stable")
    move = posterior.record.moves(best[1])[1]
    described = page.locator("#tip").inner_text()
    assert f"“{move.symbol.data.decode()}”" in described
    assert f"id {move.symbol.token}" in described
    assert f"tick {move.tick}, place {move.lane}" in described
    number = re.search(r"log-probability\s+(\S+)", described)[1].replace("−", "-")
    assert float(number) == pytest.approx(move.log_prob, abs=1e-3)
    number = re.search(r"log-weight\s+(\S+) nats", described)[1].replace("−", "-")
    assert float(number) == pytest.approx(move.log_weight, abs=1e-3)
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_fates_colours_and_the_genealogy(show):
    posterior = run(two_texts())
    page = show(posterior)
    page.locator("#fates button", has_text="dropped").click()
    assert page.locator("#list .row").count() == len(posterior) + len(posterior.record.dropped)
    for mode, hue in (("mass", "cold"), ("weight", "warm"), ("rejected", "violet")):
        page.locator("#colour").select_option(mode)
        assert page.locator(f"#list [class*={hue}]").count() > 0
    canvas = page.locator("#genealogy canvas")
    canvas.focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert page.locator("[aria-selected=true]").count() == 1
    assert "at tick 1" in page.locator("figcaption").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(show, scheme):
    page = show(run(two_texts()))
    ink = "getComputedStyle(document.body).color"
    while page.locator("#theme").inner_text() != f"Theme: {scheme}":
        page.locator("#theme").click()
    dark = page.evaluate(f"Number({ink}.match(/\\d+/)[0]) > 128")
    assert dark == (scheme == "dark")


def test_without_a_record_or_survivors_the_page_says_so(show):
    page = show(infer(two_texts(), SMC(8, 1.0)))
    assert "record=True" in page.locator("#unrecorded").inner_text()
    assert page.locator("#genealogy canvas").is_visible()
    page = show(run(never(), SMC(4)))
    assert "the condition was false" in page.locator("#dead").inner_text()
    assert page.locator("#list .row").count() == 4
    assert page.locator("#list .death").count() == 4


def test_only_rows_near_the_view_have_content(show):
    posterior = run(two_texts(), SMC(600, 0.5))
    page = show(posterior)
    assert page.locator("#list .row").count() == len(posterior) > 500
    assert 10 < page.locator("#list .text").count() < 120
    page.evaluate("document.getElementById('list').scrollTop = 1e9")
    page.wait_for_timeout(200)
    assert page.locator("#list .row").last.locator(".text").count() == 1
    assert page.locator("#list .text").count() < 120


# In a notebook: the same pieces within a page that is not ours.

NOTEBOOK = """<!doctype html><meta charset="utf-8">
<style>td {{ color: rgb(1, 2, 3) }} #list {{ color: rgb(4, 5, 6) }}</style>
<h1 id="list">Cells</h1><table><tr><td id="values">ours</td></tr></table>{cells}"""


def test_pieces_in_a_notebook_keep_to_themselves(browser, tmp_path):
    posterior = run(hostile(), Importance(50))
    cells = [posterior._repr_html_(), posterior.report()._repr_html_()] * 2
    (tmp_path / "notebook.html").write_text(NOTEBOOK.format(cells="<hr>".join(cells)), "utf-8")
    complaints = []
    page = browser.new_context(offline=True).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "notebook.html").as_uri())
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert ids == ["list", "values"], "those of the notebook"
    assert page.locator("script, style:not(head style)").count() == 0
    ink = "element => getComputedStyle(element).color"
    assert page.locator("#values").evaluate(ink) == "rgb(1, 2, 3)"
    assert page.locator("#list").evaluate(ink) == "rgb(4, 5, 6)"
    frames = page.frames[1:]
    assert len(frames) == 2
    for frame in frames:
        frame.locator("#list .row").first.wait_for()
        assert frame.locator("#list .row").count() == len(posterior)
        assert frame.evaluate("window.hacked") is None
    frames[0].locator("#values button").first.click()
    assert frames[0].locator("#list .row").count() < frames[1].locator("#list .row").count()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert "<script>window.hacked = 1</script>" in page.locator("body").inner_text()
    page.context.close()
    assert complaints == []


def test_a_notebook_gets_little():
    """What a cell stores, apart from the moves of a run: tables of bounded length, and the page's own scripts."""
    long = TableLM(["a" * 1000], lambda prompt, ids: [0.5, 0.5])

    @program
    def texts():
        return sample(long("", max_tokens=100))

    assert len(infer(texts(), Importance(40))._repr_html_()) < 10_000
    assert len(infer(two_texts(), SMC(2)).report()._repr_html_()) < 120_000


def test_what_speaks_against_a_run_is_on_its_page():
    @program
    def text():
        return sample(LM("x", max_tokens=2))

    assert data(infer(text(), SMC(32), seed=0))["diagnosis"] is None
    page = data(infer(text(), LocallyConstrained(4), seed=0))["diagnosis"]
    assert page["verdict"] == "use this run with care"
    ((severity, what, advice),) = page["findings"]
    assert severity == "warning"
    assert "another target" in what
    assert advice

"""`ppl check`: the place where a text leaves a language, and what could have come there."""

import json
import re

import pytest

from grammars import Regex
from inference.cli.checking import check


def test_a_match(ppl, schema):
    ran = ppl("check", "json", "--schema", schema, '{"urgency": "low"}')
    assert (ran.code, ran.out) == (0, "matches\n")
    assert ppl("check", "regex", "a?", "").code == 0


@pytest.mark.parametrize(
    ("text", "byte", "found", "expected"),
    [
        ('{"urgency": "hi"}', 15, '"', ['gh"']),
        ('{"urgency": "', 13, "", ['high"', 'low"']),
        ('{"urgency":2}', 11, "2", ["\n", ' "', '"']),
        ('{"urgency":"low","n":1,', 22, ",", ["\n", " }", "}"]),
        ("x", 0, "x", ["{"]),
    ],
)
def test_where_json_leaves_a_schema(ppl, schema, text, byte, found, expected):
    ran = ppl("check", "json", "--schema", schema, "--json", text)
    (verdict,) = ran.rows
    assert ran.code == 1
    assert (verdict["byte"], verdict["character"], verdict["found"]) == (byte, byte, found)
    assert verdict["read"] == text[:byte]
    assert verdict["expected"] == expected
    assert verdict["next_bytes"] == sorted({e.encode()[0] for e in expected})
    assert not verdict["matches"]
    assert not verdict["may_end"]


def test_the_validator_is_quoted(ppl, schema):
    ran = ppl("check", "json", "--schema", schema, '{"urgency": "hi"}')
    assert "$.urgency: 'hi' is not one of ['low', 'high']" in ran.out
    ran = ppl("check", "json", "--schema", schema, '{"urgency": "hi", "urgency": 1}')
    assert "'urgency' is repeated" in ran.out


def test_what_only_the_final_check_refuses(ppl):
    ran = ppl("check", "json", "--schema", '{"type": "array", "uniqueItems": true}', "[1,1]", "--json")
    (verdict,) = ran.rows
    assert (ran.code, verdict["byte"], verdict["expected"], verdict["may_end"]) == (1, 5, [], False)
    assert "non-unique" in verdict["reason"]
    assert verdict["complete"]


def test_offsets_count_bytes_and_characters_and_lines():
    verdict = check(Regex("é\nab+€"), "é\nabbü".encode())
    assert (verdict.byte, verdict.character, verdict.line, verdict.column) == (6, 5, 2, 4)
    assert (verdict.found, verdict.read) == ("ü", "é\nabb")
    assert verdict.expected == ("b", "€")
    half = check(Regex("é"), "è".encode())  # they begin with the same byte
    assert (half.byte, half.character, half.found, half.expected) == (0, 0, "è", ("é",))
    broken = check(Regex("a"), b"\xff")
    assert (broken.byte, broken.found) == (0, "\N{REPLACEMENT CHARACTER}")


def test_the_end_could_have_come():
    verdict = check(Regex("ab?"), b"ac")
    assert (verdict.byte, verdict.may_end, verdict.expected) == (1, True, ("b",))
    verdict = check(Regex("ab"), b"abc")
    assert (verdict.byte, verdict.may_end, verdict.expected) == (2, True, ())


def test_many_possibilities_are_ranges():
    assert check(Regex("[0-9(]x?"), b"!").expected == ("(", "0-9")
    assert check(Regex("[0-2]x?"), b"!").expected == ("0", "1", "2")
    assert check(Regex("[a-zA-F0-3_é]"), b"!").expected == (
        "0-3",
        "A-F",
        "_",
        "a-z",
        "a character beyond ASCII",
    )
    assert check(Regex("x.y"), b"x").expected == ("any character",)
    assert check(Regex('x[^"]y'), b'x"').expected == ('any character but "',)


def test_patterns_that_only_check_are_read_too():
    verdict = check(Regex(r"(?=a)\w+(?<=b)"), b"ac-")
    assert not verdict.matches
    assert verdict.byte == 2
    assert check(Regex(r"(?=a)\w+(?<=b)"), b"acb").matches


def test_every_prefix_that_is_read_can_go_on_and_what_comes_next_is_read():
    pattern = re.compile(r"(ab|cd)*e?")
    for text in (b"abcde", b"abce", b"abx", b"cda", b"", b"ee"):
        verdict = check(Regex(pattern.pattern), text)
        assert verdict.matches == bool(pattern.fullmatch(text.decode()))
        for byte in verdict.next_bytes:
            further = check(Regex(pattern.pattern), text[: verdict.byte] + bytes([byte]))
            assert further.byte == verdict.byte + 1


def test_texts_come_from_files_and_standard_input(ppl, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"aa\r\n")
    assert ppl("check", "regex", "a+", "--file", path).code == 0
    assert ppl("check", "regex", "a+", stdin="aa\n").code == 0
    assert ppl("check", "regex", "a+", "-", stdin="aa\n\n").code == 1
    assert ppl("check", "regex", "a+", "aa", "--file", path).code == 2
    assert ppl("check", "regex", "a+", "--file", tmp_path / "no").code == 2


def test_a_grammar(ppl, tmp_path):
    path = tmp_path / "g.lark"
    path.write_text('start: "(" start ")" | "x"\n')
    assert ppl("check", "grammar", "--lark", path, "((x))").code == 0
    ran = ppl("check", "grammar", "--lark", path, "((x)")
    assert (ran.code, "ends too early" in ran.out, "could  ')'" in ran.out) == (1, True, True)


@pytest.mark.parametrize("kind", ["sqlite_file", "duckdb_file"])
def test_a_query(ppl, kind, request):
    path = request.getfixturevalue(kind)
    assert ppl("check", "sql", "--db", path, "SELECT name FROM t WHERE x = 1").code == 0
    ran = ppl("check", "sql", "--db", path, "SELECT age FROM t")
    assert (ran.code, "age" in ran.out) == (1, True)
    assert ppl("check", "sql", "--db", path, "DELETE FROM t").code == 1


def test_json_holds_one_object(ppl):
    ran = ppl("check", "regex", "a", "é", "--json")
    assert json.loads(ran.out)["found"] == "é"
    assert ran.err == ""

"""SQL while it is written: what is refused early, that nothing else is, and exact masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import SQL, Vocabulary, unpack
from grammars.llguidance import GrammarMatcher
from grammars.sql_scanner import Scan

SCHEMA = {"t": ["a", "b"], "u": ["a", "c"]}
BEGINNINGS = [
    "",
    "SELECT a FROM t",
    "SELECT a FROM t WHERE",
    "SELECT t.a FROM t, u WHERE",
    "SELECT a, count(*) FROM t GROUP BY a ORDER BY",
    "SELECT a FROM t WHERE a IN (SELECT",
    "SELECT * FROM (SELECT",
    "SELECT a AS x FROM t UNION SELECT",
    "SELECT sum(a) OVER w AS x FROM t WINDOW w AS (ORDER BY",
    "WITH x AS (SELECT a FROM t) SELECT a FROM x WHERE",
]
WORDS = """SELECT FROM WHERE GROUP-BY ORDER-BY HAVING LIMIT UNION EXCEPT AS JOIN ON USING AND OR NOT IN EXISTS IS-NULL
    BETWEEN CASE WHEN THEN ELSE END OVER FILTER PARTITION-BY WITH DISTINCT COLLATE nocase INTEGER rowid DESC
    VALUES MATCH a b c t u x zz 1 2 = < + - * , . ( )"""
PIECES = """ count( sum( abs( substr( rank() CAST( 'q' "a" "zz" `b` [c] x'00' a( a) t.a u.c ), )), )= ", ]= a= =zz+ a,b
    ' '= "" ` re whe w q zz="""
TOKENS = [word.replace("-", " ").encode() for word in (WORDS + PIECES).split()]
TOKENS += [b" " + token for token in TOKENS] + [
    b" ",
    b"\n",
    b") WHERE ",
    b"re ",
    b"' AND a=",
    b" b ORDER BY a ",
]
VOCABULARY = Vocabulary(tokens=(*TOKENS, None), eos=frozenset({len(TOKENS)}))
CONSTRAINT = SQL(schema=SCHEMA)

EARLY = {
    "SELECT zz FROM t WHERE": " ",
    "SELECT x.a FROM t GROUP": "\n",
    "SELECT a FROM t, u ORDER": " ",
    "SELECT abs(a, b) FROM t LIMIT": " ",
    "SELECT a, b FROM t UNION SELECT a FROM u WHERE": " ",
    "SELECT sum(max(a)) FROM t WHERE": " ",
    "SELECT a FROM t WHERE zz ": "=",
    "SELECT a FROM t WHERE (a = 1 OR t.zz": ")",
    "SELECT a FROM t WHERE abs(zz": ")",
    'SELECT a FROM t WHERE b = "b" AND `zz`': " =",
    "SELECT a FROM t WHERE count(*)": " >",
    "SELECT a FROM t GROUP BY zz": ",",
    "SELECT a FROM t ORDER BY 2 LIMIT": " ",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.c = t.zz": ")",
    "SELECT a FROM t WHERE b IN (SELECT zz FROM u WHERE": " ",
    "WITH x AS (SELECT a FROM t) SELECT b FROM x WHERE": " ",
    "WITH x AS (SELECT a FROM zz) SELECT a FROM x WHERE": " ",
}


@pytest.mark.parametrize("prefix", EARLY)
def test_faults_are_found_where_nothing_mends_them(prefix: str) -> None:
    matcher = CONSTRAINT.matcher(Vocabulary.of_bytes())
    assert matcher.consume(prefix.encode())
    following = EARLY[prefix].encode()
    assert not matcher.consume(following)
    whole = CONSTRAINT.matcher(Vocabulary.of_bytes())
    assert not whole.consume(prefix.encode() + following)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT zz FROM (SELECT a AS zz FROM t) WHERE zz > 1",
        "SELECT x.zz FROM t JOIN (SELECT c AS zz FROM u) AS x ON x.zz = t.a WHERE t.a = 1",
        "SELECT a FROM t WHERE b = x'00' AND substr(b, 1) = 'x' AND (SELECT c FROM u WHERE c = b) > 1",
        "SELECT a FROM t WHERE substr((SELECT c FROM u WHERE c > 1), 1, 2) = 'x'",
        "SELECT a FROM t ORDER BY sum(a) OVER (PARTITION BY b ORDER BY a), a + b DESC",
        "SELECT a + b FROM t UNION SELECT c FROM u ORDER BY a + b",
        "SELECT sum(a) OVER w FROM t WHERE a > 0 WINDOW w AS (PARTITION BY b) ORDER BY 1",
        'SELECT a AS "where", b AS [order by] FROM t WHERE "where" = `order by`',
        "SELECT (SELECT t.a FROM u WHERE u.c = t.b) FROM t GROUP BY a HAVING count(*) > 1",
        "WITH x(n) AS (SELECT b FROM y WHERE b > 0), y AS (SELECT b FROM t WHERE b > 1) SELECT n FROM x WHERE n",
        "SELECT a FROM t WHERE a BETWEEN b AND b + 1 AND CASE b WHEN 1 THEN a END = CAST(b AS zz)",
        "SELECT 'it''s where (' FROM t WHERE a LIKE '%where zz %'",
        "SELECT a AS wherefore FROM t WHERE wherefore = 1",
    ],
)
def test_what_comes_later_is_awaited(query: str) -> None:
    assert CONSTRAINT.parse(query) == query
    matcher = CONSTRAINT.matcher(Vocabulary.of_bytes())
    assert all(matcher.advance(byte) for byte in query.encode())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_is_forbidden_that_can_be_completed(data: st.DataObject) -> None:
    """Random texts of the grammar: every one that SQLite runs can be read, byte by byte as at once."""
    matcher = GrammarMatcher(VOCABULARY, CONSTRAINT._grammar)
    text = data.draw(st.sampled_from(BEGINNINGS)).encode()
    assert matcher.consume(text)
    for _ in range(data.draw(st.integers(1, 30))):
        if matcher.is_accepting() and CONSTRAINT.accepts(text):
            whole, parts = CONSTRAINT.matcher(VOCABULARY), CONSTRAINT.matcher(VOCABULARY)
            assert whole.consume(text), text
            assert all(parts.consume(bytes([byte])) for byte in text)
        allowed = np.flatnonzero(unpack(matcher.mask(), VOCABULARY.size)).tolist()
        if not allowed:
            return
        token = data.draw(st.sampled_from(allowed))
        assert matcher.advance(token)
        text += TOKENS[token]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_masks_are_exact(data: st.DataObject) -> None:
    matcher = CONSTRAINT.matcher(VOCABULARY)
    assert matcher.mask_is_exact
    assert matcher.consume(data.draw(st.sampled_from(BEGINNINGS)).encode())
    for _ in range(8):
        mask = unpack(matcher.mask(), VOCABULARY.size)
        for token in range(len(TOKENS)):
            assert mask[token] == matcher.allows(token), TOKENS[token]
            fork = matcher.fork()
            assert fork.advance(token) == mask[token]
        allowed = np.flatnonzero(mask).tolist()
        if not allowed:
            return
        assert matcher.advance(data.draw(st.sampled_from(allowed)))


def test_what_a_scan_reports() -> None:
    reported: list[tuple[bytes, bytes]] = []

    def report(text: bytes, frames: bytes) -> bool:
        reported.append((text, frames))
        return True

    query = b"SELECT f(x) FROM t WHERE a = 'b' AND g(b.c) IN (SELECT d FROM u ORDER BY e) LIMIT 3"
    assert Scan().read(query, report) is not None
    assert reported == [
        (b"SELECT f(x) FROM t ", b"o"),
        (b"SELECT f(x) FROM t WHERE a", b"c"),
        (b"SELECT f(x) FROM t WHERE a = 'b' AND g(b.c", b"cf"),
        (b"SELECT f(x) FROM t WHERE a = 'b' AND g(b.c) IN (SELECT d FROM u ", b"co"),
        (b"SELECT f(x) FROM t WHERE a = 'b' AND g(b.c) IN (SELECT d FROM u ORDER BY e", b"cc"),
        (b"SELECT f(x) FROM t WHERE a = 'b' AND g(b.c) IN (SELECT d FROM u ORDER BY e) ", b"c"),
    ]

"""Hints: what is worth writing next; they change no answer."""

from grammars import SMILES, SQL, JsonSchema, Regex, Vocabulary

BYTES = Vocabulary.of_bytes()
RECORD = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "m": {}, "no": False},
    "required": ["m", 'q"'],
}


def hints(constraint, begun=""):
    """Return the hints after the beginning of a text."""
    matcher = constraint.matcher(BYTES)
    assert matcher.consume(begun.encode())
    return [hint.decode() for hint in matcher.hints()]


def test_open_objects_name_what_they_list():
    record = JsonSchema(RECORD, whitespace="compact")
    assert hints(record, "{") == ['"m":', r'"q\"":', '"n":']
    assert hints(record, '{"m":{}') == []
    assert hints(record, '{"m":1,') == [r'"q\"":', '"n":']
    assert hints(record, '{"x":1,"n":2,') == ['"m":', r'"q\"":']
    assert hints(record, '{"') == hints(record, "") == []


def test_closed_objects_show_what_they_allow_in_their_masks():
    assert hints(JsonSchema(RECORD | {"additionalProperties": False, "required": []}), "{") == []


def test_molecules_close_rings_and_branches():
    assert hints(SMILES()) == ["C"]
    assert hints(SMILES(), "C1CC%12C") == ["1", "%12", "C"]
    assert hints(SMILES(), "C1CC1(C[13C]") == [")C", "C"]


def test_queries_name_tables_and_columns():
    query = SQL("sqlite", {"the t": ["x", "select"]})
    assert hints(query) == ["SELECT ", 'FROM "the t" ', '"select" ', "x "]
    assert hints(query, "SELECT x") == []
    assert hints(query, "SELECT x ") == hints(query)


def test_a_conjunction_has_the_hints_of_its_parts():
    assert hints(JsonSchema(RECORD) & Regex(".*"), "{")[0] == '"m":'
    assert hints(Regex("a")) == []

"""What the command line says of how far a result is to be trusted."""

ROUGH = ["--prompt", "x", "--model", "tests.cli.toys:abc", "--max-tokens", "4"]


def test_the_diagnosis_is_printed_where_it_is_asked_for(ppl):
    plain = ppl("regex", "[abc]*", *ROUGH)
    asked = ppl("regex", "[abc]*", "--diagnose", *ROUGH)
    assert plain.code == asked.code == 0
    assert "speaks against" not in plain.out
    assert "nothing speaks against this run" in asked.out
    assert "ended because they had max_tokens" in asked.out


def test_what_is_severe_is_said_in_any_case(ppl):
    options = ["--particles", "2", "--method", "importance", "--seed", "1"]
    ran = ppl("regex", "(ab|ba)b*", *options, *ROUGH)
    assert ran.code == 0
    assert "do not trust this run" in ran.out
    assert "--diagnose tells what to do" in ran.out


def test_findings_are_in_the_json(ppl):
    (row,) = ppl("regex", "a", "--json", "--method", "locally-constrained", *ROUGH).rows
    assert row["diagnosis"]["trusted"] is False
    assert row["diagnosis"]["findings"][0]["severity"] == "warning"
    (dead,) = ppl("regex", "a{9}", "--json", *ROUGH).rows
    assert dead["no_survivors"] in dead["diagnosis"]["findings"][0]["what"]

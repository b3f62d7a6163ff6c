"""Strategies: Hypothesis examples from grammars, language models and programs, for property tests.

    from hypothesis import given
    from inference.strategies import from_schema

    @given(from_schema(Order))
    def test_total(order): ...

An example is *one run* in which each random choice is a choice of Hypothesis's (`choices`). So replay, the example
database, `@reproduce_failure` and shrinking work as for any other strategy, and a smaller choice is a likelier token
or an earlier end. Constraints are masks and checks of the run as everywhere: what is drawn, and whatever it is shrunk
to, is in the language. Without a language model a fixed prior over bytes writes the text (`texts`).

What examples are *not* is draws from the posterior. Hypothesis distorts what it draws on purpose, and weights are left
out: a run of weight 0 (a condition that is false, an observation of density 0, a dead end) is rejected, any other
counts alike. For probabilities use `infer`, and `inference.testing.assert_probability`.

Needs the extra `testing`.
"""

from inference.strategies.runs import from_constraint, from_program, from_schema, from_target

__all__ = ["from_constraint", "from_program", "from_schema", "from_target"]

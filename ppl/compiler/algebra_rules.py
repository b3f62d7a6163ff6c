"""Rewrite rules for powers, products, ensembles and potentials.

Together they bring a target into the form Π p_i^{a_i} & c · exp f: experts with exponents innermost, then one
constraint, then the potentials.
"""

from __future__ import annotations

from typing import Any

from ppl.compiler.rule import Rule
from ppl.errors import InvalidArgument
from ppl.mdm import Infill
from ppl.targets import Constrained, Power, PowerMean, Product, Target, Text, Twisted

Factors = list[tuple[Target[Any], float]]


def _power_one(target: Target[Any]) -> Target[Any] | None:
    return target.target if isinstance(target, Power) and target.exponent == 1.0 else None


def _power_of_power(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Power) and isinstance(target.target, Power):
        return Power(target.target.target, target.exponent * target.target.exponent)
    return None


def _power_of_product(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Power) and isinstance(target.target, Product):
        product, b = target.target, target.exponent
        return Product(Power(product.left, b), Power(product.right, b))
    return None


def _power_of_constrained(target: Target[Any]) -> Target[Any] | None:
    if not isinstance(target, Power) or not isinstance(target.target, Constrained):
        return None
    inner = target.target
    if target.exponent <= 0.0:
        raise InvalidArgument(
            f"{target}: the power {target.exponent:g} would give mass to the texts that the constraint forbids",
            hint="put the constraint last: p ** b & c, or guide(p, q, w) & c",
        )
    return Constrained(Power(inner.target, target.exponent), inner.constraint)


def _power_of_twisted(target: Target[Any]) -> Target[Any] | None:
    if not isinstance(target, Power) or not isinstance(target.target, Twisted):
        return None
    inner, b = target.target, target.exponent
    power = Power(inner.target, b)
    return power if b == 0.0 else Twisted(power, inner.potential.scaled(b))


def _constraint_out_of_product(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Product) and isinstance(target.left, Constrained):
        return Constrained(Product(target.left.target, target.right), target.left.constraint)
    if isinstance(target, Product) and isinstance(target.right, Constrained):
        return Constrained(Product(target.left, target.right.target), target.right.constraint)
    return None


def _potential_out(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, Product) and isinstance(target.left, Twisted):
        return Twisted(Product(target.left.target, target.right), target.left.potential)
    if isinstance(target, Product) and isinstance(target.right, Twisted):
        return Twisted(Product(target.left, target.right.target), target.right.potential)
    if isinstance(target, Constrained) and isinstance(target.target, Twisted):
        return Twisted(Constrained(target.target.target, target.constraint), target.target.potential)
    return None


def _merge_experts(target: Target[Any]) -> Target[Any] | None:
    if not isinstance(target, Product):
        return None
    pairs = factors(target)
    if not all(isinstance(expert, Text | Infill | PowerMean) for expert, _ in pairs):
        return None
    merged: dict[Target[Any], float] = {}
    for expert, exponent in pairs:
        merged[expert] = merged.get(expert, 0.0) + exponent
    if any(merged[expert] == 0.0 != exponent for expert, exponent in pairs):
        return None  # p * p ** -1 is 0 where p is 0, and p ** 0 is 1
    return product(list(merged.items())) if len(merged) < len(pairs) else None


def _drop_zero(target: Target[Any]) -> Target[Any] | None:
    if not isinstance(target, Product):
        return None
    pairs = factors(target)
    kept = [(expert, a) for expert, a in pairs if a != 0.0] or pairs[:1]
    return product(kept) if len(kept) < len(pairs) else None


def _geometric_mean(target: Target[Any]) -> Target[Any] | None:
    if isinstance(target, PowerMean) and target.r == 0.0:
        return product(list(zip(target.targets, target.weights, strict=True)))
    return None


def _mean_of_one(target: Target[Any]) -> Target[Any] | None:
    return target.targets[0] if isinstance(target, PowerMean) and len(target.targets) == 1 else None


ALGEBRA_RULES: tuple[Rule, ...] = (
    Rule("power-one", "p ** 1 ≡ p", (Power,), _power_one),
    Rule("power-of-power", "(p ** a) ** b ≡ p ** (a b)", (Power,), _power_of_power),
    Rule("power-of-product", "(p * q) ** b ≡ p ** b * q ** b", (Power,), _power_of_product),
    Rule("power-of-constrained", "(p & c) ** b ≡ p ** b & c for b > 0", (Power,), _power_of_constrained),
    Rule("power-of-twisted", "(p * exp f) ** b ≡ p ** b * exp(b f)", (Power,), _power_of_twisted),
    Rule("constraint-out-of-product", "(p & c) * q ≡ (p * q) & c", (Product,), _constraint_out_of_product),
    Rule(
        "potential-out",
        "(p * exp f) * q ≡ (p * q) * exp f; (p * exp f) & c ≡ (p & c) * exp f",
        (Product, Constrained),
        _potential_out,
    ),
    Rule("geometric-mean", "power_mean([p, q], 0, [a, b]) ≡ p ** a * q ** b", (PowerMean,), _geometric_mean),
    Rule("mean-of-one", "power_mean([p], r) ≡ p", (PowerMean,), _mean_of_one),
    Rule("merge-experts", "p ** a * p ** b ≡ p ** (a + b)", (Product,), _merge_experts),
    Rule("drop-zero", "p * q ** 0 ≡ p", (Product,), _drop_zero),
)


def factors(target: Target[Any]) -> Factors:
    """Return the experts of a product with their exponents, in order; a target by itself is one with exponent 1."""
    if isinstance(target, Product):
        return factors(target.left) + factors(target.right)
    if isinstance(target, Power):
        return [(target.target, target.exponent)]
    return [(target, 1.0)]


def product(factors: Factors) -> Target[Any]:
    """Return the product of experts with exponents; the inverse of `factors`."""
    first, *others = [Power(expert, a) if a != 1.0 else expert for expert, a in factors]
    product: Target[Any] = first
    for other in others:
        product = Product(product, other)
    return product

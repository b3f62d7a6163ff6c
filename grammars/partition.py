"""Total weights of grammars, and sums over chains of rules.

The total weight of a nonterminal, Z(A), is the sum of the weights of its derivations. These sums are the least
non-negative solution of

    Z(A) = sum over the rules A -> X1 ... Xm of weight · Z(X1) ··· Z(Xm)

and infinite if there is none. Sums over chains are (I - P)^-1 = I + P + P² + ... of a non-negative matrix P.
Both are found component by component of mutually recursive nonterminals, the called before the callers: those
that are not recursive by substitution, those that are linear by one such inverse, the others by Newton's
method, which ascends to the least solution. [1] [2] Only additions and products of non-negative numbers are
used for the inverses, so that small entries are as accurate as large ones.

Everything goes in and out as natural logarithms, since weights of long literals leave the range of floats.

References
----------
.. [1] K. Etessami, M. Yannakakis. "Recursive Markov chains, stochastic grammars, and monotone systems of
   nonlinear equations". Journal of the ACM 56(1), 2009.
.. [2] M.-J. Nederhof, G. Satta. "Computing partition functions of PCFGs". Research on Language and
   Computation 6, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from grammars.errors import GrammarError

Row = dict[int, float]
"""A row of a sparse non-negative matrix: column -> log of the entry; entries that are not there are 0."""

Monomial = tuple[float, tuple[int, ...]]
"""Log of a factor, and the nonterminals to multiply it with."""

_SMALLEST, _LARGEST = -700.0, 700.0  # of logs whose exponential is a normal float
_EPSILON = float(np.finfo(np.float64).eps)


def log_add(x: float, y: float) -> float:
    """Return log(exp(x) + exp(y))."""
    if x < y:
        x, y = y, x
    return x if y == -math.inf else x + math.log1p(math.exp(y - x))


def total_weights(rules: Sequence[Sequence[Monomial]], names: Sequence[str]) -> list[float]:
    """Return log Z of each nonterminal, -inf where there is no derivation.

    Parameters
    ----------
    rules:
        For each nonterminal the monomials of its rules.
    names:
        The names of the nonterminals, for messages.

    Raises
    ------
    GrammarError
        If a total weight is infinite.
    """
    totals = [-math.inf] * len(rules)
    calls = [{called for _, factors in monomials for called in factors} for monomials in rules]
    for component in strongly_connected(calls):
        place = {number: at for at, number in enumerate(component)}
        equations: list[list[Monomial]] = [[] for _ in component]
        for number in component:
            for log_factor, factors in rules[number]:
                log_known = log_factor + sum(totals[other] for other in factors if other not in place)
                if log_known > -math.inf:
                    unknown = tuple(place[other] for other in factors if other in place)
                    equations[place[number]].append((log_known, unknown))
        where = [names[number] for number in component]
        for number, total in zip(component, _least_solution(equations, where), strict=True):
            totals[number] = total
    return totals


def chain_sums(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return (I - P)^-1 = I + P + P² + ... for a sparse non-negative matrix P.

    Raises
    ------
    GrammarError
        If the sum is infinite.
    """
    sums: list[Row] = [{} for _ in rows]
    for component in strongly_connected(rows):
        members = set(component)
        inside = _star([[rows[a].get(b, -math.inf) for b in component] for a in component], names, component)
        beyond: list[Row] = []
        for b in component:
            row = {b: 0.0}
            for target, log_step in rows[b].items():
                if target not in members:
                    for end, log_sum in sums[target].items():
                        row[end] = log_add(row.get(end, -math.inf), log_step + log_sum)
            beyond.append(row)
        for a, log_inside in zip(component, inside, strict=True):
            for log_path, row in zip(log_inside, beyond, strict=True):
                for end, log_sum in row.items():
                    sums[a][end] = log_add(sums[a].get(end, -math.inf), log_path + log_sum)
    return sums


def strongly_connected(graph: Sequence[Iterable[int]]) -> list[list[int]]:
    """Return the strongly connected components of a directed graph, the called before the callers.

    This is Tarjan's algorithm with the recursion on a stack of its own.
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_nodes: list[int] = []
    is_open: set[int] = set()
    components: list[list[int]] = []
    for root in range(len(graph)):
        if root in order:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        open_nodes.append(root)
        is_open.add(root)
        while work:
            node, children = work[-1]
            for child in children:
                if child not in order:
                    order[child] = low[child] = len(order)
                    open_nodes.append(child)
                    is_open.add(child)
                    work.append((child, iter(graph[child])))
                    break
                if child in is_open:
                    low[node] = min(low[node], order[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    components.append([])
                    while node in is_open:
                        components[-1].append(open_nodes.pop())
                        is_open.remove(components[-1][-1])
    return components


def _least_solution(equations: list[list[Monomial]], names: Sequence[str]) -> list[float]:
    """Return the logs of the least solution of x_a = sum of the monomials of a."""
    if all(len(unknown) <= 1 for monomials in equations for _, unknown in monomials):
        constants = [-math.inf] * len(equations)
        matrix = [[-math.inf] * len(equations) for _ in equations]
        for a, monomials in enumerate(equations):
            for log_factor, unknown in monomials:
                if unknown:
                    matrix[a][unknown[0]] = log_add(matrix[a][unknown[0]], log_factor)
                else:
                    constants[a] = log_add(constants[a], log_factor)
        totals = []
        for row in _star(matrix, names, range(len(equations))):
            total = -math.inf
            for log_path, log_constant in zip(row, constants, strict=True):
                total = log_add(total, log_path + log_constant)
            totals.append(total)
        return totals
    return _newton(equations, names)


def _newton(equations: list[list[Monomial]], names: Sequence[str]) -> list[float]:
    """Solve a component that is not linear by Newton's method from 0.

    Every iterate is below the least solution and above the one before, if there is a solution at all.
    """
    size = len(equations)
    terms = [(a, _exp(w, names), list(unknown)) for a, ms in enumerate(equations) for w, unknown in ms]
    if all(unknown for _, _, unknown in terms):
        return [-math.inf] * size

    def right_side(x: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.zeros(size)
        for a, factor, unknown in terms:
            result[a] += factor * math.prod(x[unknown].tolist())
        return result

    x = np.zeros(size)
    for _ in range(200):
        value = right_side(x)
        if (np.abs(value - x) <= 4 * _EPSILON * value).all():
            value = right_side(value)
            if (value == 0).any():  # each of them has a derivation
                raise _out_of_range(names)
            return [math.log(total) for total in value]
        jacobian = np.zeros((size, size))
        for a, factor, unknown in terms:
            for place, b in enumerate(unknown):
                others = unknown[:place] + unknown[place + 1 :]
                jacobian[a, b] += factor * math.prod(x[others].tolist())
        try:
            step = np.linalg.solve(np.eye(size) - jacobian, value - x)
        except np.linalg.LinAlgError:
            break
        x = x + step
        # at a double root rounding moves the iterates by up to the root of epsilon
        if not np.isfinite(x).all() or (x < 0).any() or (step < -1e-7 * np.abs(x)).any():
            break
    raise _infinite(names)


def _star(matrix: list[list[float]], names: Sequence[str], members: Sequence[int]) -> list[list[float]]:
    """Return the logs of (I - P)^-1, given those of an irreducible P (or P = 0 of size 1)."""
    where = [names[number] for number in members]
    if len(matrix) == 1:
        if matrix[0][0] >= 0:
            raise _infinite(where)
        return [[-math.log1p(-math.exp(matrix[0][0]))]]
    power = np.array([[_exp(entry, where) if entry > -math.inf else 0.0 for entry in row] for row in matrix])
    result = np.eye(len(matrix))
    for _ in range(60):  # (I + P)(I + P²)(I + P⁴) ...
        with np.errstate(over="ignore", invalid="ignore"):  # refused in the next line
            more = result @ power
            result += more
        if not np.isfinite(result).all():
            break
        if (more <= _EPSILON / 4 * result).all():
            if (result == 0).any():  # irreducible: all entries are positive
                raise _out_of_range(where)
            return [[math.log(entry) for entry in row] for row in result.tolist()]
        power = power @ power
    raise _infinite(where)


def _exp(log_weight: float, names: Sequence[str]) -> float:
    if not _SMALLEST < log_weight < _LARGEST:
        raise _out_of_range(names)
    return math.exp(log_weight)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:4]) + (", ..." if len(names) > 4 else "")


def _infinite(names: Sequence[str]) -> GrammarError:
    return GrammarError(
        f"the weights of the derivations of {_listed(names)} do not have a finite sum",
        hint="make the weights of recursive rules smaller; a ByteSet of n bytes counts n times",
    )


def _out_of_range(names: Sequence[str]) -> GrammarError:
    return GrammarError(
        f"the weights of {_listed(names)}, which are mutually recursive, leave the range of float64",
        hint="scale the weights so that the rules of each nonterminal add up to about 1",
    )

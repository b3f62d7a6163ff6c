"""Kernels: proposals for the next token, each properly weighted.

A kernel that proposes x with probability q(x) and weight w(x) satisfies E[w 1{x}] = target(x) for each x.
"""

from inference.kernels.awrs import awrs
from inference.kernels.base import Kernel, Proposal
from inference.kernels.corrector import corrector
from inference.kernels.direct import direct
from inference.kernels.masked import masked
from ppl.compiler.plan import KernelName

KERNELS: dict[KernelName, Kernel] = {
    "direct": direct,
    "corrector": corrector,
    "masked": masked,
    "awrs": awrs,
}

__all__ = ["KERNELS", "Kernel", "Proposal", "awrs", "corrector", "direct", "masked"]

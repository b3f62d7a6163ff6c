"""Methods: how a compute budget is spent on a model's posterior; one algorithm a file."""

from inference.methods.adaptive_rejection import AdaptiveRejection
from inference.methods.base import Method
from inference.methods.enumerate import Enumerate
from inference.methods.importance import Importance
from inference.methods.local import LocallyConstrained
from inference.methods.rejection import Rejection
from inference.methods.smc import SMC
from inference.methods.tempered import TemperedSMC

__all__ = [
    "SMC",
    "AdaptiveRejection",
    "Enumerate",
    "Importance",
    "LocallyConstrained",
    "Method",
    "Rejection",
    "TemperedSMC",
]

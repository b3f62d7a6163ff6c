"""Methods: how a compute budget is spent on a model's posterior; one algorithm a file."""

from inference.methods.adaptive_consistency import AdaptiveConsistency
from inference.methods.adaptive_rejection import AdaptiveRejection
from inference.methods.base import Method
from inference.methods.beam import BeamSearch
from inference.methods.best_first import BestFirst
from inference.methods.best_of_n import BestOfN
from inference.methods.enumerate import Enumerate
from inference.methods.first_finished import FirstFinished
from inference.methods.importance import Importance
from inference.methods.local import LocallyConstrained
from inference.methods.particle_gibbs import ParticleGibbs
from inference.methods.particle_independent import ParticleIndependentMH
from inference.methods.pruned_enriched import PrunedEnriched
from inference.methods.rejection import Rejection
from inference.methods.resample_move import ResampleMoveSMC
from inference.methods.single_site import SingleSiteMH
from inference.methods.smc import SMC
from inference.methods.steering import SteeringSMC
from inference.methods.suffix import SuffixMCMC
from inference.methods.tempered import TemperedSMC
from inference.methods.until import Until

__all__ = [
    "SMC",
    "AdaptiveConsistency",
    "AdaptiveRejection",
    "BeamSearch",
    "BestFirst",
    "BestOfN",
    "Enumerate",
    "FirstFinished",
    "Importance",
    "LocallyConstrained",
    "Method",
    "ParticleGibbs",
    "ParticleIndependentMH",
    "PrunedEnriched",
    "Rejection",
    "ResampleMoveSMC",
    "SingleSiteMH",
    "SteeringSMC",
    "SuffixMCMC",
    "TemperedSMC",
    "Until",
]

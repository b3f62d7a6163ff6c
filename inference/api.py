"""The public names of `inference`, which its `__init__` imports when one of them is first asked for."""

from inference.convergence import chain_ess, split_rhat
from inference.costs import CostPerSolved, cost_per_solved
from inference.coverage import CoveragePoint, Verifier, coverage, pass_at_k
from inference.denoisers.table import TableMDM
from inference.denoisers.trained import TrainedMDM
from inference.denoisers.transformers import load_mdm
from inference.diagnostics import Cost, Step
from inference.engines.load import load
from inference.engines.table import TableLM
from inference.errors import BoundExceeded, BudgetExceeded, MissingDependency, NoSurvivors
from inference.estimators import AWRS
from inference.infer import infer
from inference.many import infer_many, program_seed
from inference.methods import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestFirst,
    BestOfN,
    Enumerate,
    FirstFinished,
    Importance,
    LocallyConstrained,
    Method,
    ParticleGibbs,
    ParticleIndependentMH,
    PrunedEnriched,
    Rejection,
    SuffixMCMC,
    TemperedSMC,
    Until,
)
from inference.posterior import Posterior, Sample, Weighted
from inference.record import Flag, Move, Record
from inference.report import PartReport, SiteReport
from inference.rewards import classifier
from inference.solving import Solution, solve
from inference.voting import Ranked, Vote

__all__ = [
    "AWRS",
    "SMC",
    "AdaptiveConsistency",
    "AdaptiveRejection",
    "BeamSearch",
    "BestFirst",
    "BestOfN",
    "BoundExceeded",
    "BudgetExceeded",
    "Cost",
    "CostPerSolved",
    "CoveragePoint",
    "Enumerate",
    "FirstFinished",
    "Flag",
    "Importance",
    "LocallyConstrained",
    "Method",
    "MissingDependency",
    "Move",
    "NoSurvivors",
    "PartReport",
    "ParticleGibbs",
    "ParticleIndependentMH",
    "Posterior",
    "PrunedEnriched",
    "Ranked",
    "Record",
    "Rejection",
    "Sample",
    "SiteReport",
    "Solution",
    "Step",
    "SuffixMCMC",
    "TableLM",
    "TableMDM",
    "TemperedSMC",
    "TrainedMDM",
    "Until",
    "Verifier",
    "Vote",
    "Weighted",
    "chain_ess",
    "classifier",
    "cost_per_solved",
    "coverage",
    "infer",
    "infer_many",
    "load",
    "load_mdm",
    "pass_at_k",
    "program_seed",
    "solve",
    "split_rhat",
]

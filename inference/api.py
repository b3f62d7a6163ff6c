"""The public names of `inference`, which its `__init__` imports when one of them is first asked for."""

from inference.convergence import chain_ess, split_rhat
from inference.coverage import CoveragePoint, Verifier, coverage, pass_at_k
from inference.custom_generate import Generated, ppl_generate
from inference.denoisers.table import TableMDM
from inference.denoisers.trained import TrainedMDM
from inference.denoisers.transformers import load_mdm
from inference.diagnostics import Cost, Step
from inference.engines.load import load
from inference.engines.table import TableLM
from inference.engines.warped import WarpedLM
from inference.errors import BoundExceeded, BudgetExceeded, MissingDependency, NoSurvivors
from inference.estimators import AWRS
from inference.infer import infer
from inference.many import infer_many, program_seed
from inference.methods import (
    SMC,
    AdaptiveRejection,
    BeamSearch,
    BestOfN,
    Enumerate,
    Importance,
    LocallyConstrained,
    Method,
    ParticleGibbs,
    ParticleIndependentMH,
    Rejection,
    SuffixMCMC,
    TemperedSMC,
    Until,
)
from inference.posterior import Posterior, Sample, Weighted
from inference.record import Flag, Move, Record
from inference.report import PartReport, SiteReport
from inference.rewards import classifier
from inference.voting import Ranked, Vote

__all__ = [
    "AWRS",
    "SMC",
    "AdaptiveRejection",
    "BeamSearch",
    "BestOfN",
    "BoundExceeded",
    "BudgetExceeded",
    "Cost",
    "CoveragePoint",
    "Enumerate",
    "Flag",
    "Generated",
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
    "Ranked",
    "Record",
    "Rejection",
    "Sample",
    "SiteReport",
    "Step",
    "SuffixMCMC",
    "TableLM",
    "TableMDM",
    "TemperedSMC",
    "TrainedMDM",
    "Until",
    "Verifier",
    "Vote",
    "WarpedLM",
    "Weighted",
    "chain_ess",
    "classifier",
    "coverage",
    "infer",
    "infer_many",
    "load",
    "load_mdm",
    "pass_at_k",
    "ppl_generate",
    "program_seed",
    "split_rhat",
]

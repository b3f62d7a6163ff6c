"""inference: how posteriors are computed. Language models, methods, posteriors.

from inference import SMC, infer, load
"""

from inference.convergence import chain_ess, split_rhat
from inference.denoisers.table import TableMDM
from inference.denoisers.trained import TrainedMDM
from inference.denoisers.transformers import load_mdm
from inference.diagnostics import Cost, Step
from inference.engines.load import load
from inference.engines.table import TableLM
from inference.errors import BoundExceeded, BudgetExceeded, NoSurvivors
from inference.estimators import AWRS
from inference.infer import infer
from inference.methods import (
    SMC,
    Enumerate,
    Importance,
    LocallyConstrained,
    Method,
    ParticleGibbs,
    ParticleIndependentMH,
    Rejection,
    SuffixMCMC,
    TemperedSMC,
)
from inference.posterior import Posterior, Ranked, Sample, Weighted
from inference.report import PartReport, SiteReport
from inference.rewards import classifier

__all__ = [
    "AWRS",
    "SMC",
    "BoundExceeded",
    "BudgetExceeded",
    "Cost",
    "Enumerate",
    "Importance",
    "LocallyConstrained",
    "Method",
    "NoSurvivors",
    "PartReport",
    "ParticleGibbs",
    "ParticleIndependentMH",
    "Posterior",
    "Ranked",
    "Rejection",
    "Sample",
    "SiteReport",
    "Step",
    "SuffixMCMC",
    "TableLM",
    "TableMDM",
    "TemperedSMC",
    "TrainedMDM",
    "Weighted",
    "chain_ess",
    "classifier",
    "infer",
    "load",
    "load_mdm",
    "split_rhat",
]

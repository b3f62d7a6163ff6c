"""The public names of `inference`, which its `__init__` imports when one of them is first asked for."""

from inference.costs import CostPerSolved, cost_per_solved
from inference.coverage import CoveragePoint, Verifier, coverage, pass_at_k
from inference.custom_generate import Generated, ppl_generate
from inference.denoisers.table import TableMDM
from inference.denoisers.trained import TrainedMDM
from inference.denoisers.transformers import load_mdm
from inference.diagnosis.convergence import autocorrelation, chain_ess, rank_rhat, split_rhat
from inference.diagnosis.findings import Diagnosis, Finding
from inference.diagnosis.genealogy import Genealogy
from inference.diagnosis.spread import EvidenceSpread, evidence_spread
from inference.diagnostics import Cost, Step
from inference.engines.drafted import DraftedLM
from inference.engines.load import load
from inference.engines.table import TableLM
from inference.engines.warped import WarpedLM
from inference.errors import BoundExceeded, BudgetExceeded, MissingDependency, NoSurvivors
from inference.estimators import AWRS
from inference.infer import infer
from inference.learned_twist import LearnedTwist, learn_twist
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
    ResampleMoveSMC,
    SingleSiteMH,
    SteeringSMC,
    SuffixMCMC,
    TemperedSMC,
    Until,
)
from inference.nesting import nested, normalised
from inference.posterior import Posterior
from inference.record import Flag, Move, Record
from inference.report import PartReport, SiteReport
from inference.rewards import classifier
from inference.sample import Sample, Weighted
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
    "Diagnosis",
    "DraftedLM",
    "Enumerate",
    "EvidenceSpread",
    "Finding",
    "FirstFinished",
    "Flag",
    "Genealogy",
    "Generated",
    "Importance",
    "LearnedTwist",
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
    "ResampleMoveSMC",
    "Sample",
    "SingleSiteMH",
    "SiteReport",
    "Solution",
    "SteeringSMC",
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
    "autocorrelation",
    "chain_ess",
    "classifier",
    "cost_per_solved",
    "coverage",
    "evidence_spread",
    "infer",
    "infer_many",
    "learn_twist",
    "load",
    "load_mdm",
    "nested",
    "normalised",
    "pass_at_k",
    "ppl_generate",
    "program_seed",
    "rank_rhat",
    "solve",
    "split_rhat",
]

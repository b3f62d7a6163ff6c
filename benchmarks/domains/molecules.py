"""Molecules: after twenty molecules in SMILES, write another one that looks like a drug (QED)."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.common import data_rows
from benchmarks.domains.case import Case, Task, Verdict, spread
from grammars import SMILES, Regex

_ATOM = r"[BCNOPSFI]|Cl|Br|[bcnops]|\[[0-9]*[A-Za-z]{1,2}@{0,2}H?[0-9]?[+\-]?[0-9]?\]"
SPELLING = rf"({_ATOM}|[0-9]|%[0-9]{{2}}|[-()=#:./\\])+"
"""What a grammar can say of a molecule without counting: how its atoms, bonds and ring numbers are spelled."""


def cases(count: int) -> list[Case]:
    return [case(row) for row in spread(data_rows("molecules/prompts_dev.jsonl"), count)]


def case(row: dict[str, Any]) -> Case:
    prompt = "".join(f"{smiles}\n" for smiles in row["prompt_smiles"])
    return Case(row["id"], prompt, SMILES, judge, partial(Regex, SPELLING))


def judge(text: str) -> Verdict:
    """Valid is what RDKit reads as a molecule of at least one atom; the score is its QED."""
    from rdkit import Chem, RDLogger
    from rdkit.Chem.QED import qed

    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(text)
    if molecule is None or molecule.GetNumAtoms() == 0:
        return Verdict(False, 0.0)
    return Verdict(True, float(qed(molecule)))


TASK = Task(cases, max_tokens=64, score="QED")

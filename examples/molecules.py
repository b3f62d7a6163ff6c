"""Molecules: continue a list of drugs with molecules that exist on paper, and prefer those that look like drugs.

`SMILES` allows what can still become a molecule with sensible valences; a Python function asks RDKit about the whole
text. On top of them a `factor` multiplies the weight of each molecule by exp(10 QED), where QED is a score of
drug-likeness between 0 and 1. Needs the extra `examples`.

    python -m examples.molecules
"""

from rdkit import Chem, RDLogger
from rdkit.Chem.QED import qed

from grammars import SMILES, text_predicate
from inference import SMC, infer, load
from ppl import factor, program, sample

DRUGS = """CC(=O)Oc1ccccc1C(=O)O
CC(=O)Nc1ccc(O)cc1
CC(C)Cc1ccc(C(C)C(=O)O)cc1
CN1CCCC1c1cccnc1
CCN(CC)CC(=O)Nc1c(C)cccc1C
CC(N)Cc1ccccc1
COc1ccc2cc(C(C)C(=O)O)ccc2c1
Cn1c(=O)c2c(ncn2C)n(C)c1=O
Clc1ccc(C(c2ccccc2)N2CCNCC2)cc1
"""

RDLogger.DisableLog("rdApp.*")
lm = load("smollm2")


@text_predicate
def new(smiles: str) -> bool:
    """Whether RDKit, too, reads a molecule, it has six atoms or more, and is not in the list."""
    molecule = Chem.MolFromSmiles(smiles)
    return molecule is not None and molecule.GetNumAtoms() >= 6 and smiles not in DRUGS.splitlines()


def score(smiles: str) -> float:
    return float(qed(Chem.MolFromSmiles(smiles)))


@program
def molecule(preference: float) -> str:
    smiles = sample(lm(DRUGS, stop="\n", max_tokens=48) & SMILES() & new)
    factor(preference * score(smiles))
    return smiles


def main(particles: int = 16) -> None:
    for preference in (0.0, 10.0):
        posterior = infer(molecule(preference), SMC(particles), seed=2)
        print(f"weights times exp({preference:g} QED):")
        for smiles, probability in posterior.top(5):
            print(f"  {probability:.3f}  QED {score(smiles):.2f}  {smiles}")
        print(f"  mean QED {posterior.expectation(score):.2f}; {posterior.cost}\n")


if __name__ == "__main__":
    main()

"""Molecules: continue a list with molecules that exist on paper, and prefer those that look like drugs.

`SMILES` allows what can still become a molecule with sensible valences; a Python function asks RDKit about the whole
text. On top of them a `factor` multiplies the weight of each molecule by exp(5 QED), where QED is a score of
drug-likeness between 0 and 1. Needs the extra `examples`.

    python -m examples.molecules
"""

from grammars import SMILES, text_predicate
from inference import SMC, infer, load
from ppl import factor, program, sample

try:
    from rdkit import Chem, RDLogger
    from rdkit.Chem.QED import qed
except ImportError as error:
    raise SystemExit("this example reads molecules with RDKit: pip install -e '.[examples]'") from error

MOLECULES = """CCO
CC(=O)O
c1ccccc1O
CCN(CC)CC
CC(C)CO
c1ccncc1
CC(=O)Nc1ccccc1
OC1CCCCC1
COc1ccccc1
"""

RDLogger.DisableLog("rdApp.*")
lm = load("smollm2")


@text_predicate
def new(smiles: str) -> bool:
    """Whether RDKit, too, reads a molecule, and it is not in the list."""
    return bool(smiles) and smiles not in MOLECULES.splitlines() and Chem.MolFromSmiles(smiles) is not None


def score(smiles: str) -> float:
    return float(qed(Chem.MolFromSmiles(smiles)))


@program
def molecule(preference: float) -> str:
    smiles = sample(lm(MOLECULES, stop="\n", max_tokens=24) & SMILES() & new)
    factor(preference * score(smiles))
    return smiles


def main(particles: int = 32) -> None:
    for preference in (0.0, 5.0):
        posterior = infer(molecule(preference), SMC(particles), seed=0)
        print(f"weights times exp({preference:g} QED):")
        for smiles, probability in posterior.top(5):
            print(f"  {probability:.3f}  QED {score(smiles):.2f}  {smiles}")
        print(f"  mean QED {posterior.expectation(score):.2f}; {posterior.cost}\n")


if __name__ == "__main__":
    main()

"""Masked diffusion: train a small denoiser on molecules, then sample p, p ** 2, and p tilted towards drugs.

The denoiser (a million parameters, a few minutes on two cores) learns SMILES by filling in masked tokens. The reward is
8 QED; what RDKit cannot read has no mass. "Without weights" is what samplers do that only change the draws.

    python -m examples.diffusion molecules.jsonl qed.svg     # JSON Lines with the key "smiles"
"""

import json
import math
import sys
from pathlib import Path

from inference import SMC, LocallyConstrained, TrainedMDM, infer
from inference.denoisers.trained import SMILES_TOKENS
from ppl import potential, program, sample
from ppl.targets import Target

try:
    import matplotlib.pyplot as plt
    from rdkit import Chem, RDLogger
    from rdkit.Chem.QED import qed
except ImportError as error:
    raise SystemExit("this example needs RDKit and matplotlib: pip install -e '.[examples]'") from error

RDLogger.DisableLog("rdApp.*")


def score(smiles: str) -> float | None:
    molecule = Chem.MolFromSmiles(smiles) if smiles else None
    return None if molecule is None else float(qed(molecule))


def valid(smiles: str) -> float:
    return -math.inf if score(smiles) is None else 0.0


def drug(smiles: str) -> float:
    return 8.0 * (score(smiles) or 0.0)


@program
def molecule(target: Target[str]) -> str:
    return sample(target)


def trained(file: Path, steps: int) -> TrainedMDM:
    def report(step: int, loss: float) -> None:
        if step % 200 == 0:
            print(f"step {step}: {loss:.1f} nats per molecule", file=sys.stderr)

    texts = [json.loads(line)["smiles"] for line in file.read_text(encoding="utf-8").splitlines()]
    return TrainedMDM.train(texts, pattern=SMILES_TOKENS, steps=steps, report=report)


def main(smiles: str, figure: str, steps: int = 1500, particles: int = 1024) -> None:
    mdm = trained(Path(smiles), steps)
    p, proper = mdm(length=mdm.length, order="confident"), potential(valid)
    runs = {
        "p": (p * proper, SMC(particles)),
        "p ** 2 without weights": (p**2 * proper, LocallyConstrained(particles)),
        "p ** 2": (p**2 * proper, SMC(particles)),
        "p · exp(8 QED)": (p * proper * potential(drug), SMC(particles)),
    }
    drawing, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for name, (target, method) in runs.items():
        posterior = infer(molecule(target), method, seed=0)
        weighted = [(score(text) or 0.0, weight) for text, weight in posterior.top(len(posterior))]
        mean = sum(value * weight for value, weight in weighted)
        print(f"{name}: mean QED {mean:.2f}, {posterior.cost}; best {posterior.top(1)[0][0]}")
        values, weights = zip(*weighted, strict=True)
        axes.hist(values, bins=20, range=(0, 1), weights=weights, histtype="step", label=name)
    axes.set(xlabel="QED", ylabel="posterior probability")
    axes.legend(frameon=False)
    drawing.savefig(figure)


if __name__ == "__main__":
    main(*sys.argv[1:3])

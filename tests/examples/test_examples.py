"""Every example runs, small, and prints what it promises."""

import importlib
import re

import pytest

PRINTS = {
    "triage": r"kernel(.*\n)+.*Posterior(.*\n)+P\(urgency = high\) = [01]\.\d+",
    "pattern_matching": r"LocallyConstrained.*\n(  0\.\d+  [a-z\d]{5,10}\n)+(.*\n)+SMC.*\n  [01]\.\d+  [a-z\d]{5,10}\n",
    "text_to_sql": r"[01]\.\d+  SELECT .*\n       (\(|no rows)(.*\n)+P\(the answer is Ann and Cy\) = [01]\.\d+",
    "json_schema": r"[01]\.\d+  \{'what': .*\n(.*\n)*P\(city = Lisbon\) = [01]\.\d+",
    "goal_inference": r"LocallyConstrained.*\n(.*\n)+SMC.*\n  [01]\.\d+  \((clear|on)",
    "property_test": r"without a model: 3 invoices, no failure\nwith SmolLM2: 3 invoices, ",
    "molecules": r"exp\(0 QED\):\n  [01]\.\d+  QED 0\.\d+  \S+\n(.*\n)+.*exp\(5 QED\):\n  [01]\.\d+",
}
SIZES = {
    "triage": 2,
    "pattern_matching": 4,
    "text_to_sql": 4,
    "json_schema": 2,
    "goal_inference": 4,
    "property_test": 3,
    "molecules": 8,
}


@pytest.mark.model
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PRINTS)
def test_example(name, capsys):
    if name == "molecules":
        pytest.importorskip("rdkit")
    example = importlib.import_module(f"examples.{name}")
    example.main(SIZES[name])
    assert re.search(PRINTS[name], capsys.readouterr().out)


def test_diffusion(capsys, tmp_path, monkeypatch):
    """A few small molecules are learned by heart, and tilted towards those with the better QED."""
    pytest.importorskip("rdkit")
    example = importlib.import_module("examples.diffusion")
    train = example.TrainedMDM.train
    small = {"width": 32, "layers": 2, "heads": 2, "batch": 32}
    monkeypatch.setattr(
        example.TrainedMDM, "train", lambda texts, **options: train(texts, **options, **small)
    )
    file, figure = tmp_path / "molecules.jsonl", tmp_path / "qed.svg"
    molecules = ["CCO", "CC(=O)Nc1ccccc1", "c1ccncc1", "CCCl"] * 4
    file.write_text("\n".join(f'{{"smiles": "{smiles}"}}' for smiles in molecules))
    example.main(str(file), str(figure), steps=500, particles=200)
    printed = capsys.readouterr().out
    means = [float(mean) for mean in re.findall(r"mean QED (\d\.\d+)", printed)]
    assert len(means) == 4
    assert means[3] > means[0]
    assert figure.read_text().startswith("<?xml")

"""`ppl models`: both caches, without a network."""

import pytest

from inference.cli import models


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Two caches of our own: an embedded model that is converted, and one from the hub."""
    monkeypatch.setenv("PPL_CACHE", str(tmp_path / "ppl"))
    for name in ("smollm2-0.1.2-1", "smollm2-0.1.1-1", "smollm2-0.1.2-1.x.partial"):
        folder = tmp_path / "ppl" / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x" * 1000)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repo, commit = tmp_path / "hub" / "models--org--tiny", "0123456789abcdef0123456789abcdef01234567"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "b").write_bytes(b"y" * 500)
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "snapshots" / commit / "model.safetensors").symlink_to(repo / "blobs" / "b")
    return tmp_path


def test_list(ppl):
    ran = ppl("models", "list", "--json")
    assert [(row["name"], row["cache"], row["size"]) for row in ran.rows] == [
        ("org/tiny", "huggingface", 500),
        ("smollm2", "ppl", 1000),
        ("smollm2", "ppl", 1000),
    ]
    assert "0.0 MB" in ppl("models", "list").out


def test_list_without_caches(ppl, monkeypatch, tmp_path):
    monkeypatch.setenv("PPL_CACHE", str(tmp_path / "nowhere"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nowhere"))
    assert ppl("models", "list").out == "no models are cached\n"
    assert ppl("models", "list", "--json").out == ""


def test_remove(ppl, caches):
    ran = ppl("models", "remove", "smollm2")
    assert (ran.code, "needs a yes" in ran.err) == (2, True)
    assert ppl("models", "remove", "smollm2", "--yes").code == 0
    assert [path.name for path in (caches / "ppl").iterdir()] == ["smollm2-0.1.2-1.x.partial"]
    assert ppl("models", "remove", "org/tiny", "--yes").code == 0
    assert not (caches / "hub" / "models--org--tiny").exists()
    ran = ppl("models", "remove", "smollm2", "--yes")
    assert (ran.code, "there is nothing" in ran.err) == (2, True)


def test_fetch(ppl, monkeypatch, tmp_path):
    asked = []

    def download(name, *, revision, allow_patterns):
        asked.append((name, revision))
        folder = tmp_path / "snapshot"
        folder.mkdir(exist_ok=True)
        if "pytorch_model*.bin" in allow_patterns:
            (folder / "pytorch_model.bin").touch()
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert ppl("models", "fetch", "org/old", "--revision", "v1").code == 0
    assert asked == [("org/old", "v1")] * 2


def test_fetch_what_is_not_there(ppl, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to the hub\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    ran = ppl("models", "fetch", "org/none")
    assert (ran.code, "no route to the hub" in ran.err, "and more" in ran.err) == (3, True, False)
    assert ppl("models", "fetch", "smollm2").code == 2


def test_convert(ppl, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "directory", lambda name: tmp_path / name)
    monkeypatch.setattr(models, "find", lambda name: tmp_path)
    assert str(tmp_path / "smollm2") in ppl("models", "convert", "smollm2").err.replace("\n", "")
    assert ppl("models", "convert", "org/tiny").code == 2

"""Weights of the Hugging Face Hub are fetched by the name of their repository."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints.hub_server import Hub

from samjax.checkpoints import CheckpointError, convert, load
from samjax.checkpoints.hub import is_repository
from samjax.checkpoints.loading import locate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("facebook/sam-vit-base", True),
        ("facebook/sam-vit-base@refs-1", True),
        ("wanglab/medsam-vit-base", True),
        ("some.one/a_b", True),
        ("owner/name/sam_vit_b.pth", True),
        ("owner/name@v1/checkpoints/model.safetensors", True),
        ("owner/model.pth", False),
        ("owner/model.safetensors", False),
        ("owner/name/folder", False),
        ("vit_b", False),
        ("facebook/", False),
        ("/owner/name", False),
        ("./name", False),
        ("../name", False),
        ("~/name", False),
        ("owner/../name", False),
        ("owner/name/../../a.pth", False),
        ("owner/na me", False),
        ("https://host/owner/name", False),
        ("owner\\name", False),
        ("here/name", False),
    ],
)
def test_names_of_repositories_are_told_from_paths(
    tmp_path, monkeypatch, source, is_one
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_repository(source) == is_one


def test_a_path_that_is_there_is_never_a_name(tmp_path, monkeypatch, own_file):
    folder = tmp_path / "facebook" / "sam-vit-base"
    convert(own_file, folder, format="huggingface")
    monkeypatch.chdir(tmp_path)
    assert locate("facebook/sam-vit-base") == Path("facebook/sam-vit-base")
    assert load("facebook/sam-vit-base")[0].config == load(own_file)[0].config


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"extra `hub`: pip install 'samjax\[hub"):
        load("facebook/sam-vit-base")


PROGRAM = """
import json, sys
import numpy as np
import samjax
answers = []
for source in sys.argv[1:]:
    try:
        model, params = samjax.load(source)
        kernel = params["image_encoder"]["neck_0"]["kernel"]
        answers.append([model.config.embed_dim, float(np.asarray(kernel).sum())])
    except samjax.CheckpointError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def load_in_process(hub: Hub, home: Path, *sources: str, **environment: str) -> list:
    """Loads in a process of its own: the library reads its settings when imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *sources],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if "proxy" not in k.lower()},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_weights_are_fetched_once_and_found_without_a_network(tmp_path, own_file):
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "repository"
    convert(own_file, folder, format="huggingface")
    convert(own_file, folder / "checkpoints" / "sam.pth")
    (folder / "README.md").write_text("not wanted")
    (folder / "tf_model.h5").write_bytes(bytes(1000))
    model, params = load(own_file)
    kernel = params["image_encoder"]["neck_0"]["kernel"]
    expected = [model.config.embed_dim, pytest.approx(float(kernel.sum()), rel=1e-5)]
    home = tmp_path / "home"
    name = "someone/sam-small"
    with Hub(folder, name) as hub:
        found = load_in_process(
            hub,
            home,
            name,
            f"{name}@main",
            f"{name}/checkpoints/sam.pth",
            "someone/else",
            f"{name}/absent.pth",
        )
        asked = set(hub.asked)
    assert found[:3] == [expected] * 3
    assert all("the Hugging Face Hub does not give it" in said for said in found[3:])
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {"config.json", "model.safetensors", "sam.pth", "absent.pth"}
    # The server is gone.
    assert load_in_process(hub, home, name, HF_HUB_OFFLINE="1") == [expected]


def test_a_repository_of_old_weights_and_one_of_none(tmp_path, own_file):
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "repository"
    convert(own_file, folder, format="huggingface")
    convert(folder, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with Hub(folder, "someone/old") as hub:
        [found] = load_in_process(hub, tmp_path / "home", "someone/old")
        assert found[0] == load(own_file)[0].config.embed_dim
        (folder / "pytorch_model.bin").unlink()
        [said] = load_in_process(hub, tmp_path / "other home", "someone/old")
        assert "has no weights: expected model.safetensors or pytorch_model.bin" in said

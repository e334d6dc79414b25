"""From SA-1B's tars to the masks of a photo, by the command alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax import cli

ROOT = Path(__file__).parents[1]

CONFIG = """
from samjax.data.datasets import DatasetConfig
from samjax.models import SamConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

def get_config():
    return TrainConfig(
        model=SamConfig(
            image_size=64, patch_size=8, embed_dim=32, depth=1, num_heads=2,
            global_attention_blocks=(0,), window_size=4, decoder_mlp_dim=32,
        ),
        data=DatasetConfig(path="sa1b", format="sa1b", max_bad_fraction=0.9),
        stages=(
            Stage(
                steps=4, image_size=64, batch_size=2, masks_per_image=4, accumulate=2,
                prompts=PromptSimulationConfig(
                    correction_points=0, refine_at_random=False, refine_at_end=False,
                ),
            ),
        ),
        picture_every=None,
        tensorboard=False,
    )
"""


@pytest.mark.slow
def test_tars_become_a_model_that_segments(tmp_path, capfd):
    tars = tmp_path / "tars"
    make = [sys.executable, ROOT / "tools" / "make_sa1b.py", "--out", tars]
    sizes = "--tars 2 --images 5 --height 48 --width 64 --masks 4 --content noise --damage 2"
    subprocess.run([*make, *sizes.split()], check=True, cwd=ROOT)
    assert cli.main(["data", "index", str(tars)]) == 0
    (tmp_path / "config.py").write_text(CONFIG)
    run = tmp_path / "run"
    words = ["train", str(tmp_path / "config.py"), "--data.path", str(tars)]
    words += ["--out", str(run)]
    assert cli.main([*words, "--held-out-images", "0"]) == 0
    weights = run / "model.safetensors"
    told = capfd.readouterr().out
    assert str(weights) in told
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]) for line in steps)
    assert sum(line["masks"] for line in steps) > 0
    assert sum(line["bad_examples"] for line in steps) > 0

    words = ["evaluate", str(weights), "--scenes", "1", "--out", str(tmp_path / "eval")]
    assert cli.main(words) == 0
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    out = tmp_path / "masks"
    words = ["segment", str(photo), "--model", str(weights), "--point", "20,20"]
    assert cli.main([*words, "--out", str(out)]) == 0
    (record,) = out.glob("*.json")
    assert json.loads(record.read_text())

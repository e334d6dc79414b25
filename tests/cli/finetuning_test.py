"""`samjax train` on a folder of images: any sizes, held-out scores, small files."""

import json

import numpy as np
import pytest
from conftest import random_params
from PIL import Image

import samjax
from samjax import checkpoints, cli
from samjax.cli.train import initial_of
from samjax.models import Sam, SamConfig
from samjax.training.finetune.delta_file import load_trained
from samjax.training.finetune.lora import merge_lora
from samjax.training.launch import sizes_of

CONFIG = """
from samjax.data.datasets import DatasetConfig
from samjax.models import TINY
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.lora import LoraConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

def get_config(model=TINY):
    return TrainConfig(
        model=model,
        data=DatasetConfig(path="none", format="folder", validation_fraction=0.3),
        trainable="decoder",
        lora=LoraConfig(rank=0),
        stages=(
            Stage(
                steps=2, image_size=model.image_size, batch_size=1, masks_per_image=2,
                prompts=PromptSimulationConfig(
                    correction_points=0, refine_at_random=False, refine_at_end=False,
                ),
            ),
        ),
        picture_every=None,
        tensorboard=False,
    )
"""


@pytest.mark.parametrize(
    ("words", "initial"),
    [
        (["--out", "x"], None),
        (["--initial", "vit_b", "--out", "x"], "vit_b"),
        (["--initial=a.pth"], "a.pth"),
        (["--initial"], None),
    ],
)
def test_the_weights_to_start_from_are_found_among_the_words(words, initial):
    assert initial_of(words) == initial


def test_sizes_are_those_of_the_weights():
    assert sizes_of("tiny").image_size == 512


@pytest.fixture
def weights(tmp_path):
    config = SamConfig(
        image_size=32,
        patch_size=8,
        embed_dim=32,
        depth=1,
        num_heads=2,
        global_attention_blocks=(0,),
        window_size=4,
        decoder_mlp_dim=32,
    )
    params = random_params(Sam(config), seed=0)
    return checkpoints.save(tmp_path / "start.safetensors", config, params)


@pytest.mark.slow
def test_a_folder_of_images_ends_in_weights_and_a_small_file(weights, tmp_path, capfd):
    (tmp_path / "config.py").write_text(CONFIG)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 99, (24, 32), np.uint8)
        mask = np.zeros_like(image)
        mask[4:14, 5:20] = 1
        image[mask > 0] += 150
        for kind, pixels in (("images", image), ("masks", mask)):
            Image.fromarray(pixels).save(tmp_path / "data" / kind / f"{number}.png")

    out = tmp_path / "run"
    words = ["train", str(tmp_path / "config.py"), "--initial", str(weights)]
    words += ["--data.path", str(tmp_path / "data"), "--out", str(out)]
    words += ["--held-out-images", "2", "--lora.rank", "2", "--trainable", "adapters"]
    assert cli.main(words) == 0
    told = capfd.readouterr().out
    assert "before" in told and "held_out/box" in told and "trained.safetensors" in told
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert "held_out/click_1" in {name for line in lines for name in json.loads(line)}

    _, start = samjax.load(weights)
    model, end = samjax.load(out / "model.safetensors")
    assert model.config.embed_dim == 32
    adapted, lora = load_trained(out / "trained.safetensors", start)
    again = merge_lora(adapted, lora)
    before, after, rebuilt = (
        np.asarray(tree["image_encoder"]["blocks_0"]["attn"]["qkv"]["kernel"])
        for tree in (start, end, again)
    )
    assert np.any(before != after)
    np.testing.assert_array_equal(rebuilt, after)
    np.testing.assert_array_equal(
        start["mask_decoder"]["iou_token"]["embedding"],
        end["mask_decoder"]["iou_token"]["embedding"],
    )

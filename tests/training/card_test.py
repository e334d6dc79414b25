"""The model card of a run: what it says, and that edits of it are kept."""

import dataclasses
import json

import pytest
from conftest import random_params
from training.discs import make_discs
from training.small_run import run_config

from samjax import checkpoints
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.data.synthetic.config import SceneConfig
from samjax.models import Sam
from samjax.training import launch as module
from samjax.training.card import CARD, TO_FILL, card_text, read_scores
from samjax.training.launch import launch


@pytest.fixture
def config(fake_step, monkeypatch):
    monkeypatch.setattr(module, "make_source", make_discs)
    model = dataclasses.replace(run_config().model, drop_path_rate=0.0)
    return dataclasses.replace(run_config(), model=model, initialization="random")


def run(config, out, initial, score=0.5):
    return launch(
        config,
        out=out,
        initial=str(initial),
        evaluators=lambda config, model: {"held_out": lambda params: {"box": score}},
    )


def test_a_run_leaves_a_card_and_never_replaces_an_edited_one(config, tmp_path):
    weights = checkpoints.save(
        tmp_path / "start.safetensors",
        config.model,
        random_params(Sam(config.model), 0),
    )
    out = tmp_path / "leaves"
    card = run(config, out, weights).card
    assert card == out / CARD
    text = card.read_text()
    assert "# Model card: leaves" in text and str(weights) in text
    assert "| held_out/box | 0.500 | 0.500 |" in text and TO_FILL in text

    def again(**options):
        for path in (out / "checkpoints", out / "metrics.jsonl"):
            path.rename(tmp_path / f"{path.name}.{len(list(tmp_path.iterdir()))}")
        return run(config, out, weights, **options).card

    assert again(score=0.75) == card and "0.750" in card.read_text()
    edited = card.read_text().replace(TO_FILL, "CC0", 1)
    card.write_text(edited)
    assert again(score=0.25) is None
    assert card.read_text() == edited


def test_a_card_names_every_dataset_and_asks_for_its_licence():
    scenes = MixturePart(
        scenes=SceneConfig(),
        textures=DatasetConfig(path="walls", format="coco", unlabelled=True),
    )
    leaves = MixturePart(data=DatasetConfig(path="leaves|wet", format="folder"))
    config = dataclasses.replace(
        run_config(), data=MixtureConfig(parts=(leaves, scenes))
    )
    params = random_params(Sam(config.model), 0)
    text = card_text("a", config, params, None, {}, {})
    for row in ("`leaves/wet` | folder", "`walls` | coco", "scenes drawn by samjax"):
        assert row in text
    assert text.count(f"{TO_FILL} | {TO_FILL} |") == 2
    assert f"The run measured none: {TO_FILL}" in text
    stored = text.partition("```json\n")[2].partition("```")[0]
    assert json.loads(stored)["model"]["image_size"] == config.model.image_size


def test_scores_are_those_of_the_last_step(tmp_path):
    lines = (
        {"step": 4, "held_out/box": 0.1},
        {"step": 8, "loss": 2.0},
        {"step": 8, "held_out/box": 0.2, "held_out/click": None},
        {"step": 8, "other/box": 0.3},
    )
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_scores(path, 8) == {"held_out/box": 0.2, "other/box": 0.3}

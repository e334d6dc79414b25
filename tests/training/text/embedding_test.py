"""Vectors of a dataset embedded before training, by shares, and used by the training."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from models.text_sam.model_test import plain_config
from small_photo_set import TWO, square, write_set

from samjax import checkpoints
from samjax.data.datasets import DatasetConfig
from samjax.data.mask_crops import CropConfig
from samjax.data.share import Share
from samjax.training.config import Stage, TrainConfig
from samjax.training.launch import source_factory
from samjax.training.text import source as source_module
from samjax.training.text.config import TextTraining
from samjax.training.text.embedding import count_images, embed_dataset, shards_of
from samjax.training.text.initial import with_text


@pytest.fixture
def config(tmp_path):
    clip = checkpoints.save(
        tmp_path / "clip.safetensors", SMALL, tree_of(SMALL, random_state(SMALL))
    )
    return TrainConfig(
        model=with_text(plain_config(), SMALL),
        data=DatasetConfig(
            path=str(write_set(tmp_path / "set", (TWO, TWO[:1], TWO[1:]))),
            format="coco",
        ),
        text=TextTraining(
            clip=str(clip),
            crops=CropConfig(side=24, patch=8),
            variants=2,
            smallest_area=0,
            sidecar=str(tmp_path / "vectors"),
        ),
        stages=(Stage(steps=1, image_size=64, batch_size=3, masks_per_image=2),),
    )


def make_source(config):
    """Opens the run's source, as training does."""
    open_source = source_factory(config, config.build_model(), None)
    return open_source(config, config.stages[0], 0, 1)


def test_training_finds_what_was_embedded_by_shares(config, counted, monkeypatch):
    monkeypatch.setattr(source_module, "SHARD_EXAMPLES", 1)
    assert [count_images(config, Share(i, 2)) for i in (0, 1)] == [2, 1]
    assert list(embed_dataset(config, Share(0, 2))) == [0, 2]
    # A second call, as after a kill, embeds nothing again.
    first = len(counted)
    assert list(embed_dataset(config, Share(0, 2))) == [0, 2] and len(counted) == first
    assert list(embed_dataset(config, Share(1, 2))) == [1]
    assert len(counted) == 4
    source = make_source(config)
    batch = source.batch(0)
    source.close()
    assert len(counted) == 4 and int(np.sum(batch.valid)) == 4
    np.testing.assert_allclose(
        np.linalg.norm(batch.text[batch.valid], axis=-1), 1, atol=1e-5
    )


def test_masks_beyond_those_of_a_step_are_embedded_when_they_are_drawn(
    config, counted, tmp_path
):
    many = [square(5 + 25 * y, 4 + 18 * x, 12 + x) for y in (0, 1) for x in range(4)]
    data = DatasetConfig(path=str(write_set(tmp_path / "many", [many])), format="coco")
    config = dataclasses.replace(config, data=data)
    list(embed_dataset(config))
    assert len(counted) == 2  # of eight masks
    source = make_source(config)
    for step in range(20):
        source.batch(step)
    source.close()
    # Each once, whatever was drawn how often.
    assert 2 < len(counted) <= 8
    counted.clear()
    again = make_source(config)
    for step in range(20):
        again.batch(step)
    again.close()
    assert not counted


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_embed_what_one_does(config, counted, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import pickle\nfrom pathlib import Path\n"
        "def get_config():\n"
        "    return pickle.loads(Path(__file__).with_suffix('.pkl').read_bytes())\n"
    )
    script.with_suffix(".pkl").write_bytes(pickle.dumps(config))
    command = [sys.executable, "-m", "samjax", "train", str(script), "--text-vectors"]
    # Both take all images, so that they meet in every shard.
    runs = [
        subprocess.Popen([*command, share], stdout=subprocess.PIPE, text=True)
        for share in ("0/1", "0/1")
    ]
    for run in runs:
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0 and "vectors of the masks of 3 images" in said
    alone = dataclasses.replace(config.text, sidecar=None)
    expected = make_source(dataclasses.replace(config, text=alone)).batch(0)
    counted.clear()
    found = make_source(config).batch(0)
    assert not counted
    np.testing.assert_array_equal(found.text, expected.text)


def test_an_embedding_that_was_ended_keeps_what_it_had(config, counted):
    run = embed_dataset(config)
    next(run)
    run.close()
    assert 0 < len(counted) < 4
    list(embed_dataset(config))
    assert len(counted) == 4


def test_shards_are_those_of_the_dataset_in_its_order():
    class Tars:
        def __len__(self):
            return 7

        def __getitem__(self, index):
            raise AssertionError("no example is read")

        def shard_of(self, index):
            return "abbcccc"[index]

    assert list(shards_of(Tars())) == [[0], [1, 2], [3, 4, 5, 6]]
    assert list(shards_of(Tars(), Share(1, 2))) == [[1, 2]]
    assert list(shards_of(Tars(), Share(0, 2))) == [[0], [3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": None}, "the run has no text"),
        ({"data": None}, "expected data.path"),
        ({"data": {"flip": True}}, "differ from epoch to epoch"),
        ({"text": {"sidecar": None}}, "expected a folder"),
        ({"text": {"sidecar": "a.safetensors"}}, "expected a folder"),
    ],
)
def test_runs_that_cannot_be_embedded_before_are_refused(config, change, problem):
    for field, value in change.items():
        if isinstance(value, dict):
            value = dataclasses.replace(getattr(config, field), **value)
        config = dataclasses.replace(config, **{field: value})
    with pytest.raises(ValueError, match=problem):
        list(embed_dataset(config))
    with pytest.raises(ValueError, match=problem):
        count_images(config)


def test_the_mean_is_a_part_of_the_identity_only_where_it_is_subtracted(config):
    assert "mean_masks" not in config.identity()["text"]
    text = dataclasses.replace(config.text, mean_masks=3)
    assert dataclasses.replace(config, text=text).identity()["text"]["mean_masks"] == 3
    with pytest.raises(ValueError, match="mean_masks=-1: use 0 or more"):
        TextTraining(mean_masks=-1)

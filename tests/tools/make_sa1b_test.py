"""Synthetic tars read back as written, and planted damage is counted."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from samjax.data.datasets import DatasetConfig, open_source
from samjax.data.formats.sa1b import read_shard
from samjax.data.prepare import Status
from samjax.data.sa1b.source import open_sa1b
from samjax.geometry.masks import decode_rle

TOOL = Path(__file__).parents[2] / "tools" / "make_sa1b.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_sa1b", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sa1b"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_sa1b"]


def make(tool, out: Path, **changes):
    options = {
        "tars": 2,
        "images": 3,
        "height": 60,
        "width": 80,
        "masks": 6,
        "content": "noise",
    }
    return tool.make_sa1b(tool.MakeConfig(out=out, **options | changes))


def test_the_tars_are_sound_and_the_same_each_time(tool, tmp_path):
    assert make(tool, tmp_path / "a") == {}
    make(tool, tmp_path / "b")
    names = []
    for tar in sorted((tmp_path / "a").iterdir()):
        assert tar.read_bytes() == (tmp_path / "b" / tar.name).read_bytes()
        for name, _, record in read_shard(tar):
            names.append(name)
            masks = [decode_rle(a["segmentation"]) for a in record["annotations"]]
            assert 4 <= len(masks) <= 6 and masks[0].shape == (60, 80)
            points = [a["point_coords"][0] for a in record["annotations"]]
            for mask, (column, row) in zip(masks, points, strict=True):
                assert mask[int(row), int(column)]
            areas = [annotation["area"] for annotation in record["annotations"]]
            assert areas == [mask.sum() for mask in masks] and sum(areas) > 500
    assert names == [f"sa_{number}.jpg" for number in range(1, 7)]


@pytest.mark.slow  # Compiles the drawing of scenes.
def test_drawn_scenes_fill_the_image_with_masks(tool):
    config = tool.MakeConfig(out=Path(), height=96, width=160, masks=40)
    pixels, masks = tool._draw_scenes(config, np.random.default_rng(0))
    assert pixels.shape == (96, 160, 3) and pixels.dtype == np.uint8
    assert len(masks) > 15
    covered = masks.any(axis=0)
    for quarter in (covered[:48, :80], covered[48:, 80:]):
        assert quarter.mean() > 0.15


STATUS = {
    "cut_jpeg": {Status.BAD_IMAGE},
    "jpeg_without_end": {Status.BAD_IMAGE},
    "flipped_bytes": {Status.BAD_IMAGE},
    "empty_image": {Status.BAD_IMAGE},
    "no_image": {Status.MISSING_IMAGE},
    "no_record": {Status.MISSING_RECORD},
    "broken_json": {Status.BAD_RECORD},
    "other_size": {Status.SIZE_MISMATCH},
    "swapped_sides": {Status.SIZE_MISMATCH},
    "corrupt_masks": {Status.FINE},
    "empty_masks": {Status.NO_MASK},
    "whole_image_mask": {Status.FINE},
    "cut_tar": {Status.MISSING_RECORD},
}


def test_every_planted_damage_is_counted_and_no_sound_image_is(tool, tmp_path):
    planted = make(tool, tmp_path, images=14, damage=2)
    assert json.loads((tmp_path / "damage.json").read_text()) == planted
    assert set(planted.values()) == set(STATUS)
    examples = open_sa1b(str(tmp_path))
    config = DatasetConfig(path=str(tmp_path), largest_mask=0.95)
    source = open_source(
        config,
        image_size=32,
        masks_per_image=8,
        batch_size=len(examples),
        seed=0,
    )
    batch = source.batch(0)
    source.close()
    assert any("cut off within a member" in problem for problem in source.problems)
    assert sorted(batch.index) == list(range(28))
    for index, status, valid, bad_masks in zip(
        batch.index, batch.status, batch.valid, batch.bad_masks, strict=True
    ):
        name = examples[int(index)].name.partition(":")[2]
        kind = planted.get(name)
        assert Status(status) in STATUS.get(kind, {Status.FINE}), kind
        assert valid.any() == (status == Status.FINE)
        assert (bad_masks in (2, 3)) if kind == "corrupt_masks" else bad_masks == 0
        assert valid.sum() <= 6

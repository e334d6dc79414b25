"""The measurement of pseudo-labels on known masks."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from engine.shown_things import PHOTO, both, find_colors
from PIL import Image
from small_photo_set import TWO, square, write_set

from samjax.checkpoints import save
from samjax.engine.pseudo_labels import PseudoLabelConfig, find_in_views
from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.geometry.masks import mask_to_counts
from samjax.inference import Predictor

sys.path.append(str(Path(__file__).parents[2] / "tools"))
quality = importlib.import_module("pseudo_label_quality")


def counts(*masks):
    return [mask_to_counts(mask) for mask in masks]


def test_settings_are_everything_mode_and_every_agreement(tiny_model):
    config = PseudoLabelConfig(scales=())
    found = find_in_views(Predictor(*tiny_model), PHOTO, config, both)
    masks = quality.settings(found, config, (0.5, 0.9))
    assert {name: len(some) for name, some in masks.items()} == {
        "everything": 3,
        "agreement 0.5": 2,
        "agreement 0.9": 2,
    }
    only_things = find_in_views(Predictor(*tiny_model), PHOTO, config, find_colors)
    assert len(quality.settings(only_things, config, ())["everything"]) == 2


def test_masks_are_compared_with_all_objects_but_for_regions_to_ignore(tmp_path):
    region = square(40, 0, 15)
    folder = write_set(tmp_path / "set", [TWO], ignored=[region])
    (photo,) = read_photo_set(folder).photos
    half = TWO[0].copy()
    half[:16] = False
    scored = quality.score(photo, counts(half, square(41, 1, 13), square(0, 60, 9)))
    np.testing.assert_allclose(scored.best_of_mask, [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(scored.best_of_object, [0.5, 0.0], atol=1e-12)
    line = quality.summary("setting", [scored, quality.score(photo, counts(*TWO))])
    # Of four masks three match an object, and three of four objects are found.
    assert "0.750 (0.500 to 1.000)" in line and line.endswith("0.62  0.750")
    assert quality.summary("none", [quality.Scored(np.zeros(0), np.zeros(2))])


def test_a_model_is_measured_and_its_labels_drawn(tmp_path, tiny_model, capsys):
    model, params = tiny_model
    weights = save(tmp_path / "small.safetensors", model.config, params)
    folder = write_set(tmp_path / "set", [TWO] * 2)
    config = quality.Config(
        data=folder,
        model=str(weights),
        photos=1,
        points_per_side=2,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        agreement=(0.2, 1.0),
        pictures=tmp_path / "pictures",
    )
    quality.main(config)
    printed = capsys.readouterr().out
    assert "1 photos, median" in printed
    for name in ("everything", "agreement 0.2", "agreement 1.0"):
        assert f"\n{name}" in printed
    with Image.open(tmp_path / "pictures/000.png") as picture:
        assert picture.size == (80, 60)


def test_the_options_are_those_of_the_command():
    assert quality.Config(data=Path("x")).pred_iou_thresh == pytest.approx(
        float(quality.EVERYTHING.pred_iou_thresh)
    )

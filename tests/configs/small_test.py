"""The recipe of `small`: rounds of pseudo-labels are parts of their own in its mixture."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from data.finetune.files import coco_folder, square

from samjax.data.datasets import open_examples
from samjax.data.formats import write_coco
from samjax.data.formats.annotations import make_annotation
from samjax.geometry.masks import mask_to_counts

FILE = Path(__file__).parents[2] / "configs/train/small.py"


def parts(monkeypatch, **environment):
    """The parts of the run's mixture in an environment."""
    for name in ("SAMJAX_PHOTOS", "SAMJAX_PSEUDO_LABELS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return runpy.run_path(str(FILE))["get_config"]().data.parts


def test_labels_of_a_round_are_a_part_of_lower_loss_weight(monkeypatch, tmp_path):
    coco_folder(tmp_path / "photos/coco_permissive")
    image = {"image_id": 2, "height": 24, "width": 32, "file_name": "photo 2.png"}
    label = make_annotation(mask_to_counts(square(2, 3, 9)), (24, 32), 1)
    file = tmp_path / "round_1/coco_permissive.json"
    write_coco(file, [{"image": image, "annotations": [label]}])
    photos = {"SAMJAX_PHOTOS": tmp_path / "photos"}
    without = parts(monkeypatch, **photos)
    found = parts(monkeypatch, **photos, SAMJAX_PSEUDO_LABELS=file.parent)
    assert len(found) == len(without) + 1
    (added,) = [one for one in found if one.data and one.data.path == str(file)]
    assert 0 < added.loss_weight < 1
    assert all(one.loss_weight == 1 for one in found if one is not added)
    assert added.data.exclude_licences == without[0].data.exclude_licences


def test_the_labels_are_read_with_the_photos_of_their_set(monkeypatch, tmp_path):
    folder = tmp_path / "photos/photos_unlabelled"
    coco_folder(folder, images=".")
    image = {"image_id": 2, "height": 24, "width": 32, "file_name": "photo 2.png"}
    label = make_annotation(mask_to_counts(square(2, 3, 9)), (24, 32), 1)
    file = tmp_path / "round_1/photos_unlabelled.json"
    write_coco(file, [{"image": image, "annotations": [label]}])
    found = parts(
        monkeypatch,
        SAMJAX_PHOTOS=tmp_path / "photos",
        SAMJAX_PSEUDO_LABELS=file.parent,
    )
    (added,) = [one for one in found if one.data and one.data.path == str(file)]
    (example,) = open_examples(added.data)
    assert example.image == (folder / "photo 2.png").read_bytes()
    assert np.isclose(added.loss_weight, 0.5)


def test_a_folder_without_labels_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="samjax data label"):
        parts(monkeypatch, SAMJAX_PSEUDO_LABELS=tmp_path)

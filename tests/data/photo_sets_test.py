"""Datasets of real photos open unchanged, if they are available.

They are not part of the repository: `SAMJAX_PHOTOS` is the folder of the datasets, each a
folder with `annotations.json` and `images/`; without it, a folder beside the repository
is used if there is one.
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.prepare import Status, prepare

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "train"
PHOTOS = Path(os.environ.get("SAMJAX_PHOTOS", BESIDE))
SETS = sorted(path.parent for path in PHOTOS.glob("*/annotations.json"))
SHARE_ALIKE = ("5", "CC BY-SA")

pytestmark = [
    pytest.mark.skipif(
        not SETS, reason="no sets of photos: SAMJAX_PHOTOS names their folder"
    ),
    # Crowds and boxes without a mask are left out with a warning, which other tests check.
    pytest.mark.filterwarnings("ignore:.*(iscrowd|boxes without a mask):UserWarning"),
]


def config_of(folder: Path) -> DatasetConfig:
    return DatasetConfig(path=str(folder), format="coco", exclude_licences=SHARE_ALIKE)


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_a_photo_dataset_opens_and_its_photos_become_examples(folder):
    content = json.loads((folder / "annotations.json").read_text())
    config = config_of(folder)
    is_labelled = any(entry.get("segmentation") for entry in content["annotations"])
    if not is_labelled:
        with pytest.raises(ValueError, match="no image with a mask"):
            open_examples(config)
        config = dataclasses.replace(config, unlabelled=True)
    examples = open_examples(config)
    assert 0 < len(examples) <= len(content["images"])
    prepared = config.preparation(image_size=128, masks_per_image=8)
    for index in np.linspace(0, len(examples) - 1, 5).astype(int).tolist():
        made = prepare(examples[index], prepared, np.random.default_rng(0), index)
        assert made.status == (Status.FINE if is_labelled else Status.NO_MASK)
        assert made.bad_masks == 0 and made.image.any()


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_no_share_alike_photo_is_left(folder):
    content = json.loads((folder / "annotations.json").read_text())
    named = {
        entry["file_name"]: str(entry.get("license", entry.get("licence", "")))
        for entry in content["images"]
    }
    left_out = {name for name, one in named.items() if one == "5" or "BY-SA" in one}
    config = dataclasses.replace(config_of(folder), unlabelled=True)
    examples = open_examples(config)
    found = {examples[index].name for index in range(len(examples))}
    assert found == set(named) - left_out

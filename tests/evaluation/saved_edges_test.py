"""Saved edge maps are found by the name of the image, and defects are named."""

import numpy as np
import pytest
from PIL import Image

from samjax.evaluation.saved_edges import SavedEdges

IMAGE = np.zeros((4, 6, 3), np.uint8)


def test_a_map_is_read_by_the_name_of_the_image_and_changes_the_hash(tmp_path):
    levels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(levels).save(tmp_path / "12.png")
    maps = SavedEdges(tmp_path)
    edges = maps.detect_edges(IMAGE, "images/12.jpg")
    assert np.allclose(edges * 255, levels)
    before = maps.describe()
    Image.fromarray(levels + 1).save(tmp_path / "12.png")
    assert maps.describe()["sha256"] != before["sha256"]
    assert before["maps"] == 1


@pytest.mark.parametrize(
    ("pixels", "text"),
    [
        (None, r"12\.png: No such file"),
        (np.zeros((6, 4), np.uint8), r"got an edge map of \(6, 4\)"),
        (IMAGE, "mode RGB"),
    ],
)
def test_a_map_that_does_not_fit_is_named(pixels, text, tmp_path):
    if pixels is not None:
        Image.fromarray(pixels).save(tmp_path / "12.png")
    with pytest.raises(ValueError, match=text):
        SavedEdges(tmp_path).detect_edges(IMAGE, "12.jpg")


def test_a_folder_without_maps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected edge maps"):
        SavedEdges(tmp_path).describe()

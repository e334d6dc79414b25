"""Files appear whole or not at all."""

import json

import numpy as np
import pytest
from PIL import Image

from samjax.cli import outputs


def test_images_and_records_are_read_back(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 5, 3), np.uint8)
    mask = rng.random((4, 5)) < 0.5
    outputs.write_image(tmp_path / "photo.png", pixels)
    outputs.write_image(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "photo.png")), pixels
    )
    read = np.asarray(Image.open(tmp_path / "mask.png"))
    np.testing.assert_array_equal(read != 0, mask)
    content = {"image": {"width": 5}, "annotations": [{"id": 1}, {"id": 2}], "none": []}
    outputs.write_json(tmp_path / "photo.json", content)
    assert json.loads((tmp_path / "photo.json").read_text()) == content


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_a_write_that_is_cut_off_leaves_the_old_file_and_no_other(
    tmp_path, monkeypatch, interruption
):
    path = tmp_path / "mask.png"
    path.write_text("old")

    def cut_off(self, file, format):
        file.write_text("half")
        raise interruption

    monkeypatch.setattr(Image.Image, "save", cut_off)
    with pytest.raises(interruption):
        outputs.write_image(path, np.zeros((2, 2), bool))
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]
    assert path.read_text() == "old"


def test_a_folder_that_is_a_file_is_found_out_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError):
        outputs.make_folder(tmp_path / "taken")
    with pytest.raises(OSError):
        outputs.make_folder(tmp_path / "taken" / "below")
    outputs.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []

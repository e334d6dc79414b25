"""Photos found and opened as people have them."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from samjax.cli.photos import check_photo, find_photos, read_mask


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (5, 7, 3), np.uint8)


def test_a_folder_gives_its_photos_in_order_and_nothing_else(tmp_path, pixels):
    for name in ("b.PNG", "a.jpg", "c.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    assert [path.name for path in find_photos([tmp_path])] == [
        "a.jpg",
        "b.PNG",
        "c.tif",
    ]


def test_a_mask_is_every_pixel_that_is_not_black(tmp_path):
    mask = np.array([[0, 1, 0], [255, 0, 7]], np.uint8)
    colours = np.zeros((2, 3, 4), np.uint8)
    colours[..., 2] = mask
    colours[..., 3] = 255
    Image.fromarray(mask).save(tmp_path / "grey.png")
    Image.fromarray(mask > 0).save(tmp_path / "bits.png")
    Image.fromarray(colours).save(tmp_path / "colours.png")
    Image.fromarray(mask.astype(np.uint16)).save(tmp_path / "numbers.png")
    for name in ("grey", "bits", "colours", "numbers"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), mask > 0)


def test_what_is_wrong_with_a_photo_is_said(tmp_path, pixels):
    with pytest.raises(ValueError, match="no photo is named"):
        find_photos([])
    with pytest.raises(FileNotFoundError):
        find_photos([tmp_path / "missing.jpg"])
    with pytest.raises(ValueError, match="no image is there"):
        find_photos([tmp_path])
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(ValueError, match=r"text\.jpg is not an image"):
        find_photos([tmp_path])
    Image.fromarray(np.tile(pixels, (40, 40, 1))).save(tmp_path / "whole.png")
    assert check_photo(tmp_path / "whole.png") == (200, 280)
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.png is damaged"):
        read_mask(tmp_path / "cut.png")


def test_a_photo_of_absurd_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (20, 20)).save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match=r"bomb\.png is too large"):
        find_photos([tmp_path / "bomb.png"])


def test_photos_whose_results_would_have_one_name_are_refused(tmp_path, pixels):
    for name in ("a.png", "a.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ValueError, match="same name"):
        find_photos([tmp_path])


def test_a_bad_photo_is_skipped_in_a_folder_and_refused_by_name(
    tmp_path, pixels, capsys
):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no photo")
    # Of the same stem as a sound photo, it is skipped too.
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    assert find_photos([tmp_path]) == [tmp_path / "a.png"]
    assert "skipped" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"b\.png is not an image"):
        find_photos([tmp_path / "a.png", tmp_path / "b.png"])


def test_a_tar_is_refused_with_the_command_that_reads_it(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "a.png", "a.png")
    with pytest.raises(ValueError, match="samjax everything reads"):
        find_photos([tmp_path / "photos.tar"])

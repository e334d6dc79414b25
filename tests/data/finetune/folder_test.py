"""Folders of images and masks as examples, in all their layouts."""

import numpy as np
import pytest
from data.finetune.files import SIZE, noise, save, square
from PIL import Image

from samjax.data.finetune import FolderSource, open_examples
from samjax.data.finetune.folder import read_labels, read_object
from samjax.evaluation.examples import read_example


def masks_of(source, index=0):
    image, masks = read_example(source[index])
    assert image.shape == (*SIZE, 3)
    return {mask.tobytes() for mask in masks}


A, B = square(1, 2, 5), square(10, 12, 8)
BOTH = {A.tobytes(), B.tobytes()}


def test_a_label_map_has_a_mask_for_each_label(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", (3 * A + 200 * B).astype(np.uint8))
    assert masks_of(open_examples(tmp_path, "folder")) == BOTH


def test_a_black_and_white_mask_is_one_object_or_one_for_each_region(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", (255 * (A | B)).astype(np.uint8))
    assert masks_of(FolderSource(tmp_path)) == {(A | B).tobytes()}
    assert masks_of(FolderSource(tmp_path, separate=True)) == BOTH


def test_each_colour_of_a_mask_is_an_object(tmp_path):
    colours = A[..., None] * [255, 0, 0] + B[..., None] * [0, 0, 7]
    save(tmp_path / "images" / "leaf.png", noise(0))
    save(tmp_path / "masks" / "leaf.png", colours.astype(np.uint8))
    assert masks_of(FolderSource(tmp_path)) == BOTH


@pytest.mark.parametrize("place", ["leaf_{}.png", "leaf/{}.bmp", "leaf_cell_{}.tif"])
def test_several_files_are_an_object_each(tmp_path, place):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    for number, mask in enumerate((A, B)):
        soft = np.where(mask, 250, 9).astype(np.uint8)
        save(tmp_path / "masks" / place.format(number), soft)
    assert masks_of(FolderSource(tmp_path)) == BOTH


def test_a_mask_goes_to_the_image_with_the_longest_name_that_it_begins_with(tmp_path):
    for name in ("leaf", "leaf_1"):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", A.astype(np.uint8))
    save(tmp_path / "masks" / "leaf_1_0.png", B.astype(np.uint8))
    source = FolderSource(tmp_path)
    assert source.groups == ("leaf", "leaf_1")
    assert masks_of(source, 0) == {A.tobytes()}
    assert masks_of(source, 1) == {B.tobytes()}


def test_what_has_no_partner_is_left_out_and_told(tmp_path):
    for name in ("leaf", "bare"):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
    for name in ("leaf", "stray"):
        save(tmp_path / "masks" / f"{name}.png", A.astype(np.uint8))
    with pytest.warns(UserWarning, match="2 parts are left out"):
        source = FolderSource(tmp_path)
    assert source.groups == ("leaf",)
    assert source.problems == ("stray.png is of no image", "bare.jpg has no mask")


def test_masks_that_go_bad_are_none_and_not_raised(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    for number in range(2):
        save(tmp_path / "masks" / f"leaf_{number}.png", A.astype(np.uint8))
    source = FolderSource(tmp_path)
    save(tmp_path / "masks" / "leaf_1.png", np.ones((3, 3), np.uint8))
    assert source[0].record is None and source[0].image
    path = tmp_path / "masks" / "leaf_0.png"
    for content in (b"", path.read_bytes()[:60], b"\x89PNG\r\n\x1a\n" + bytes(40)):
        path.write_bytes(content)
        assert source[0].record is None
    path.unlink()
    assert source[0].record is None


def test_a_picture_in_place_of_a_label_map_is_no_record(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    save(tmp_path / "images" / "leaf.jpg", picture)
    save(tmp_path / "masks" / "leaf.png", picture)
    assert FolderSource(tmp_path)[0].record is None


@pytest.mark.parametrize("masks_are_upright", [True, False])
def test_a_photo_on_its_side_is_turned_if_its_masks_are(tmp_path, masks_are_upright):
    lying = np.zeros((*SIZE[::-1], 3), np.uint8)
    lying[:10, :8] = 250  # its top left; upright, its top right
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.fromarray(lying).save(tmp_path / "images" / "leaf.png", exif=exif)
    mask = (
        np.zeros(SIZE, np.uint8)
        if masks_are_upright
        else np.zeros(SIZE[::-1], np.uint8)
    )
    mask[:8, -8:] = 1
    save(tmp_path / "masks" / "leaf.png", mask)
    image, _ = read_example(FolderSource(tmp_path)[0])
    corner = image[:8, -10:] if masks_are_upright else image[:10, :8]
    assert image.shape[:2] == mask.shape and np.all(corner == 250)


def test_numbers_beyond_eight_bits_are_labels_too(tmp_path):
    save(tmp_path / "map.png", (1000 * A + 40000 * B).astype(np.uint16))
    assert set(np.unique(read_labels(tmp_path / "map.png"))) == {0, 1000, 40000}
    assert read_object(tmp_path / "map.png").sum() == B.sum()


def test_a_folder_in_another_form_is_an_error_that_says_so(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match="no folder images, but pictures"):
        FolderSource(tmp_path)
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"no image with a mask: leaf.jpg has no mask"):
        FolderSource(tmp_path)
    save(tmp_path / "images" / "leaf.png", noise(0))
    with pytest.raises(ValueError, match="have one name"):
        FolderSource(tmp_path)
    with pytest.raises(FileNotFoundError):
        FolderSource(tmp_path / "nowhere")

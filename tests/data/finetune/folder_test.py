"""Folders of images and masks as examples, in all their layouts."""

import os

import numpy as np
import pytest
from data.finetune.files import SIZE, noise, save, square
from PIL import Image

from samjax.data.finetune import FolderSource, open_examples
from samjax.data.finetune.mask_files import read_labels, read_object
from samjax.evaluation.datasets.examples import read_example


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


def test_a_mask_belongs_to_the_image_with_the_longest_matching_prefix(tmp_path):
    for name in ("leaf", "leaf_1"):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", A.astype(np.uint8))
    save(tmp_path / "masks" / "leaf_1_0.png", B.astype(np.uint8))
    source = FolderSource(tmp_path)
    assert source.groups == ("leaf", "leaf_1")
    assert masks_of(source, 0) == {A.tobytes()}
    assert masks_of(source, 1) == {B.tobytes()}


def test_unpaired_files_are_left_out_and_reported(tmp_path):
    for name in ("leaf", "bare"):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
    for name in ("leaf", "stray"):
        save(tmp_path / "masks" / f"{name}.png", A.astype(np.uint8))
    with pytest.warns(UserWarning, match="2 parts are left out"):
        source = FolderSource(tmp_path)
    assert source.groups == ("leaf",)
    assert source.problems == ("stray.png belongs to no image", "bare.jpg has no mask")


def test_masks_damaged_after_opening_are_none_and_not_an_error(tmp_path):
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


def test_a_photo_in_place_of_a_label_map_is_reported_on_opening(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    save(tmp_path / "images" / "leaf.jpg", picture)
    save(tmp_path / "masks" / "leaf.png", picture)
    with pytest.raises(
        ValueError, match=r"no image with a mask: .*leaf\.png: has \d+ colours"
    ):
        FolderSource(tmp_path)
    save(tmp_path / "images" / "good.jpg", noise(0))
    save(tmp_path / "masks" / "good.png", A.astype(np.uint8))
    with pytest.warns(UserWarning, match="1 parts are left out"):
        assert FolderSource(tmp_path).groups == ("good",)


@pytest.mark.parametrize("masks_are_upright", [True, False])
def test_a_rotated_photo_is_turned_upright_if_its_masks_are(
    tmp_path, masks_are_upright
):
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
    labels, _ = read_labels(tmp_path / "map.png")
    assert set(np.unique(labels)) == {0, 1000, 40000}
    assert read_object(tmp_path / "map.png").labels.sum() == B.sum()


def test_a_folder_in_another_layout_is_an_error_that_says_so(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match="no folder images, but pictures"):
        FolderSource(tmp_path)
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"no image with a mask: leaf.jpg has no mask"):
        FolderSource(tmp_path)
    save(tmp_path / "images" / "leaf.png", noise(0))
    with pytest.raises(ValueError, match="have the same name"):
        FolderSource(tmp_path)
    with pytest.raises(FileNotFoundError):
        FolderSource(tmp_path / "nowhere")


def test_interpretations_of_masks_are_noted_on_opening(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    soft = Image.fromarray((255 * B).astype(np.uint8)).resize((16, 12))
    (tmp_path / "masks").mkdir()
    soft.resize(SIZE[::-1], Image.Resampling.BILINEAR).save(
        tmp_path / "masks" / "leaf.png"
    )
    with pytest.warns(UserWarning, match=r"leaf\.png has \d+ levels.*one object"):
        source = FolderSource(tmp_path)
    assert source.problems == () and len(masks_of(source)) == 1


def test_files_that_are_not_masks_are_reported(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", A.astype(np.uint8))
    (tmp_path / "masks" / "leaf.npy").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"leaf\.npy is no mask: masks are read from"):
        FolderSource(tmp_path)


def test_masks_without_an_object_are_left_out_with_a_note(tmp_path):
    for name, mask in (("leaf", A), ("bare", 0 * A)):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
        save(tmp_path / "masks" / f"{name}.png", mask.astype(np.uint8))
    with pytest.warns(UserWarning, match=r"bare\.png every pixel is 0"):
        assert FolderSource(tmp_path).groups == ("leaf",)


@pytest.mark.parametrize(
    "name", ["leaf.jpg.png", "leaf.png", "leaf_mask.png", "leaf.jpg"]
)
@pytest.mark.filterwarnings("ignore:.*taken for one object:UserWarning")
def test_a_mask_is_named_in_several_ways(tmp_path, name):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    save(tmp_path / "masks" / name, (255 * B).astype(np.uint8))
    (mask,) = read_example(FolderSource(tmp_path)[0])[1]
    assert (mask != B).sum() <= (0 if name.endswith("png") else 8)


def test_a_pipe_among_masks_is_left_out(tmp_path):
    for name in ("leaf", "pipe"):
        save(tmp_path / "images" / f"{name}.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", A.astype(np.uint8))
    os.mkfifo(tmp_path / "masks" / "pipe.png")
    with pytest.warns(UserWarning, match="is a pipe"):
        assert FolderSource(tmp_path).groups == ("leaf",)


def test_damaged_examples_come_with_reasons(tmp_path):
    save(tmp_path / "images" / "leaf.jpg", noise(0))
    save(tmp_path / "masks" / "leaf.png", A.astype(np.uint8))
    source = FolderSource(tmp_path)
    (tmp_path / "masks" / "leaf.png").write_bytes(b"")
    assert "cannot be read as a mask" in (source[0].problem or "")

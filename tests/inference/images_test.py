"""Images of every kind become RGB, or the error says how to make them so."""

import io

import numpy as np
import pytest
from PIL import Image

from samjax.inference.images import read_image


@pytest.fixture
def photo(rng) -> np.ndarray:
    return rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def test_rgb_passes_untouched(photo):
    np.testing.assert_array_equal(read_image(photo), photo)


def test_one_pixel_is_an_image():
    assert read_image(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


def test_open_files_and_bytes_are_images(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    content = path.read_bytes()
    with path.open("rb") as file:
        opened = read_image(file)
    for image in (opened, *map(read_image, (content, io.BytesIO(content)))):
        np.testing.assert_array_equal(image, photo)
    with path.open("rb", buffering=0) as raw:
        np.testing.assert_array_equal(read_image(raw), photo)  # pyright: ignore
    with pytest.raises(ValueError, match=r"open for reading text.*'rb'"):
        read_image(io.StringIO("no"))  # pyright: ignore
    with pytest.raises(ValueError, match="no image that Pillow knows"):
        read_image(io.BytesIO(b"no"))
    with pytest.raises(ValueError, match=r"nothing is left.*seek\(0\)"):
        read_image(io.BytesIO(b""))


@pytest.mark.parametrize("axis", [False, True])
def test_grey_fills_three_channels(photo, axis):
    grey = photo[:, :, :1] if axis else photo[:, :, 0]
    expected = np.repeat(photo[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(read_image(grey), expected)


def test_alpha_is_dropped_not_blended(photo):
    rgba = np.concatenate([photo, np.full((6, 9, 1), 10, np.uint8)], axis=2)
    np.testing.assert_array_equal(read_image(rgba), photo)
    np.testing.assert_array_equal(read_image(Image.fromarray(rgba)), photo)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_divided_by_257_and_rounded(order):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], order)
    expected = np.round(values.astype(float) / 257)
    np.testing.assert_array_equal(read_image(values)[:, :, 0], expected)


def test_sixteen_bit_files_follow_the_same_rule(tmp_path):
    values = np.array([[0, 257, 65535], [1000, 2000, 3000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), read_image(values))
    wide = Image.fromarray(values.astype(np.int32))
    assert wide.mode == "I"
    np.testing.assert_array_equal(read_image(wide), read_image(values))


def test_booleans_are_black_and_white():
    image = np.array([[False, True]])
    np.testing.assert_array_equal(read_image(image)[0, :, 0], [0, 255])
    np.testing.assert_array_equal(read_image(Image.fromarray(image)), read_image(image))


def test_wider_integers_are_taken_when_they_fit(photo):
    np.testing.assert_array_equal(read_image(photo.astype(np.int64)), photo)
    with pytest.raises(
        ValueError, match=r"int64 with values in 0..300, expected 0..255"
    ):
        read_image(np.array([[0, 300]]))


def test_palettes_and_other_colour_spaces_are_converted(photo):
    image = Image.fromarray(photo)
    for mode in ("P", "CMYK", "LA", "RGBa"):
        converted = (
            image.convert("RGBA").convert(mode)
            if mode == "RGBa"
            else (image.convert(mode))
        )
        assert read_image(converted).shape == photo.shape
    np.testing.assert_array_equal(read_image(image.convert("CMYK")), photo)


def test_exif_orientation_turns_images_upright(photo, tmp_path):
    image = Image.fromarray(photo)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned; upright is a quarter turn clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(photo, -1)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), upright)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(read_image(opened), upright)


def test_paths_may_be_strings(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    np.testing.assert_array_equal(read_image(str(tmp_path / "photo.png")), photo)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), r"image.transpose\(1, 2, 0\)"),
        (np.zeros((2, 20, 30, 3), np.uint8), "one image at a time"),
        (np.zeros((20, 30, 2), np.uint8), r"image\[:, :, 0\]"),
        (np.zeros((20, 30, 7), np.uint8), "three of the channels"),
        (np.zeros((0, 30, 3), np.uint8), "it has no pixels"),
        (np.zeros((30,), np.uint8), r"shape \(30,\)"),
        (np.full((2, 2), 0.5), r"values in 0.5..0.5.*\(image \* 255\).round\(\)"),
        (np.full((2, 2), 99.0), r"values in 99..99.*pass image.round\(\)"),
        (np.full((2, 2), np.nan), "NaN or infinite values.*np.nan_to_num"),
        (np.array([["a"]]), "image of <U1, expected uint8"),
        (np.full((2, 2), -3), "values in -3..-3, expected 0..255"),
        (Image.fromarray(np.zeros((2, 2), np.float32)), "image of float32"),
        (Image.fromarray(np.full((2, 2), 70000, np.int32)), "expected 0..65535"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(image, message):
    with pytest.raises(ValueError, match=message):
        read_image(image)


def test_files_that_are_not_images_are_refused(tmp_path, photo):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(
        ValueError, match="text.png, which is no image that Pillow knows"
    ):
        read_image(tmp_path / "text.png")
    Image.fromarray(photo).resize((300, 300)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut.png, which cannot be read"):
        read_image(tmp_path / "cut.png")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("bound", [53, 20])
def test_pixel_bombs_are_refused_before_decoding(photo, tmp_path, monkeypatch, bound):
    """Pillow warns above its bound and fails above twice; both are refused here."""
    Image.fromarray(photo).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
    with pytest.raises(ValueError, match="SAMJAX_MAX_PIXELS=54"):
        read_image(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    np.testing.assert_array_equal(read_image(tmp_path / "bomb.png"), photo)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixel_bombs_are_refused_where_warnings_are_only_printed(
    photo, tmp_path, monkeypatch
):
    Image.fromarray(photo).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 53)
    with pytest.raises(ValueError, match="9 x 6 pixels, expected at most 53"):
        read_image(tmp_path / "bomb.png")

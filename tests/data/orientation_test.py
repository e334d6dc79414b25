"""Views of turned images, and back, agree with Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from samjax.data.orientation import (
    declared_frame,
    orientation_of,
    stored_view,
    stored_window,
    upright_size,
    upright_view,
)

ORIENTATIONS = range(1, 9)


def file_of(pixels: np.ndarray, orientation: int, form: str = "PNG") -> bytes:
    """A file of these stored pixels with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format=form, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_views_turn_as_pillow_does_and_back(rng, orientation):
    stored = rng.integers(0, 256, (4, 7, 3), np.uint8)
    with Image.open(io.BytesIO(file_of(stored, orientation))) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    upright = upright_view(stored, orientation)
    np.testing.assert_array_equal(upright, expected)
    assert upright.shape[:2] == upright_size((4, 7), orientation)
    np.testing.assert_array_equal(stored_view(upright, orientation), stored)
    written = np.zeros_like(expected)
    stored_view(written, orientation)[...] = stored
    np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_window_is_found_among_the_stored_pixels(rng, orientation):
    stored = rng.integers(0, 256, (5, 9, 1), np.uint8)
    upright = upright_view(stored, orientation)
    top, left, bottom, right = stored_window(
        upright.shape[:2], (1, 2, 4, 5), orientation
    )
    window = upright_view(stored[top:bottom, left:right], orientation)
    np.testing.assert_array_equal(window, upright[1:4, 2:5])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_is_read_from_the_head_of_a_file(orientation, form):
    data = file_of(np.zeros((4, 7, 3), np.uint8), orientation, form)
    with Image.open(io.BytesIO(data)) as image:
        assert orientation_of(image) == orientation


def test_exif_after_the_pixels_of_a_png_is_used_and_pixels_are_still_read(rng):
    pixels = rng.integers(0, 256, (30, 20, 3), np.uint8)
    data = file_of(pixels, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body
    chunk += struct.pack(">I", zlib.crc32(body))
    plain = io.BytesIO()
    Image.fromarray(pixels).save(plain, format="PNG")
    data = plain.getvalue()
    data = data[:-12] + chunk + data[-12:]
    with Image.open(io.BytesIO(data)) as image:
        assert orientation_of(image) == 6
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("value", [0, 9, 77, "6"])
def test_an_invalid_orientation_does_not_turn_the_image(value):
    image = Image.new("RGB", (3, 2))
    image.getexif()[0x0112] = value
    assert orientation_of(image) == 1


def test_other_values_of_the_field_frame_are_ignored():
    assert declared_frame({"frame": 12}, {"frame": "stored"}) == "stored"
    assert declared_frame({"frame": "upright"}, {"frame": "stored"}) == "upright"
    assert declared_frame({"frame": ["upright"]}, None, {}) is None

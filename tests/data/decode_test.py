"""Decoding at a fraction of the size is close to full decoding and antialiased resizing."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from samjax.data.decode import BadImage, ImageFile
from samjax.geometry.frame import Frame


def photograph(size: tuple[int, int]) -> np.ndarray:
    """Colours that change smoothly and coarsely, and a little noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(20, 236, (size[0] // 16 + 1, size[1] // 16 + 1, 3))
    smooth = Image.fromarray(coarse.astype(np.uint8)).resize(
        size[::-1], Image.Resampling.BICUBIC
    )
    noisy = np.asarray(smooth) + rng.normal(0, 3, (*size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("longest", [500, 640, 900, 1111, 2250])
@pytest.mark.parametrize("upright", [False, True])
def test_a_jpeg_decoded_at_a_size_is_close_to_an_antialiased_resize(longest, upright):
    size = (longest * 2 // 3 + 1, longest)
    size = size[::-1] if upright else size
    data = simplejpeg.encode_jpeg(photograph(size), quality=95)
    file = ImageFile(data)
    assert file.size == size
    frame = Frame.fit(size, 512)
    found = file.read(frame.resized_size)
    assert found.shape == (*frame.resized_size, 3)
    whole = simplejpeg.decode_jpeg(data)
    difference = found.astype(int) - frame.resize_image(whole)
    assert np.abs(difference).mean() < 1.6
    # No shift: the halves differ from the reference by the same.
    for part in (difference[:, : found.shape[1] // 4], difference[:, -64:]):
        assert np.abs(part).mean() < 2


@pytest.mark.parametrize("length", [2249, 2250, 2251, 2252, 2255])
def test_an_edge_keeps_its_position_for_sizes_not_divisible_by_eight(length):
    pixels = np.zeros((64, length, 3), np.uint8)
    edge = length - 200
    pixels[:, edge:] = 255
    data = simplejpeg.encode_jpeg(pixels, quality=100, colorsubsampling="444")
    row = ImageFile(data).read((29, 1024))[14, :, 0] / 255
    place = 1024 - row.sum()
    assert abs(place - edge * 1024 / length) < 0.1


def test_details_too_fine_for_the_size_become_grey_without_aliasing():
    stripes = np.zeros((64, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    file = io.BytesIO()
    Image.fromarray(stripes).save(file, "png")
    found = ImageFile(file.getvalue()).read((36, 512))
    assert abs(found.astype(int) - 127).max() < 40


def test_an_image_is_decoded_into_a_part_of_a_frame():
    """Decodes into a part of a frame, with contiguous and with strided rows."""
    for size in ((30, 64), (64, 40)):
        data = simplejpeg.encode_jpeg(photograph(size), quality=95)
        for factor in (1, 2):
            height, width = (side // factor for side in size)
            frame = np.zeros((64, 64, 3), np.uint8)
            file = ImageFile(data)
            file.read_into(frame[:height, :width])
            np.testing.assert_array_equal(
                frame[:height, :width], file.read((height, width))
            )
            assert frame[:height, :width].mean() > 64
            assert not frame[height:].any() and not frame[:, width:].any()


def test_an_image_of_the_right_size_is_not_resampled():
    pixels = photograph((40, 60))
    data = simplejpeg.encode_jpeg(pixels, quality=95)
    whole = simplejpeg.decode_jpeg(data)
    np.testing.assert_array_equal(ImageFile(data).read((40, 60)), whole)


def test_a_header_of_too_many_pixels_is_refused_before_decoding(monkeypatch):
    data = simplejpeg.encode_jpeg(photograph((40, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2399)
    with pytest.raises(BadImage, match="expected at most 2399"):
        ImageFile(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert ImageFile(data).size == (40, 60)

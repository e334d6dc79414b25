"""Rewritten files have upright pixels, and no metadata that turns them again."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from samjax.data.bounds import BadImage
from samjax.data.upright_files import upright_file
from samjax.data.whole_images import read_header, read_rgb


def photograph(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:40, :64]
    pixels = np.stack([y * 6, x * 4, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def turned(orientation: int, form: str, image: Image.Image, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, format=form, exif=exif, **options)
    return data.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_the_upright_ones_and_the_format_stays(form, orientation):
    data = turned(orientation, form, photograph())
    found = upright_file(data)
    if orientation == 1:
        assert found is data
    header = read_header(found)
    assert header.orientation == 1
    with Image.open(io.BytesIO(found)) as image:
        assert image.format == form
        # As readers see it that look at no orientation, and such that do.
        stored = np.asarray(image.convert("RGB")).astype(int)
        np.testing.assert_array_equal(
            np.asarray(ImageOps.exif_transpose(image)), stored
        )
    difference = np.abs(stored - read_rgb(data))
    assert difference.max() <= (5 if form == "JPEG" else 0)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("PNG", "I;16"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "1"),
        ("TIFF", "I;16"),
        ("TIFF", "CMYK"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
    ],
)
def test_other_pixel_formats_are_kept_too(form, mode):
    data = turned(6, form, photograph(mode))
    found = upright_file(data)
    with Image.open(io.BytesIO(found)) as image:
        assert image.mode == mode
    difference = np.abs(read_rgb(found).astype(int) - read_rgb(data))
    assert difference.max() <= (8 if form == "JPEG" else 0)


def test_a_colour_profile_is_kept():
    data = turned(3, "JPEG", photograph(), icc_profile=b"profile")
    with Image.open(io.BytesIO(upright_file(data))) as image:
        assert image.info["icc_profile"] == b"profile"


def test_a_file_without_orientation_is_kept_to_the_byte():
    plain = io.BytesIO()
    photograph().save(plain, format="JPEG")
    assert upright_file(plain.getvalue()) is plain.getvalue() or (
        upright_file(plain.getvalue()) == plain.getvalue()
    )


def test_a_file_that_is_not_an_image_is_refused():
    with pytest.raises(BadImage, match="phone.jpg"):
        upright_file(b"hello", "phone.jpg")


@pytest.mark.parametrize("planar", ["uint8", "uint16"])
def test_formats_that_pillow_cannot_write_become_png(planar):
    """Planar TIFF of 16 bits, which Pillow misreads."""
    tifffile = pytest.importorskip("tifffile")
    pixels = np.moveaxis(np.asarray(photograph()), -1, 0).astype(planar)
    pixels = np.ascontiguousarray(pixels * (1 if planar == "uint8" else 257))
    data = io.BytesIO()
    tifffile.imwrite(
        data,
        pixels,
        photometric="rgb",
        planarconfig="separate",
        extratags=[(274, 3, 1, 6, True)],
    )
    found = upright_file(data.getvalue())
    assert read_header(found).orientation == 1
    np.testing.assert_array_equal(read_rgb(found), read_rgb(data.getvalue()))
    assert read_rgb(found).shape == (64, 40, 3)

"""Decoding of whole images: decoders that are tried, memory, and error messages."""

import io
import os
import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from samjax.data.bounds import BadImage
from samjax.data.decode import ImageFile as TrainingFile
from samjax.data.whole_images import FORMATS, image_to_rgb, open_image, read_rgb
from samjax.inference.images import read_image


@pytest.mark.parametrize("head", [b"%!PS-Adobe-3.0 EPSF-3.0", b"\xc5\xd0\xd3\xc6"])
def test_no_program_is_started_for_any_first_bytes(tmp_path, monkeypatch, head):
    witness = tmp_path / "witness"
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {witness}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    content = head + b"\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n%%EOF\n"
    (tmp_path / "photo.jpg").write_bytes(content)
    for read in (read_image, read_rgb):
        with pytest.raises(ValueError, match="PostScript"):
            read(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match="PostScript"):
        TrainingFile(content)
    assert not witness.exists()


def test_every_decoder_on_the_list_is_one_that_decodes_in_this_process():
    Image.init()
    outside = {"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
    assert not outside & set(FORMATS)
    assert set(Image.OPEN) - outside - set(FORMATS) <= {"HEIF"}


@pytest.mark.parametrize(
    "error",
    [RuntimeError, NotImplementedError, OverflowError, RecursionError, KeyError],
)
def test_every_error_of_a_decoder_is_a_bad_image_with_the_file_name(
    tmp_path, monkeypatch, error
):
    """An error of the kind that AVIF, DDS and BLP raise for damaged files."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (4, 3)).save(path)

    def fail(self):
        raise error("odd")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for source in (path, path.read_bytes()):
        with pytest.raises(BadImage, match="cannot be read as an image.*odd"):
            read_image(source)


@pytest.mark.parametrize(
    "form", ["AVIF", "DDS", "BLP", "JPEG2000", "GIF", "TIFF", "PNG"]
)
def test_any_damage_is_found_or_harmless(rng, form):
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    data = io.BytesIO()
    options = {"blp_version": "BLP2"} if form == "BLP" else {}
    image = image.quantize(16) if form == "BLP" else image
    try:
        image.save(data, format=form, **options)
    except (KeyError, OSError):
        pytest.skip(f"this build of Pillow does not write {form}")
    whole = data.getvalue()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        content = bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)])
        with warnings.catch_warnings():
            # Of damage that is harmless, among others in tags of TIFF.
            warnings.simplefilter("ignore")
            try:
                read_rgb(content)
            except BadImage:
                pass


def test_errors_of_the_system_are_not_reported_as_damaged_images(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_reading_takes_little_more_than_the_pixels(mode, orientation):
    """Pillow's own memory, one decoded image, is not counted."""
    image = Image.new(mode, (3000, 2000), 1)
    exif = image.getexif()
    exif[0x0112] = orientation
    tracemalloc.start()
    pixels = image_to_rgb(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.shape == ((2000, 3000, 3) if orientation == 1 else (3000, 2000, 3))
    assert peak < pixels.nbytes + (24 << 20)


def test_strips_of_a_large_image_are_those_of_the_whole(rng):
    pixels = rng.integers(0, 256, (1500, 1400, 3), np.uint8)
    for mode in ("RGB", "P", "LA"):
        image = Image.fromarray(pixels).convert(mode)
        expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(image_to_rgb(image), expected)


def test_partly_read_or_nearly_black_images_are_noted(tmp_path):
    first, second = Image.new("L", (9, 6), 5), Image.new("L", (9, 6), 9)
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=r"stack.tif has several pages.*first is read"):
        assert read_image(tmp_path / "stack.tif")[0, 0, 0] == 5
    dark = np.full((6, 9), 4095, np.uint16)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    with pytest.warns(UserWarning, match="dark.png uses less than 12 of its 16 bits"):
        read_image(tmp_path / "dark.png")


def test_smaller_copies_of_a_page_are_no_further_pages(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(np.zeros((64, 64), np.uint8), photometric="minisblack")
        file.write(np.zeros((32, 32), np.uint8), subfiletype=1)
    read_image(tmp_path / "pyramid.tif")


def test_integers_in_memory_that_would_become_black_are_refused():
    with pytest.raises(ValueError, match=r"0..200.*pass numpy.asarray\(image\)"):
        read_image(Image.fromarray(np.array([[0, 200]], np.int32)))
    assert read_image(Image.fromarray(np.zeros((2, 2), np.int32))).max() == 0


def test_heic_is_read_where_a_decoder_is_registered(tmp_path, monkeypatch):
    """Registers a decoder like `pillow_heif.register_heif_opener`."""
    from samjax.data import whole_images

    class Heif(Image.Image):
        format = "HEIF"

        def __init__(self, file, name):
            super().__init__()
            image = Image.new("RGB", (3, 2), (9, 8, 7))
            self.im, self._mode, self._size = image.im, "RGB", (3, 2)

    monkeypatch.setitem(Image.OPEN, "HEIF", (Heif, lambda head: head[4:8] == b"ftyp"))
    whole_images._registered.cache_clear()
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    assert read_image(content)[0, 0].tolist() == [9, 8, 7]
    whole_images._registered.cache_clear()


def test_an_opened_image_keeps_no_file_open(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "photo.png")
    with open_image(tmp_path / "photo.png") as image:
        assert image.size == (4, 3)
    assert image.fp is None or image.fp.closed

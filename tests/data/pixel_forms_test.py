"""Every pixel format through every reader: the same pixels, or the same error."""

import re
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from samjax.data.decode import ImageFile
from samjax.data.large_images import open_large_image
from samjax.data.orientation import stored_view
from samjax.data.whole_images import read_header
from samjax.inference.images import read_image

tifffile = pytest.importorskip("tifffile")

from data.pixel_forms import COLOR, GREY, READ, REFUSED, WITH_ALPHA, planes, rgb


def by_training(path, frame="upright"):
    file = ImageFile(path.read_bytes(), frame)
    return file.read(file.size)


def in_windows(path):
    image = open_large_image(path)
    return image.read(0, 0, *image.size)


READERS = {
    "photo": read_image,
    "bytes": lambda path: read_image(path.read_bytes()),
    "windows": in_windows,
    "training": by_training,
}


@pytest.fixture(autouse=True)
def without_heif(monkeypatch):
    """HEIC is refused if its decoder is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


@pytest.mark.filterwarnings("ignore:.*(several pages|nearly black):UserWarning")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", READ)
def test_all_readers_give_the_same_pixels(tmp_path, form, reader):
    data, expected, tolerance = READ[form]
    path = tmp_path / "image.any"
    path.write_bytes(data)
    pixels = READERS[reader](path)
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    assert read_header(path).upright_size == expected.shape[:2]
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= tolerance


@pytest.mark.parametrize("form", REFUSED)
def test_all_readers_refuse_alike(tmp_path, form):
    data, words = REFUSED[form]
    path = tmp_path / "image.any"
    path.write_bytes(data)
    for reader in READERS.values():
        with pytest.raises(ValueError, match=words):
            reader(path)


@pytest.mark.parametrize("config", ["contig", "separate"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_remedy_for_bands_works(tmp_path, kind, config):
    """The remedy is extracted from the error message and executed."""
    bands = (WITH_ALPHA if kind == np.uint8 else WITH_ALPHA * np.uint16(257)).astype(
        kind
    )
    path, out = tmp_path / "bands.tif", tmp_path / "rgb.tif"
    pixels = planes(bands) if config == "separate" else bands
    tifffile.imwrite(path, pixels, planarconfig=config, photometric="minisblack")
    with pytest.raises(ValueError) as refused:
        read_image(path)
    found = re.search(r"tifffile\.imwrite\(.*\)", str(refused.value))
    assert found
    exec(found[0], {"tifffile": tifffile, "FILE": path, "OUT": out})  # noqa: S102
    for reader in READERS.values():
        np.testing.assert_array_equal(reader(out), COLOR)


@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.float32])
def test_the_remedy_for_other_dtypes_works(tmp_path, kind):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, GREY.astype(kind) - kind(0), photometric="minisblack")
    scaled = tifffile.imread(path).astype(np.uint8)
    np.testing.assert_array_equal(read_image(scaled), rgb(GREY))
    tifffile.imwrite(tmp_path / "scaled.tif", scaled, photometric="minisblack")
    for reader in READERS.values():
        np.testing.assert_array_equal(reader(tmp_path / "scaled.tif"), rgb(GREY))


def test_the_remedy_for_a_numpy_file_works(tmp_path):
    np.save(tmp_path / "photo.npy", COLOR)
    np.testing.assert_array_equal(read_image(np.load(tmp_path / "photo.npy")), COLOR)


def test_kinds_that_need_tifffile_are_refused_with_an_install_command(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (tmp_path / "image.tif").write_bytes(READ["TIFF RGB 16, planes"][0])
    for reader in ("photo", "bytes", "training"):
        with pytest.raises(ValueError, match=r"pip install 'samjax\[large\]'"):
            READERS[reader](tmp_path / "image.tif")
    (tmp_path / "image.tif").write_bytes(READ["TIFF RGB"][0])
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif"), COLOR)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(24, 40), (32, 32)])
def test_all_readers_turn_a_photo_the_same_way(tmp_path, form, orientation, size):
    upright = np.zeros((*size, 3), np.uint8)
    upright[:8, :16] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(stored_view(upright, orientation))
    path = tmp_path / "photo.any"
    Image.fromarray(stored).save(path, format=form, exif=exif)
    for reader in READERS.values():
        found = reader(path)
        assert found.shape == upright.shape
        assert np.abs(found.astype(int) - upright).mean() < 3
    as_stored = by_training(path, "stored")
    assert as_stored.shape == stored.shape
    assert np.abs(as_stored.astype(int) - stored).mean() < 3


def test_no_reader_warns_of_sound_files(tmp_path):
    (tmp_path / "photo.png").write_bytes(READ["PNG grey 16"][0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reader in READERS.values():
            reader(tmp_path / "photo.png")

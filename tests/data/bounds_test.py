"""Bounds are enforced, and their error messages name the variable that raises them."""

import io

import numpy as np
import pytest
from PIL import Image

from samjax.cli import UsageError
from samjax.cli.arguments import bound_pixels
from samjax.data.bounds import BYTES, PIXELS, max_bytes, max_pixels
from samjax.data.decode import ImageFile
from samjax.data.formats.guards import read_bounded
from samjax.data.large_images import open_large_image
from samjax.data.whole_images import read_header
from samjax.inference.images import read_image


@pytest.fixture(autouse=True)
def pillows_own(monkeypatch):
    """Restores Pillow's own bound after a test."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.delenv(PIXELS, raising=False)
    monkeypatch.delenv(BYTES, raising=False)


def readers(path):
    """Yields all readers of whole images."""
    yield lambda: read_image(path)
    yield lambda: read_image(path.read_bytes())
    yield lambda: read_header(path)
    yield lambda: open_large_image(path).read(0, 0, 6, 9)
    yield lambda: ImageFile(path.read_bytes()).read((6, 9))


@pytest.mark.parametrize("form", ["png", "jpg"])
# Pillow warns above its bound and raises above twice that.
@pytest.mark.parametrize("bound", [53, 20, 1])
def test_an_error_names_the_variable_and_setting_it_helps(
    tmp_path, monkeypatch, form, bound
):
    path = tmp_path / f"photo.{form}"
    Image.new("RGB", (9, 6)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
    for read in readers(path):
        with pytest.raises(ValueError, match=f"at most {bound} .*set {PIXELS}=54 to"):
            read()
    monkeypatch.setenv(PIXELS, "54")
    for read in readers(path):
        read()
    monkeypatch.setenv(PIXELS, "53")
    for read in readers(path):
        with pytest.raises(ValueError, match="at most 53"):
            read()
    monkeypatch.setenv(PIXELS, "0")
    for read in readers(path):
        read()


@pytest.mark.parametrize("text", ["many", "-5", "1.5", "1e9", "٣"])
def test_a_variable_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv(PIXELS, text)
    with pytest.raises(ValueError, match=f"got {PIXELS}=.*a whole number"):
        max_pixels()


def test_the_variable_may_be_written_in_groups_and_empty_is_unset(monkeypatch):
    monkeypatch.setenv(PIXELS, "200_000_000")
    assert max_pixels() == 200_000_000
    monkeypatch.setenv(PIXELS, "")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    assert max_pixels() == 7


def test_the_option_is_the_variable(monkeypatch):
    monkeypatch.setenv(PIXELS, "10")
    bound_pixels(None)
    assert max_pixels() == 10
    bound_pixels(12)
    assert max_pixels() == 12
    bound_pixels(0)
    assert max_pixels() is None
    with pytest.raises(UsageError, match="--max-pixels -1"):
        bound_pixels(-1)


def test_a_bound_on_bytes_is_raised_by_its_variable_and_never_lowered(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=f"more than 99 bytes.*set {BYTES}"):
        read_bounded(tmp_path / "file", 99)
    for value in ("100", "0"):
        monkeypatch.setenv(BYTES, value)
        assert len(read_bounded(tmp_path / "file", 99)) == 100
    monkeypatch.setenv(BYTES, "5")
    assert max_bytes(99) == 99


def test_a_size_that_only_the_header_claims_costs_nothing():
    """A JPEG whose header declares 60000 x 60000 pixels allocates nothing."""
    data = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(data, "JPEG")
    jpeg = bytearray(data.getvalue())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = bytes.fromhex("ea60ea60")
    for read in (read_image, ImageFile, read_header):
        with pytest.raises(ValueError, match=f"{PIXELS}=3600000000"):
            read(bytes(jpeg))

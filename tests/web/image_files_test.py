import io
import struct
import zlib

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin
from web.conftest import picture

from samjax.web.image_files import (
    NotAnImage,
    check_whole,
    convert_for_browser,
    make_thumbnail,
    read_header,
    read_pixels,
)

MOST = 89_478_485


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it has that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def turned(orientation: int, form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10] = 200
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format=form, exif=exif)
    return content.getvalue()


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "image.jpg"
        path.write_bytes(content)
        return path

    return write


# Pillow's own, which are errors in tests and nothing in a server.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (9_500, 9_500)])
def test_an_image_with_too_many_pixels_is_not_decoded(file, size):
    path = file(bomb(*size))
    for read in (read_header, read_pixels, convert_for_browser, check_whole):
        with pytest.raises(NotAnImage, match="pixels"):
            read(path, MOST)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        picture((50, 50))[:90],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"P6 9 9 255\n" + bytes(243),
    ],
)
def test_what_is_no_image_or_not_one_for_strangers_is_refused(file, content):
    path = file(content)
    for read in (read_pixels, convert_for_browser, check_whole):
        with pytest.raises(NotAnImage, match="expected a whole file"):
            read(path, MOST)


def test_any_damage_is_found_or_harmless(file, rng):
    for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = bytearray(picture((16, 16), form=form))
        for _ in range(20):
            damaged = whole.copy()
            for place in rng.integers(0, len(whole), 4):
                damaged[place] = rng.integers(256)
            try:
                check_whole(file(bytes(damaged)), 10_000)
            except NotAnImage:
                pass


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_sizes_and_pixels_are_those_of_the_upright_image(file, form):
    path = file(turned(6, form))
    header = read_header(path, MOST)
    assert (header.width, header.height) == (10, 20)
    assert read_pixels(path, MOST).shape == (20, 10, 3)
    # Browsers turn a JPEG themselves.
    assert header.media_type == ("image/jpeg" if form == "JPEG" else None)
    with Image.open(io.BytesIO(convert_for_browser(path, MOST))) as shown:
        np.testing.assert_array_equal(np.asarray(shown), read_pixels(path, MOST))
    with Image.open(io.BytesIO(make_thumbnail(path, 16, MOST))) as small:
        assert small.format == "JPEG" and small.size == (8, 16)


def pages(number: int) -> bytes:
    """A TIFF of so many pages of one pixel."""
    content = bytearray(b"II*\0\x08\0\0\0")
    ones = (256, 257, 259, 262, 279)
    tags = sorted([(258, 8), (273, 8), *((tag, 1) for tag in ones)])
    for page in range(number):
        body = struct.pack("<H", len(tags))
        body += b"".join(struct.pack("<HHII", tag, 4, 1, one) for tag, one in tags)
        there = len(content) + len(body) + 4
        content += body + struct.pack("<I", there if page < number - 1 else 0)
    return bytes(content)


def frames(number: int, form: str) -> bytes:
    # No two alike: encoders make one frame of such.
    images = [Image.new("RGB", (2, 2), (i % 2 * 200, i, 9)) for i in range(number)]
    content = io.BytesIO()
    images[0].save(content, format=form, save_all=True, append_images=images[1:])
    return content.getvalue()


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (pages, None),
        (lambda number: frames(number, "GIF"), None),
        (lambda number: frames(number, "TIFF"), None),
        (lambda number: frames(number, "PNG"), None),
        (lambda number: frames(number, "WEBP"), None),
    ],
    ids=["bare TIFF", "GIF", "TIFF", "PNG", "WEBP"],
)
def test_pages_and_frames_are_never_counted(file, monkeypatch, make, shown):
    for kind in (TiffImagePlugin.TiffImageFile, GifImagePlugin.GifImageFile):

        def count(self):
            raise AssertionError("counting takes time with the square of their number")

        monkeypatch.setattr(kind, "n_frames", property(count))
    for number in (1, 2, 200):
        path = file(make(number))
        header = read_header(path, MOST)
        assert header.width == header.height and header.width <= 2
        if number > 1:
            assert header.media_type == shown
        assert read_pixels(path, MOST).shape == (header.height, header.width, 3)
        with path.open("rb") as source:
            assert check_whole(source, MOST) == header


@pytest.mark.parametrize(
    ("mode", "form", "shown"),
    [
        ("RGB", "PNG", "image/png"),
        ("RGBA", "PNG", "image/png"),
        ("I;16", "PNG", None),
        ("CMYK", "JPEG", None),
        ("L", "JPEG", "image/jpeg"),
        ("RGB", "TIFF", None),
        ("RGB", "WEBP", "image/webp"),
        ("P", "GIF", None),
    ],
)
def test_what_browsers_may_not_show_is_converted(tmp_path, mode, form, shown):
    path = tmp_path / "image.png"
    Image.new(mode, (20, 10)).save(path, format=form)
    assert read_header(path, MOST).media_type == shown
    with Image.open(io.BytesIO(convert_for_browser(path, MOST))) as image:
        assert (image.mode, image.size) == ("RGB", (20, 10))
    with Image.open(io.BytesIO(make_thumbnail(path, 16, MOST))) as image:
        assert (image.mode, image.size) == ("RGB", (16, 8))


def test_the_former_path_has_the_same_function():
    from samjax.web import pictures

    assert pictures.read_header is read_header

"""Windows of large images: the pixels of the whole, without the whole in memory."""

import itertools
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samjax.data.large_images import ArrayImage, LargeImage, open_large_image
from samjax.inference.images import read_image

tifffile = pytest.importorskip("tifffile")

SIZE = (70, 50)
LAYOUTS = {
    "contiguous": {},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "strips": {"compression": "zlib", "rowsperstrip": 9},
    "strips with a predictor": {
        "compression": "zlib",
        "rowsperstrip": 16,
        "predictor": True,
    },
    "tiles": {"compression": "zlib", "tile": (16, 32)},
    "tiles as they are": {"tile": (32, 16)},
    "tiles of LZMA": {"compression": "lzma", "tile": (16, 16)},
}
PIXELS = {
    "grey": ((), np.uint8),
    "grey of 16 bits": ((), np.uint16),
    "RGB": ((3,), np.uint8),
    "RGB of 16 bits": ((3,), np.uint16),
    "RGBA": ((4,), np.uint8),
}


def assert_windows_equal(image: LargeImage, expected: np.ndarray):
    """Compares the whole image, and windows at and across its edges and tiles."""
    height, width = expected.shape[:2]
    assert image.size == (height, width)
    rows, columns = [0, 1, 16, 31, height - 1, height], [0, 15, 33, width - 1, width]
    for top, bottom in itertools.combinations(rows, 2):
        for left, right in itertools.combinations(columns, 2):
            window = image.read(top, left, bottom, right)
            assert window.dtype == np.uint8 and window.flags.c_contiguous
            np.testing.assert_array_equal(window, expected[top:bottom, left:right])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pixels", PIXELS)
def test_windows_of_any_layout_match_the_array(tmp_path, rng, layout, pixels):
    channels, dtype = PIXELS[pixels]
    array = rng.integers(0, np.iinfo(dtype).max + 1, (*SIZE, *channels), dtype)
    path = tmp_path / "image.tif"
    photometric = "rgb" if channels else "minisblack"
    tifffile.imwrite(path, array, photometric=photometric, **LAYOUTS[layout])
    assert_windows_equal(open_large_image(path), read_image(array))


@pytest.mark.parametrize("layout", ["contiguous", "strips", "tiles"])
def test_planar_colours_are_interleaved(tmp_path, rng, layout):
    array = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        array.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        **LAYOUTS[layout],
    )
    assert_windows_equal(open_large_image(path), array)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
def test_files_are_turned_upright(tmp_path, rng, orientation, compression):
    path = tmp_path / "image.tif"
    image = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8))
    image.save(path, tiffinfo={274: orientation}, compression=compression)
    assert_windows_equal(open_large_image(path), read_image(path))


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("compression", [None, "tiff_deflate", "packbits"])
def test_files_of_pillow_look_as_pillow_reads_them(tmp_path, rng, mode, compression):
    path = tmp_path / "image.tif"
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, SIZE, np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (*SIZE, 4), np.uint8))
        image = image.convert("RGB").convert(mode) if mode == "P" else image
        image = image.convert(mode)
    image.save(path, compression=compression)
    assert_windows_equal(open_large_image(path), read_image(path))


def test_white_may_be_zero(tmp_path, rng):
    array = rng.integers(0, 256, SIZE, np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", array, photometric="miniswhite")
    expected = read_image(255 - array)
    assert_windows_equal(open_large_image(tmp_path / "image.tif"), expected)


def test_colours_multiplied_by_alpha_are_divided_again(tmp_path, rng):
    array = rng.integers(0, 256, (*SIZE, 4), np.uint8)
    array[..., :3] = array[..., :3] * (array[..., 3:] / 255)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, photometric="rgb", extrasamples=["assocalpha"])
    assert_windows_equal(open_large_image(path), read_image(path))


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_other_compressions_need_imagecodecs(tmp_path, rng, monkeypatch, compression):
    path = tmp_path / "image.tif"
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = np.stack([2 * y, 3 * x, y + x], axis=-1).astype(np.uint8)
    Image.fromarray(smooth).save(path, compression=compression)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "imagecodecs", None)
        with pytest.raises(ImportError, match=r"needs imagecodecs.*samjax\[large\]"):
            open_large_image(path)
    pytest.importorskip("imagecodecs")
    window = open_large_image(path).read(5, 7, 60, 40).astype(int)
    assert np.abs(window - read_image(path)[5:60, 7:40]).max() <= 4


def test_tiff_needs_tifffile(tmp_path, monkeypatch):
    Image.new("RGB", (5, 5)).save(tmp_path / "image.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImportError, match=r"needs tifffile.*samjax\[large\]"):
        open_large_image(tmp_path / "image.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_other_formats_are_read_whole_up_to_a_bound(tmp_path, rng, monkeypatch, suffix):
    path = tmp_path / f"image.{suffix}"
    image = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    image.save(path, exif=exif)
    assert_windows_equal(open_large_image(path), read_image(path))
    for bound in (SIZE[0] * SIZE[1] - 1, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        with pytest.raises(ValueError, match="read whole.*tiled TIFF"):
            open_large_image(path)
    path.write_bytes(path.read_bytes()[:200])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="cannot be read as an image"):
        open_large_image(path)


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_a_file_of_16_bits_that_is_read_whole_is_scaled(tmp_path, rng, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(rng.integers(0, 65536, SIZE, np.uint16)).save(path)
    assert_windows_equal(open_large_image(path), read_image(path))


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_large_image(tmp_path / "image.tif")


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros(SIZE, np.float32), {}, "float32 of 32 bits"),
        (np.zeros(SIZE, np.int16), {}, "int16 of 16 bits"),
        (
            np.zeros((*SIZE, 5), np.uint8),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "5 samples",
        ),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "icclab"}, "tation 9"),
        (
            np.zeros((4, *SIZE), np.uint8),
            {"photometric": "minisblack", "tile": (4, 16, 16)},
            "a flat image",
        ),
    ],
)
def test_tiff_of_other_kinds_is_refused(tmp_path, array, options, words):
    tifffile.imwrite(tmp_path / "image.tif", array, **options)
    with pytest.raises(ValueError, match=words):
        open_large_image(tmp_path / "image.tif")


def test_strips_that_are_nearly_the_whole_image_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "image.tif"
    array = np.zeros(SIZE, np.uint8)
    tifffile.imwrite(path, array, compression="zlib", rowsperstrip=SIZE[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", array.size - 1)
    with pytest.raises(ValueError, match="pieces of 50 x 70.*anew in tiles"):
        open_large_image(path)
    tifffile.imwrite(path, array, compression="zlib", rowsperstrip=SIZE[0] // 2)
    assert_windows_equal(open_large_image(path), read_image(array))


@pytest.fixture(scope="module", params=["contiguous", "strips", "tiles"])
def sound(request) -> bytes:
    """The bytes of a sound file."""
    array = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    layout = LAYOUTS[request.param]
    folder = request.getfixturevalue("tmp_path_factory").mktemp("sound")
    tifffile.imwrite(folder / "image.tif", array, photometric="rgb", **layout)
    return (folder / "image.tif").read_bytes()


def attempt(path: Path, content: bytes) -> np.ndarray | None:
    """Reads a file of these bytes; None if it is refused with a proper error."""
    path.write_bytes(content)
    try:
        image = open_large_image(path)
        return image.read(0, 0, *(min(side, 64) for side in image.size))
    except ValueError:
        return None
    except ImportError as error:
        # The damage named another compression.
        assert "imagecodecs" in str(error)
        return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning:tifffile")
def test_a_truncated_file_is_refused(sound, tmp_path):
    expected = attempt(tmp_path / "image.tif", sound)
    assert expected is not None
    for length in [*range(8, 400, 3), *range(400, len(sound) - 1, 211)]:
        window = attempt(tmp_path / "image.tif", sound[:length])
        # A window may lie before the cut.
        assert window is None or (window == expected).all()
    assert attempt(tmp_path / "image.tif", sound[: len(sound) // 2]) is None


def test_a_damaged_file_gives_no_other_error(sound, tmp_path, rng):
    for position in [*range(4, 360), *rng.integers(0, len(sound), 50)]:
        damaged = bytearray(sound)
        damaged[position] ^= int(rng.integers(1, 256))
        attempt(tmp_path / "image.tif", bytes(damaged))


@pytest.mark.parametrize(
    ("layout", "length"), [("contiguous", 10), ("tiles", 10), ("tiles", 2**45)]
)
def test_pixels_of_a_false_length_are_refused(tmp_path, layout, length):
    """Reading the declared length would take that much memory."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros(SIZE, np.uint8), bigtiff=True, **LAYOUTS[layout])
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        tag = tags.get(325) or tags[279]
        tag.overwrite([length] * tag.count, dtype="Q")
    with pytest.raises(ValueError, match="tile or strip 0 cannot be decoded"):
        open_large_image(path).read(0, 0, *SIZE)


def test_windows_beside_a_damaged_tile_can_be_read(tmp_path, rng):
    path = tmp_path / "image.tif"
    array = rng.integers(0, 256, (64, 64), np.uint8)
    tifffile.imwrite(path, array, compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[place + 20 : place + 40] = bytes(20)
    path.write_bytes(content)
    image = open_large_image(path)
    expected = read_image(array)
    np.testing.assert_array_equal(image.read(0, 0, 32, 64), expected[:32])
    np.testing.assert_array_equal(image.read(0, 0, 64, 32), expected[:, :32])
    with pytest.raises(ValueError, match="tile or strip 3 cannot be decoded"):
        image.read(31, 31, 33, 33)


def peak_of_reading(image: LargeImage, windows) -> int:
    """The peak of Python's memory while windows are read."""
    tracemalloc.start()
    try:
        for window in windows:
            image.read(*window)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_compressed_image_needs_the_memory_of_windows_only(tmp_path):
    """A sparse file: 400 tiles of 3 MB, most of them omitted."""
    side, tile = 20_000, 1024
    path = tmp_path / "huge.tif"
    filled = np.full((tile, tile, 3), 7, np.uint8)
    tiles = (filled if number < 60 else None for number in range(400))
    tifffile.imwrite(
        path,
        tiles,
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(tile, tile),
        compression="zlib",
        photometric="rgb",
    )
    image = open_large_image(path, cache_bytes=16 << 20)
    assert image.size == (side, side)
    windows = [(0, left, 1200, left + 1200) for left in range(0, 18_800, 900)]
    assert peak_of_reading(image, windows) < 32 << 20
    assert (image.read(0, 0, 5, side) == 7).all()
    assert (image.read(side - 5, 0, side, 9) == 0).all()


def test_a_huge_memory_map_is_read_in_windows(tmp_path):
    """A sparse file of 1.2 GB."""
    side = 20_000
    raw = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(side, side, 3))
    raw[-1, -1] = 1, 2, 3
    raw.flush()
    path = tmp_path / "huge.tif"
    mapped = tifffile.memmap(path, shape=raw.shape, dtype=raw.dtype, photometric="rgb")
    mapped[-1, -1] = 1, 2, 3
    mapped.flush()
    del mapped
    for image in (ArrayImage(raw), open_large_image(path)):
        corner = side - 1000, side - 1000, side, side
        assert image.size == (side, side)
        assert peak_of_reading(image, [(0, 0, 1000, 1000), corner]) < 8 << 20
        assert image.read(*corner)[-1, -1].tolist() == [1, 2, 3]
        assert image.read(*corner).sum() == 6


def test_strips_are_decoded_once_for_a_row_of_windows(tmp_path, rng):
    """Cached strips are available after the file has been removed."""
    path = tmp_path / "image.tif"
    array = rng.integers(0, 256, SIZE, np.uint8)
    tifffile.imwrite(path, array, compression="zlib", rowsperstrip=10)
    kept, dropped = open_large_image(path), open_large_image(path, cache_bytes=1500)
    for image in (kept, dropped):
        image.read(0, 0, 40, 10)
    path.unlink()
    np.testing.assert_array_equal(
        kept.read(0, 10, 40, 50), read_image(array)[:40, 10:50]
    )
    np.testing.assert_array_equal(
        dropped.read(10, 10, 40, 50), read_image(array)[10:40, 10:50]
    )
    with pytest.raises(FileNotFoundError):
        dropped.read(0, 10, 40, 50)


def test_an_image_can_be_shared_between_threads(tmp_path, rng):
    path = tmp_path / "image.tif"
    array = rng.integers(0, 256, (256, 256), np.uint8)
    tifffile.imwrite(path, array, compression="zlib", tile=(16, 16))
    image = open_large_image(path, cache_bytes=1000)
    expected = read_image(array)

    def check(number):
        top, left = 7 * number % 200, 13 * number % 200
        window = image.read(top, left, top + 50, left + 50)
        return (window == expected[top : top + 50, left : left + 50]).all()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(check, range(200)))


ARRAYS = {
    "bool": np.random.default_rng(0).integers(0, 2, SIZE).astype(bool),
    "int64": np.random.default_rng(1).integers(0, 256, (*SIZE, 3)),
    "uint16": np.random.default_rng(2).integers(0, 65536, (*SIZE, 1), np.uint16),
    "alpha": np.random.default_rng(3).integers(0, 256, (*SIZE, 4), np.uint8),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_follow_the_rules_of_images(name):
    assert_windows_equal(ArrayImage(ARRAYS[name]), read_image(ARRAYS[name]))


def test_arrays_that_are_no_images_are_refused():
    for shape in [(5,), (3, 5, 5), (5, 5, 2), (0, 5), (1, 5, 5, 3)]:
        with pytest.raises(ValueError, match="channels last"):
            ArrayImage(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float64"):
        ArrayImage(np.zeros(SIZE))
    image = ArrayImage(np.full(SIZE, 256))
    with pytest.raises(ValueError, match=r"in 256..256, expected 0..255"):
        image.read(0, 0, 5, 5)


@given(st.lists(st.integers(-5, 20), min_size=4, max_size=4))
def test_only_windows_within_the_image_are_read(window):
    image = ArrayImage(np.zeros((12, 15), np.uint8))
    top, left, bottom, right = window
    if 0 <= top < bottom <= 12 and 0 <= left < right <= 15:
        assert image.read(*window).shape == (bottom - top, right - left, 3)
    else:
        with pytest.raises(ValueError, match="expected one within it"):
            image.read(*window)

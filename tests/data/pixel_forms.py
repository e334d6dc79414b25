"""Files of every pixel format, with the expected pixels or error of readers.

Needs tifffile.
"""

import io

import numpy as np
import tifffile
from PIL import Image

SIZE = (40, 50)
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, SIZE, np.uint8)
COLOR = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
DEEP = RNG.integers(0, 65536, SIZE, np.uint16)
DEEP_COLOR = RNG.integers(0, 65536, (*SIZE, 3), np.uint16)
ALPHA = RNG.integers(128, 256, (*SIZE, 1), np.uint8)
SMOOTH = np.stack(
    [np.mgrid[:40, :50][0] * 6, np.mgrid[:40, :50][1] * 5, np.full(SIZE, 99)], axis=-1
).astype(np.uint8)


def rgb(grey: np.ndarray) -> np.ndarray:
    """Grey levels, or colours, of 8 or 16 bits as RGB of 8."""
    if grey.dtype == np.uint16:
        grey = np.round(grey / 257).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else grey[..., :3]


def tiff(pixels: np.ndarray, **options) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, pixels, **options)
    return data.getvalue()


def of_pillow(image: Image.Image, form: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, format=form, **options)
    return data.getvalue()


def planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def twelve_bits() -> tuple[bytes, np.ndarray]:
    """A TIFF file of 12 bits a sample, written bit by bit."""
    values = RNG.integers(0, 4096, SIZE)
    pairs = values.reshape(-1, 2)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1]], 1
    )
    plain = bytearray(tiff(np.zeros((40, 75), np.uint8), photometric="minisblack"))
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        page = file.pages.first
        at = page.dataoffsets[0]
        place = page.tags[256].valueoffset, page.tags[258].valueoffset
    plain[at : at + 3000] = (packed & 255).astype(np.uint8).tobytes()
    for offset, value in zip(place, (50, 12), strict=True):
        plain[offset : offset + 2] = value.to_bytes(2, "little")
    return bytes(plain), rgb(np.round(values * 255 / 4095).astype(np.uint8))


def premultiplied(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([(colors * (alpha / 255)).round(), alpha], 2).astype(np.uint8)


PALETTE = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
TWELVE, TWELVE_EXPECTED = twelve_bits()
BLACK, WHITE = {"photometric": "minisblack"}, {"photometric": "miniswhite"}
IN_PLANES = {"photometric": "rgb", "planarconfig": "separate"}
CMYK = np.concatenate([COLOR, np.zeros((*SIZE, 1), np.uint8)], axis=2)
WITH_ALPHA = np.concatenate([COLOR, ALPHA], axis=2)
GREY_ALPHA = np.stack([GREY, ALPHA[..., 0]], axis=2)
DEEP_GREY_ALPHA = np.stack([DEEP, DEEP], axis=2)
UNASSOCIATED = {"planarconfig": "contig", "extrasamples": ["unassalpha"]}
ASSOCIATED = {"planarconfig": "contig", "extrasamples": ["assocalpha"]}
BILEVEL = GREY > 99
PICTURE = Image.fromarray(COLOR)

# The file, the pixels that all readers are to give, and by how much they may differ.
READ: dict[str, tuple[bytes, np.ndarray, int]] = {
    "TIFF grey": (tiff(GREY, **BLACK), rgb(GREY), 0),
    "TIFF grey, white is zero": (tiff(GREY, **WHITE), rgb(255 - GREY), 0),
    "TIFF grey 16": (tiff(DEEP, **BLACK), rgb(DEEP), 0),
    "TIFF grey 16, white is zero": (tiff(DEEP, **WHITE), rgb(65535 - DEEP), 1),
    "TIFF grey 16 of 12 bits": (tiff(DEEP >> 4, **BLACK), rgb(DEEP >> 4), 0),
    "TIFF of 12 bits": (TWELVE, TWELVE_EXPECTED, 1),
    "TIFF bilevel": (tiff(BILEVEL, **BLACK), rgb(BILEVEL * np.uint8(255)), 0),
    "TIFF bilevel, white is zero": (
        tiff(BILEVEL, **WHITE),
        rgb(~BILEVEL * np.uint8(255)),
        0,
    ),
    "TIFF grey, alpha": (tiff(GREY_ALPHA, **BLACK, **UNASSOCIATED), rgb(GREY), 0),
    "TIFF grey 16, alpha": (
        tiff(DEEP_GREY_ALPHA, **BLACK, **UNASSOCIATED),
        rgb(DEEP),
        0,
    ),
    "TIFF grey, alpha, planes": (
        tiff(planes(GREY_ALPHA), **BLACK, planarconfig="separate"),
        rgb(GREY),
        0,
    ),
    "TIFF grey times alpha": (
        tiff(premultiplied(GREY[..., None], ALPHA), **BLACK, **ASSOCIATED),
        rgb(GREY),
        2,
    ),
    "TIFF palette": (
        tiff(GREY, photometric="palette", colormap=PALETTE),
        (PALETTE.T[GREY] >> 8).astype(np.uint8),
        0,
    ),
    "TIFF RGB": (tiff(COLOR, photometric="rgb"), COLOR, 0),
    "TIFF RGB 16": (tiff(DEEP_COLOR, photometric="rgb"), rgb(DEEP_COLOR), 1),
    "TIFF RGB, planes": (tiff(planes(COLOR), **IN_PLANES), COLOR, 0),
    "TIFF RGB 16, planes": (tiff(planes(DEEP_COLOR), **IN_PLANES), rgb(DEEP_COLOR), 1),
    "TIFF RGBA": (tiff(WITH_ALPHA, photometric="rgb", **UNASSOCIATED), COLOR, 0),
    "TIFF RGB times alpha": (
        tiff(premultiplied(COLOR, ALPHA), photometric="rgb", **ASSOCIATED),
        COLOR,
        2,
    ),
    "TIFF RGB and two more": (
        tiff(np.concatenate([COLOR, COLOR[..., :2]], axis=2), photometric="rgb"),
        COLOR,
        0,
    ),
    "TIFF RGB 16 big-endian in tiles": (
        tiff(DEEP_COLOR, photometric="rgb", tile=(16, 16), byteorder=">"),
        rgb(DEEP_COLOR),
        1,
    ),
    "BigTIFF": (tiff(COLOR, photometric="rgb", bigtiff=True), COLOR, 0),
    "TIFF CMYK": (tiff(CMYK, photometric="separated"), 255 - COLOR, 1),
    "TIFF CMYK, planes": (
        tiff(planes(CMYK), photometric="separated", planarconfig="separate"),
        255 - COLOR,
        1,
    ),
    "TIFF YCbCr": (
        tiff(np.asarray(PICTURE.convert("YCbCr")), photometric="ycbcr"),
        COLOR,
        3,
    ),
    "TIFF stack": (tiff(np.stack([GREY, 255 - GREY]), **BLACK), rgb(GREY), 0),
    "PNG grey": (of_pillow(Image.fromarray(GREY), "PNG"), rgb(GREY), 0),
    "PNG grey 16": (of_pillow(Image.fromarray(DEEP), "PNG"), rgb(DEEP), 0),
    "PNG bits": (
        of_pillow(Image.fromarray(BILEVEL), "PNG"),
        rgb(BILEVEL * np.uint8(255)),
        0,
    ),
    "PNG grey, alpha": (of_pillow(Image.fromarray(GREY_ALPHA), "PNG"), rgb(GREY), 0),
    "PNG RGBA": (of_pillow(Image.fromarray(WITH_ALPHA), "PNG"), COLOR, 0),
    "PNG palette": (
        of_pillow(PICTURE.quantize(16), "PNG", transparency=3),
        np.asarray(PICTURE.quantize(16).convert("RGB")),
        0,
    ),
    "PGM 16": (of_pillow(Image.fromarray(DEEP), "PPM"), rgb(DEEP), 0),
    "PGM of 12 bits": (
        b"P5 50 40 4095 " + (DEEP >> 4).astype(">u2").tobytes(),
        rgb(np.round((DEEP >> 4) * (255 / 4095)).astype(np.uint8)),
        1,
    ),
    "PPM": (of_pillow(PICTURE, "PPM"), COLOR, 0),
    "BMP": (of_pillow(PICTURE, "BMP"), COLOR, 0),
    "GIF that moves": (
        of_pillow(
            Image.fromarray(GREY),
            "GIF",
            save_all=True,
            append_images=[Image.fromarray(255 - GREY)],
        ),
        rgb(GREY),
        0,
    ),
    "WebP": (of_pillow(PICTURE, "WEBP", lossless=True), COLOR, 0),
    "JPEG": (of_pillow(Image.fromarray(SMOOTH), "JPEG", quality=95), SMOOTH, 6),
    "JPEG grey": (
        of_pillow(Image.fromarray(SMOOTH[..., 0]), "JPEG", quality=95),
        rgb(SMOOTH[..., 0]),
        6,
    ),
    "JPEG CMYK": (
        of_pillow(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95),
        SMOOTH,
        8,
    ),
    "JPEG progressive": (
        of_pillow(Image.fromarray(SMOOTH), "JPEG", quality=95, progressive=True),
        SMOOTH,
        6,
    ),
    "MPO": (
        of_pillow(
            Image.fromarray(SMOOTH),
            "MPO",
            quality=95,
            save_all=True,
            append_images=[Image.fromarray(255 - SMOOTH)],
        ),
        SMOOTH,
        6,
    ),
    "TGA": (of_pillow(PICTURE, "TGA"), COLOR, 0),
    "ICO": (
        of_pillow(PICTURE.resize((16, 16)), "ICO"),
        np.asarray(PICTURE.resize((16, 16))),
        0,
    ),
}

INTEGERS = r"whose samples are {} of {} bits, expected unsigned integers"
BANDS = r"which has {} samples in each pixel and does not say which are red"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)

# The file, and what all readers are to say.
REFUSED: dict[str, tuple[bytes, str]] = {
    **{
        f"TIFF {np.dtype(kind)}{' of white' if white else ''}": (
            tiff(GREY.astype(kind), **(WHITE if white else BLACK)),
            INTEGERS.format(np.dtype(kind), 8 * np.dtype(kind).itemsize),
        )
        for kind in ("i1", "i2", "i4", "u4", "f2", "f4", "u8")
        for white in (False, True)
    },
    "TIFF RGB int16": (
        tiff(COLOR.astype(np.int16), photometric="rgb"),
        INTEGERS.format("int16", 16),
    ),
    "TIFF RGB float": (
        tiff(COLOR.astype(np.float32), photometric="rgb"),
        INTEGERS.format("float32", 32),
    ),
    **{
        f"GeoTIFF {bands} bands {np.dtype(kind)} {config}": (
            tiff(
                RNG.integers(
                    0, 256, (bands, *SIZE) if config == "separate" else (*SIZE, bands)
                ).astype(kind),
                planarconfig=config,
                **BLACK,
            ),
            BANDS.format(bands),
        )
        for bands in (3, 4, 8)
        for kind in (np.uint8, np.uint16)
        for config in ("contig", "separate")
    },
    "TIFF volume": (
        tiff(
            np.zeros((16, *SIZE), np.uint8), **BLACK, volumetric=True, tile=(16, 16, 16)
        ),
        "a volume of 16 slices",
    ),
    "TIFF of a sensor": (tiff(DEEP, photometric="cfa"), "a camera's sensor"),
    "TIFF CMYK 16, planes": (
        tiff(
            planes(CMYK.astype(np.uint16)),
            photometric="separated",
            planarconfig="separate",
        ),
        "a kind that is not supported",
    ),
    "FITS of 16 bits": (
        b"".join(
            card.ljust(80)
            for card in (
                b"SIMPLE  =                    T",
                b"BITPIX  =                   16",
                b"NAXIS   =                    2",
                b"NAXIS1  =                    2",
                b"NAXIS2  =                    2",
                b"END",
            )
        ).ljust(2880)
        + bytes(2880),
        "FITS file of other values",
    ),
    "HEIC": (HEIC, "which is HEIC: run pip install pillow-heif"),
    "DICOM": (bytes(128) + b"DICM" + bytes(99), "a DICOM file: read it with pydicom"),
    "DICOM behind TIFF's head": (
        b"II*\0\xff\0\0\0" + bytes(120) + b"DICM" + bytes(99),
        "a DICOM file",
    ),
    "NumPy": (b"\x93NUMPY\x01\0" + bytes(99), r"a NumPy file: read it with numpy.load"),
    "npz": (b"PK\x03\x04" + bytes(99), "a zip archive, as NumPy's npz"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "PostScript for DOS": (b"\xc5\xd0\xd3\xc6" + bytes(99), "PostScript"),
    "PDF": (b"%PDF-1.7\n", "a PDF document"),
    "SVG": (b'<?xml version="1.0"?>\n<svg></svg>', "an SVG drawing"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "NIfTI": (bytes(344) + b"n+1\0" + bytes(99), "a NIfTI file"),
    "a web page": (b"<!DOCTYPE html><html>", "a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    "nothing": (b"", "which is empty"),
    "text": (b"hello", "no image that Pillow knows"),
    "a JPEG cut off": (
        of_pillow(Image.fromarray(COLOR), "JPEG")[:900],
        "truncated|Premature|cannot be read|Unsupported|bogus|Invalid",
    ),
    "a PNG cut off": (of_pillow(Image.fromarray(COLOR), "PNG")[:900], "cannot be read"),
}

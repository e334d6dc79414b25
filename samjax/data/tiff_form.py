"""Which kinds of TIFF are read, and by what: one table for all who read images.

A TIFF file can hold nearly anything. What its samples mean is said by a few tags, and
those decide here whether a page is an image that is read or is refused, with the same
words everywhere. Pillow decodes a page as a whole; tifffile does it window by window
(`samjax.data.tiff_windows`). Each knows kinds that the other does not, or reads wrongly:

    grey (black or white is zero)    1, 8 bits      both
                                     16 bits        both
                                     2, 4, 12 bits  Pillow
      with alpha                     8 bits         Pillow; in planes tifffile
                                     16 bits        tifffile
    palette                          1, 8 bits      both
                                     2, 4 bits      Pillow
                                     16 bits        tifffile
    RGB, with or without alpha       8, 16 bits     both; 16 bits in planes tifffile
      with 2 or more more samples    8, 16 bits     tifffile; Pillow 8 bits
    YCbCr                            8 bits         both in JPEG, else Pillow
    CMYK                             8, 16 bits     Pillow
    CIE L*a*b*                       8 bits         Pillow
"""

from __future__ import annotations

from typing import Any, NamedTuple

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
JPEG = (6, 7, 33007, 34892)

_CONTIGUOUS = 1
_UNSIGNED = 1
_KINDS = {1: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
_COLORS = {
    MIN_IS_WHITE: 1,
    MIN_IS_BLACK: 1,
    RGB: 3,
    PALETTE: 1,
    CMYK: 4,
    YCBCR: 3,
    CIELAB: 3,
}
# Adobe's tag of DNG, and the interpretations of sensors' samples.
_DNG_VERSION, _SENSORS = 50706, (32803, 34892)
_SUB_IFDS, _NEW_SUBFILE_TYPE = 330, 254


class TiffForm(NamedTuple):
    """What the tags of a page say about its samples.

    Attributes:
        photometric: TIFF's number of what samples mean.
        bits: of a sample; 0 where samples differ.
        sample_format: 1 for unsigned integers, 2 for signed ones, 3 for floats.
        samples: of a pixel.
        extra: how many of them are declared to be no colours.
        is_planar: whether each sample has a plane of its own.
        depth: 1 of a flat image.
        compression: TIFF's number.
        is_raw: whether it is what a camera's sensor saw, or the preview of that.
    """

    photometric: int
    bits: int
    sample_format: int
    samples: int
    extra: int
    is_planar: bool
    depth: int
    compression: int
    is_raw: bool

    @classmethod
    def of_pillow(cls, tags: Any) -> TiffForm:
        """The form of a page that Pillow has opened.

        Args:
            tags: its `tag_v2`.
        """
        photometric = tags.get(262, 0)
        compression = tags.get(259, 1)
        # Writers of JPEG leave it out.
        usual = 3 if compression == 7 and photometric in (RGB, YCBCR) else 1
        return cls(
            photometric=photometric,
            bits=_one(tags.get(258, (1,))),
            sample_format=_one(tags.get(339, (1,))),
            samples=tags.get(277, usual),
            extra=len(tags.get(338, ())),
            is_planar=tags.get(284, _CONTIGUOUS) != _CONTIGUOUS,
            depth=tags.get(32997, 1),
            compression=compression,
            is_raw=_is_raw(photometric, tags),
        )

    @classmethod
    def of_tifffile(cls, page: Any) -> TiffForm:
        """The form of a page that tifffile has opened."""
        return cls(
            photometric=int(page.photometric),
            bits=page.bitspersample if isinstance(page.bitspersample, int) else 0,
            sample_format=int(page.sampleformat or 1),
            samples=page.samplesperpixel,
            extra=len(page.extrasamples),
            is_planar=page.planarconfig != _CONTIGUOUS,
            depth=max(page.imagedepth, page.tiledepth),
            compression=int(page.compression),
            is_raw=_is_raw(
                int(page.photometric),
                {
                    code: page.tags.valueof(code)
                    for code in (_DNG_VERSION, _SUB_IFDS, _NEW_SUBFILE_TYPE)
                    if code in page.tags
                },
            ),
        )

    @property
    def colors(self) -> int:
        """Samples of a pixel that are its colour."""
        return _COLORS.get(self.photometric, 0)


def refusal(form: TiffForm) -> str | None:
    """Why a page is no image for anyone, and what to do; None where it is one.

    Returns:
        Words that follow "got FILE, ".
    """
    if form.is_raw:
        return (
            "what a camera's sensor saw (DNG and other raw files): develop it to JPEG "
            "or TIFF first"
        )
    if form.depth != 1:
        return (
            f"whose first page is a volume of {form.depth} slices, expected a flat "
            "image: write its slices to files of their own"
        )
    if form.sample_format != _UNSIGNED or form.bits not in (1, 2, 4, 8, 12, 16):
        kind = _KINDS.get(form.sample_format, "unknown")
        return (
            f"whose samples are {kind}{form.bits or ''} of {form.bits or 'mixed'} bits, "
            "expected unsigned integers of 8 or 16 bits: how their values map to grey "
            "levels is for you to say. Read it with tifffile.imread(FILE), scale it to "
            "0..255, and pass it, or write it anew, as uint8"
        )
    further = form.samples - form.colors
    is_bands = form.colors == 1 and further > 1
    if is_bands or (form.photometric in (MIN_IS_WHITE, MIN_IS_BLACK) and further < 0):
        return _refused_bands(form)
    if (
        not form.colors
        or further < form.extra
        or (form.colors == 1 and further != form.extra)
    ):
        return (
            f"of TIFF's photometric interpretation {form.photometric} with "
            f"{form.samples} samples, {form.extra} of them extra, expected grey, "
            "palette, RGB, CMYK, YCbCr or CIE L*a*b*: convert it to RGB"
        )
    return None


def _refused_bands(form: TiffForm) -> str:
    # What this says to do is done by a test.
    pixels = "tifffile.imread(FILE)"
    chosen = f"{pixels}[[0, 1, 2]]" if form.is_planar else f"{pixels}[..., [0, 1, 2]]"
    more = ", planarconfig='separate'" if form.is_planar else ""
    return (
        f"which has {form.samples} samples in each pixel and does not say which are "
        "red, green and blue (TIFF's photometric interpretation "
        f"{form.photometric}), as GDAL writes bands: choose three, such as "
        f"tifffile.imwrite(OUT, {chosen}, photometric='rgb'{more})"
    )


def pillow_reads(form: TiffForm) -> bool:
    """Whether Pillow decodes a page that is not refused, and decodes it rightly."""
    further = form.samples - form.colors
    if form.photometric in (MIN_IS_WHITE, MIN_IS_BLACK):
        if further:
            return form.bits == 8 and not form.is_planar
        return form.photometric == MIN_IS_BLACK or form.bits != 12
    if form.photometric == PALETTE:
        return form.bits <= 8 and not (further and form.bits != 8)
    if form.photometric == RGB and further > 1:
        return form.bits == 8 and not form.is_planar
    # Of 16 bits in planes it takes the bytes for others.
    most = 8 if form.is_planar or form.photometric in (YCBCR, CIELAB) else 16
    return 8 <= form.bits <= most and form.bits != 12


def windows_read(form: TiffForm) -> bool:
    """Whether tifffile decodes a page that is not refused, and we its colours."""
    if form.bits not in (1, 8, 16):
        return False
    if form.photometric == YCBCR:
        # The decoder of JPEG makes RGB of it.
        return form.compression in JPEG
    return form.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE)


def _one(values: Any) -> int:
    """What all samples have; 0 where they differ."""
    values = values if isinstance(values, tuple) else (values,)
    return int(values[0]) if len(set(values)) == 1 else 0


def _is_raw(photometric: Any, tags: Any) -> bool:
    # A camera's file begins with a small preview, and has the sensor's picture behind.
    is_preview = tags.get(_NEW_SUBFILE_TYPE, 0) == 1 and _SUB_IFDS in tags
    return photometric in _SENSORS or _DNG_VERSION in tags or is_preview

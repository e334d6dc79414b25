"""Supported kinds of TIFF and the decoder of each: one table for all readers.

A few tags determine the meaning of a TIFF page's samples. By these tags a page is read
or rejected, with the same message in all readers. Pillow decodes a page as a whole;
tifffile reads it window by window (`samjax.data.tiff_windows`). Each supports kinds
that the other does not support or decodes wrongly:

    grey (black or white is zero)    1, 8 bits      both
                                     16 bits        both
                                     2, 4, 12 bits  Pillow
      with alpha                     8 bits         Pillow; in planes tifffile
                                     16 bits        tifffile
    palette                          1, 8 bits      both
                                     2, 4 bits      Pillow
                                     16 bits        tifffile
    RGB, with or without alpha       8, 16 bits     both; 16 bits in planes tifffile
      with 2 or more extra samples   8, 16 bits     tifffile; Pillow 8 bits
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
# Adobe's tag of DNG, and the photometric interpretations of raw sensor data.
_DNG_VERSION, _SENSORS = 50706, (32803, 34892)
_SUB_IFDS, _NEW_SUBFILE_TYPE = 330, 254


class TiffForm(NamedTuple):
    """Form of the samples of a page, from its tags.

    Attributes:
        photometric: TIFF's code of the photometric interpretation.
        bits: Bits per sample; 0 if samples differ.
        sample_format: 1 for unsigned integers, 2 for signed ones, 3 for floats.
        samples: Samples per pixel.
        extra: Number of samples declared as extra, not colour.
        is_planar: Whether each sample is stored as a plane of its own.
        depth: Number of slices of a volume; 1 for a flat image.
        compression: TIFF's code of the compression.
        is_raw: Whether the page is a camera's raw sensor data, or a preview of it.
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
        """Returns the form of a page opened by Pillow.

        Args:
            tags: The image's `tag_v2`.
        """
        photometric = tags.get(262, 0)
        compression = tags.get(259, 1)
        # Writers of JPEG compression often omit the tag.
        usual = 3 if compression == 7 and photometric in (RGB, YCBCR) else 1
        return cls(
            photometric=photometric,
            bits=_common_value(tags.get(258, (1,))),
            sample_format=_common_value(tags.get(339, (1,))),
            samples=tags.get(277, usual),
            extra=len(tags.get(338, ())),
            is_planar=tags.get(284, _CONTIGUOUS) != _CONTIGUOUS,
            depth=tags.get(32997, 1),
            compression=compression,
            is_raw=_is_raw(photometric, tags),
        )

    @classmethod
    def of_tifffile(cls, page: Any) -> TiffForm:
        """Returns the form of a page opened by tifffile."""
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
        """Number of colour samples per pixel; 0 for an unknown interpretation."""
        return _COLORS.get(self.photometric, 0)


def refusal(form: TiffForm) -> str | None:
    """Explains why no reader supports a page, with the remedy; None if one does.

    Returns:
        The end of the sentence "got FILE, ...".
    """
    if form.is_raw:
        return (
            "raw data of a camera's sensor (DNG and other raw files): develop it to JPEG "
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
            "expected unsigned integers of 8 or 16 bits: the mapping of their values "
            "to grey levels is not defined. Read it with tifffile.imread(FILE), scale it to "
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
    # A test runs the code of this message.
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
    """Whether Pillow decodes a page that is not refused, and decodes it correctly."""
    further = form.samples - form.colors
    if form.photometric in (MIN_IS_WHITE, MIN_IS_BLACK):
        if further:
            return form.bits == 8 and not form.is_planar
        return form.photometric == MIN_IS_BLACK or form.bits != 12
    if form.photometric == PALETTE:
        return form.bits <= 8 and not (further and form.bits != 8)
    if form.photometric == RGB and further > 1:
        return form.bits == 8 and not form.is_planar
    # Pillow misreads the bytes of 16-bit planes.
    most = 8 if form.is_planar or form.photometric in (YCBCR, CIELAB) else 16
    return 8 <= form.bits <= most and form.bits != 12


def windows_read(form: TiffForm) -> bool:
    """Whether tifffile decodes a page that is not refused, to colours known here."""
    if form.bits not in (1, 8, 16):
        return False
    if form.photometric == YCBCR:
        # The JPEG decoder converts it to RGB.
        return form.compression in JPEG
    return form.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE)


def _common_value(values: Any) -> int:
    """Returns the value that all samples have in common; 0 if they differ."""
    values = values if isinstance(values, tuple) else (values,)
    return int(values[0]) if len(set(values)) == 1 else 0


def _is_raw(photometric: Any, tags: Any) -> bool:
    # The first page of a camera's file is a small preview, the raw data in a sub-IFD.
    is_preview = tags.get(_NEW_SUBFILE_TYPE, 0) == 1 and _SUB_IFDS in tags
    return photometric in _SENSORS or _DNG_VERSION in tags or is_preview

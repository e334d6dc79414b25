"""Rewriting of image files so that their stored pixels are upright."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from PIL import Image

from samjax.data.orientation import left_to_turn
from samjax.data.whole_images import open_image, read_header, read_rgb

# JPEG quality of a rewritten file: visually lossless.
_QUALITY = 97
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": _QUALITY, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_deflate"},
    "PNG": {"compress_level": 6},
}


def upright_file(data: bytes, name: str = "the bytes of a file") -> bytes:
    """Returns a file of the same image whose stored pixels are upright.

    A file that is upright already is returned unchanged. Any other is rewritten in its
    own format, lossless except for JPEG, which is written at high quality. A format
    that Pillow cannot write in this way is converted to an RGB PNG.

    Args:
        data: The bytes of the file.
        name: Name of the file in error messages.

    Raises:
        BadImage: The file cannot be read.
    """
    if read_header(data, name).orientation == 1:
        return data
    with open_image(data, name) as image:
        rewritten = None if image is None else _rewrite(image)
    if rewritten is not None:
        return rewritten
    content = io.BytesIO()
    Image.fromarray(read_rgb(data, name)).save(content, format="PNG")
    return content.getvalue()


def _rewrite(image: Any) -> bytes | None:
    """Returns the upright image in its own format; None if that cannot be written."""
    # An MPO is a JPEG followed by further images, which are dropped.
    orientation, kind = left_to_turn(image), image.format.replace("MPO", "JPEG")
    if kind not in _OPTIONS:
        return None
    image.load()
    kept = {key: image.info[key] for key in _KEPT if key in image.info}
    method = _TRANSPOSITIONS.get(orientation)
    turned = image.copy() if method is None else image.transpose(method)
    # Other metadata is dropped: EXIF or XMP could turn the image a second time.
    turned.info = kept
    content = io.BytesIO()
    profile = {"icc_profile": kept["icc_profile"]} if "icc_profile" in kept else {}
    with contextlib.suppress(OSError, ValueError):
        turned.save(content, format=kind, **_OPTIONS[kind], **profile)
        return content.getvalue()
    return None


_KEPT = ("transparency", "dpi", "gamma", "icc_profile")

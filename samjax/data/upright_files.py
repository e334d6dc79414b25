"""Files of photos whose stored pixels are the upright ones."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from PIL import Image

from samjax.data.orientation import left_to_turn
from samjax.data.whole_images import open_image, read_header, read_rgb

# Hardly less than lossless, where a JPEG has to be written anew.
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

    A file that needs no turning is returned as it is, to the byte. Any other is written
    anew in its own format without the orientation: without loss, but for JPEG, which is
    written at a high quality. What Pillow cannot write so becomes a PNG of its RGB.

    Args:
        data: the bytes of a file.
        name: what to call it in errors.

    Raises:
        BadImage: it cannot be read.
    """
    if read_header(data, name).orientation == 1:
        return data
    with open_image(data, name) as image:
        anew = None if image is None else _written_anew(image)
    if anew is not None:
        return anew
    content = io.BytesIO()
    Image.fromarray(read_rgb(data, name)).save(content, format="PNG")
    return content.getvalue()


def _written_anew(image: Any) -> bytes | None:
    """The upright image in its own format; None where that cannot be written."""
    # An MPO is a JPEG with further pictures behind it, which are not kept.
    orientation, kind = left_to_turn(image), image.format.replace("MPO", "JPEG")
    if kind not in _OPTIONS:
        return None
    image.load()
    kept = {key: image.info[key] for key in _KEPT if key in image.info}
    method = _TRANSPOSITIONS.get(orientation)
    turned = image.copy() if method is None else image.transpose(method)
    # Nothing else that the file says is kept: some of it could turn the image again.
    turned.info = kept
    content = io.BytesIO()
    profile = {"icc_profile": kept["icc_profile"]} if "icc_profile" in kept else {}
    with contextlib.suppress(OSError, ValueError):
        turned.save(content, format=kind, **_OPTIONS[kind], **profile)
        return content.getvalue()
    return None


_KEPT = ("transparency", "dpi", "gamma", "icc_profile")

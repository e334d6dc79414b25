"""Files of photos whose stored pixels are the upright ones."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from PIL import Image

from samjax.data.bounds import BadImage
from samjax.data.orientation import left_to_turn, orientation_of
from samjax.data.whole_images import open_image

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
    written at a high quality.

    Args:
        data: the bytes of a file.
        name: what to call it in errors.

    Raises:
        BadImage: it cannot be read.
    """
    with open_image(data, name) as image:
        if image is None or orientation_of(image) == 1:
            return data
        return _written_anew(image, name)


def _written_anew(image: Any, name: str) -> bytes:
    orientation, kind = left_to_turn(image), image.format
    # An MPO is a JPEG with further pictures behind it, which are not kept.
    kind = "JPEG" if kind == "MPO" else kind
    profile = image.info.get("icc_profile")
    turned = image
    image.load()
    if orientation in _TRANSPOSITIONS:
        turned = image.transpose(_TRANSPOSITIONS[orientation])
    content = io.BytesIO()
    with contextlib.suppress(KeyError, OSError, ValueError):
        # Of what else the file says nothing is kept that could turn it again.
        plain = turned.copy()
        plain.info = {key: value for key, value in turned.info.items() if key in _KEPT}
        extra = {"icc_profile": profile} if profile else {}
        plain.save(content, format=kind, **_OPTIONS.get(kind, {}), **extra)
        return content.getvalue()
    raise BadImage(
        f"got {name}, which lies on its side, of a format that cannot be written anew "
        f"({kind}): turn it upright, or convert it to JPEG or PNG"
    )


_KEPT = ("transparency", "dpi", "gamma", "icc_profile")

"""Photos and masks named on the command line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from samjax.data.bounds import BadImage, TooManyPixels
from samjax.data.images import check_names, list_items
from samjax.data.orientation import left_to_turn, upright_view
from samjax.data.whole_images import open_image, read_header


def find_photos(paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Lists the photos that `paths` name, those of a folder sorted by name.

    The header of every file is read before the work begins: a bad file that is named
    itself is an error, one in a folder is skipped with a message.

    Raises:
        ValueError: There is no photo, a named file is no image or too large, or two
            photos differ in folder and suffix alone, so that their results would have
            the same names.
        OSError: A path does not exist or cannot be read.
    """
    if not paths:
        raise ValueError("no photo is named: give files or folders")
    named = {Path(path) for path in paths}
    sound: list[Path] = []
    skipped: list[Exception] = []
    items, remarks = list_items(paths)
    for remark in remarks:
        print(f"samjax: note: {remark}", file=sys.stderr)
    for item in items:
        if item.path is None:
            raise ValueError(
                f"{item.name} is in a tar or a dataset, which samjax everything reads: "
                "unpack it first"
            )
        try:
            check_photo(item.path)
            sound.append(item.path)
        except (ValueError, OSError) as error:
            if item.path in named:
                raise
            skipped.append(error)
    if not sound:
        raise skipped[0]
    for error in skipped:
        print(f"samjax: skipped {error}", file=sys.stderr)
    check_names([photo.name for photo in sound])
    return sound


def check_photo(path: Path) -> tuple[int, int]:
    """Reads the header of an image file.

    Returns:
        Its size (h, w), before any turning by EXIF.

    Raises:
        ValueError: It is no image, or too large to be decoded safely.
        OSError: It does not exist or cannot be read.
    """
    try:
        return read_header(path, "one").size
    except TooManyPixels as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except BadImage as error:
        raise ValueError(f"{path} is not an image: {error}") from error


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Reads a mask, in which every pixel that is not black belongs to the object.

    Raises:
        ValueError: The file is no image, is damaged, or is too large.
        OSError: The file does not exist or cannot be read.
    """
    try:
        # `any_values`: pixels are compared with zero, whatever grey level they stand for.
        with open_image(path, "one", any_values=True) as image:
            if image is None:
                raise BadImage("a TIFF file of a kind that Pillow does not read")
            orientation = left_to_turn(image)
            # Label maps of 16 or 32 bits are not converted: their low ids would become 0.
            is_label_map = image.mode[0] in "IF"
            pixels = np.asarray(image if is_label_map else image.convert("RGB"))
    except BadImage as error:
        raise ValueError(f"{path} is damaged, or no mask: {error}") from error
    mask = np.asarray(pixels != 0 if is_label_map else pixels.any(axis=-1))
    return np.array(upright_view(mask, orientation))

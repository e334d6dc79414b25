"""Photos and masks that the command line names."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageOps

from samjax.data.images import SUFFIXES


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Returns the photos that `paths` name, those of a folder in order of their names.

    The head of every file is read, so that a bad one is found before the work begins.

    Raises:
        ValueError: Nothing is named, a folder holds no photo, a file is no image or too
            large, or two photos have one name but for folder and suffix, so that their
            results would have the same names.
        OSError: A path is not there or cannot be read.
    """
    photos = [photo for path in paths for photo in _expand(path)]
    if not photos:
        raise ValueError("no photo is named: give files or folders")
    owners: dict[str, Path] = {}
    for photo in photos:
        check_photo(photo)
        if photo.stem in owners:
            raise ValueError(
                f"the results of {photo} and {owners[photo.stem]} would have the same "
                "names: segment them into different folders"
            )
        owners[photo.stem] = photo
    return photos


def check_photo(path: Path) -> tuple[int, int]:
    """Returns the (h, w) that the head of an image file tells, before any turning.

    Raises:
        ValueError: It is no image, or so large that decoding it could be an attack.
        OSError: It is not there or cannot be read.
    """
    bound = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{path} is not an image") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large: {error}") from error
    if bound is not None and width * height > bound:
        raise ValueError(
            f"{path} is too large: {width} x {height}, expected at most {bound} pixels"
        )
    return height, width


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Reads a mask: every pixel that is not black is of the object.

    Raises:
        ValueError: The file is no image, is damaged, or is too large.
        OSError: The file is not there or cannot be read.
    """
    check_photo(path)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                # Numbered objects: in 16 bits the first ones are all but black.
                return np.asarray(upright) != 0
            return np.any(np.asarray(upright.convert("RGB")), axis=-1)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    photos = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not photos:
        raise ValueError(
            f"{path} holds no photo: looked for {', '.join(sorted(SUFFIXES))}"
        )
    return photos

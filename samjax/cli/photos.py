"""Photos and masks that the command line names."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from samjax.data.bounds import BadImage, TooManyPixels
from samjax.data.folders import SUFFIXES, list_images
from samjax.data.orientation import left_to_turn, upright_view
from samjax.data.whole_images import open_image, read_header


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Returns the photos that `paths` name, those of a folder in order of their names.

    The head of every file is read, so that a bad one is found before the work begins:
    one that is named ends it, one of a folder is passed over, and said.

    Raises:
        ValueError: Nothing is named, a folder holds no photo, a file that is named is no
            image or too large, or two photos have one name but for folder and suffix,
            so that their results would have the same names.
        OSError: A path is not there or cannot be read.
    """
    photos = [photo for path in paths for photo in _expand(path)]
    if not photos:
        raise ValueError("no photo is named: give files or folders")
    owners: dict[str, Path] = {}
    for photo in photos:
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
    try:
        return read_header(path, "one").size
    except TooManyPixels as error:
        raise ValueError(f"{path} is too large: {error}") from error
    except BadImage as error:
        raise ValueError(f"{path} is not an image: {error}") from error


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Reads a mask: every pixel that is not black is of the object.

    Raises:
        ValueError: The file is no image, is damaged, or is too large.
        OSError: The file is not there or cannot be read.
    """
    try:
        # What numbers mean as grey levels is of no consequence here.
        with open_image(path, "one", any_values=True) as image:
            if image is None:
                raise BadImage("a TIFF file of a kind that Pillow does not read")
            orientation = left_to_turn(image)
            # Numbered objects: in 16 bits the first ones are all but black.
            are_numbers = image.mode[0] in "IF"
            pixels = np.asarray(image if are_numbers else image.convert("RGB"))
    except BadImage as error:
        raise ValueError(f"{path} is damaged, or no mask: {error}") from error
    mask = np.asarray(pixels != 0 if are_numbers else pixels.any(axis=-1))
    return np.array(upright_view(mask, orientation))


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        check_photo(path)
        return [path]
    listing = list_images(path)
    remark = listing.remark(path)
    if not listing.images:
        raise ValueError(
            remark or f"{path} holds no photo: looked for {', '.join(sorted(SUFFIXES))}"
        )
    if remark:
        print(f"samjax: note: {remark}", file=sys.stderr)
    sound, problems = [], []
    for photo in listing.images:
        try:
            check_photo(photo)
            sound.append(photo)
        except (ValueError, OSError) as error:
            problems.append(error)
    if not sound:
        raise problems[0]
    for problem in problems:
        print(f"samjax: skipped {problem}", file=sys.stderr)
    return sound

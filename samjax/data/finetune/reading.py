"""Files of a user's dataset, read so that a bad one costs one example and not the run."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer
from PIL import Image, ImageOps

from samjax.data.decode import ImageFile
from samjax.data.finetune.mask_pixels import levels_of
from samjax.data.formats.guards import read_bounded
from samjax.data.formats.label_map import label_map_to_record
from samjax.data.problems import summary
from samjax.data.schema import ImageInfo, Record

# A map with more labels is a picture, of which every colour would be an object.
_MOST_LABELS = 1 << 14

# An image file above this is no photo; what it would decode to is checked elsewhere.
_MOST_BYTES = 1 << 29


def read_file(path: Path) -> bytes:
    """Returns what is in a file.

    Raises:
        ValueError: It cannot be read, or is larger than any photo.
    """
    try:
        return read_bounded(path, _MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def upright_size(path: Path) -> tuple[int, int] | None:
    """Returns the size (h, w) of an image as its EXIF orientation turns it.

    None where it cannot be read.
    """
    try:
        data = read_file(path)
        height, width = ImageFile(data).size
        with Image.open(io.BytesIO(data)) as image:
            is_lying = image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS
    except Exception:  # noqa: BLE001
        # Pillow's readers raise what their formats make them.
        return None
    return (width, height) if is_lying else (height, width)


def upright(data: bytes | None, size: tuple[int, int]) -> bytes | None:
    """Turns an image as its EXIF orientation says, where its masks are so turned.

    Phones store photos lying on their side. Most tools show, and label, them upright;
    whose masks are of the pixels as stored, has them of the size that is stored.

    Args:
        data: The bytes of a file.
        size: (h, w) of its masks.

    Returns:
        The bytes of another file, if only the turned image is of that size, or the same.
    """
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            stored = (image.height, image.width)
            is_lying = image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS
            if not is_lying or stored == size or stored[::-1] != size:
                return data
            if stored[0] * stored[1] > (Image.MAX_IMAGE_PIXELS or np.inf):
                return data
            file = io.BytesIO()
            turned = ImageOps.exif_transpose(image).convert("RGB")
            turned.save(file, format="PNG", compress_level=1)
            return file.getvalue()
    except Exception:  # noqa: BLE001
        # Pillow's readers raise what their formats make them; whoever prepares the
        # example says what is wrong.
        return data


_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


def record_of_labels(
    labels: Integer[np.ndarray, "h w"], number: int, name: str, *, separate: bool
) -> Record:
    """Makes a record of a label map.

    Args:
        labels: 0 on nothing.
        number: Of the image in its dataset.
        name: Of the image's file.
        separate: Whether each connected region of a label is an object by itself.

    Raises:
        ValueError: There are too many labels for a label map.
    """
    if len(levels_of(labels)) > _MOST_LABELS:
        raise ValueError(
            f"{name}: got more than {_MOST_LABELS} labels, expected a label map: this is "
            "a picture"
        )
    height, width = labels.shape
    image = ImageInfo(image_id=number, width=width, height=height, file_name=name)
    return label_map_to_record(separated(labels) if separate else labels, image)


def separated(labels: Integer[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Numbers the 8-connected regions of every label of a map anew, from 1 on.

    Raises:
        ImportError: OpenCV is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "to separate regions needs OpenCV: run pip install 'samjax[train]'"
        ) from error
    regions = np.zeros(labels.shape, np.int32)
    found = 0
    for label in np.unique(labels[labels != 0]):
        count, numbered = cv2.connectedComponents(
            (labels == label).astype(np.uint8), connectivity=8
        )
        regions += np.where(numbered > 0, numbered + found, 0)
        found += count - 1
    return regions


def nothing_usable(path: Path, what: str, problems: Sequence[str]) -> ValueError:
    """Makes the error of a dataset of which nothing can be used."""
    reasons = summary(problems)
    return ValueError(f"{path} has {what}{': ' if reasons else ''}{reasons}")


def report_problems(
    path: Path, problems: Sequence[str], notes: Sequence[str] = ()
) -> None:
    """Warns of what is left out of a dataset that is usable as a whole.

    Args:
        path: Of the dataset.
        problems: What is left out, a line each.
        notes: How the dataset was understood, a line each.
    """
    said = [summary(notes)] if notes else []
    if problems:
        said.insert(0, f"{len(problems)} parts are left out: {summary(problems)}")
    if said:
        warnings.warn(f"{path}: {'; '.join(said)}", stacklevel=3)

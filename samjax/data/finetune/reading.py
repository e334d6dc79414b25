"""Files of a user's dataset, read so that a bad one costs one example and not the run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from samjax.data.examples import smaller_size
from samjax.data.finetune.mask_pixels import levels_of
from samjax.data.formats.guards import read_bounded
from samjax.data.formats.label_map import label_map_to_record
from samjax.data.orientation import FrameName, declared_frame
from samjax.data.problems import summary
from samjax.data.schema import ImageInfo, Record
from samjax.data.whole_images import read_header

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
        return read_header(path).upright_size
    except (OSError, ValueError):
        return None


def in_its_frame(data: bytes | None, record: Record, dataset: Path) -> Record:
    """Returns a record that says on which pixels of its photo its masks lie.

    Cameras store photos lying on their side or their head, and note how they were held.
    Most tools show, and label, them upright; whose masks are of the pixels as stored, has
    them of the size that is stored. Where the size fits both, which is so after half a
    turn and of squares, the photo is taken upright, and a `UserWarning` says so.

    Args:
        data: The bytes of the photo's file.
        record: Of the photo. What it says itself about its frame is believed.
        dataset: Whose photo it is, for the warning.
    """
    info = record["image"]
    if data is None or declared_frame(info):
        return record
    try:
        header = read_header(data)
    except (OSError, ValueError):
        # Whoever prepares the example says what is wrong.
        return record
    if header.orientation == 1:
        return record
    size = (info["height"], info["width"])
    fits_upright, fits_stored = (
        size == own or own == smaller_size(size, max(own))
        for own in (header.upright_size, header.size)
    )
    if fits_upright and fits_stored:
        warnings.warn(
            f"{dataset}: photos are turned by their EXIF orientation where their size "
            "does not tell which way their masks lie: if these are of the pixels as "
            'stored, give their images of the file "frame": "stored", or take the '
            "orientation out of the photos",
            stacklevel=2,
        )
    frame: FrameName = "stored" if fits_stored and not fits_upright else "upright"
    return Record(image={**info, "frame": frame}, annotations=record["annotations"])


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

"""Reading of the files of fine-tuning datasets; a damaged file loses one example only."""

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

# A map with more labels is a photo, each of whose colours would be an object.
_MOST_LABELS = 1 << 14

# Bound on the bytes of an image file; the decoded size has its own
# (`samjax.data.bounds`).
_MOST_BYTES = 1 << 29


def read_file(path: Path) -> bytes:
    """Reads a file whole.

    Raises:
        ValueError: The file cannot be read, or is larger than any photo.
    """
    try:
        return read_bounded(path, _MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def upright_size(path: Path) -> tuple[int, int] | None:
    """Returns the size (h, w) of an image turned upright by its EXIF orientation.

    None if the file cannot be read.
    """
    try:
        return read_header(path).upright_size
    except (OSError, ValueError):
        return None


def in_its_frame(data: bytes | None, record: Record, dataset: Path) -> Record:
    """Returns a record with the frame of its masks declared, upright or stored.

    Cameras store photos rotated and record the orientation. Most tools display and
    label them upright; masks of the pixels as stored can be recognized by the stored
    size. If the size fits both frames (a rotation by 180 degrees, a square image), the
    upright frame is assumed with a `UserWarning`.

    Args:
        data: The bytes of the photo's file.
        record: The record of the photo; a frame that it declares itself is kept.
        dataset: Path of the dataset, for the warning.
    """
    info = record["image"]
    if data is None or declared_frame(info):
        return record
    try:
        header = read_header(data)
    except (OSError, ValueError):
        # `samjax.data.prepare` reports the damage.
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
            f"{dataset}: photos are turned by their EXIF orientation, though the "
            "size of their masks fits both frames: if the masks are of the pixels as "
            'stored, add "frame": "stored" to their images in the file, or remove the '
            "orientation from the photos",
            stacklevel=2,
        )
    frame: FrameName = "stored" if fits_stored and not fits_upright else "upright"
    return Record(image={**info, "frame": frame}, annotations=record["annotations"])


def record_of_labels(
    labels: Integer[np.ndarray, "h w"], image_id: int, name: str, *, separate: bool
) -> Record:
    """Makes the record of a label map.

    Args:
        labels: The label map, 0 on the background.
        image_id: Id of the image in its dataset.
        name: Name of the image file.
        separate: Whether each connected region of a label is an object of its own.

    Raises:
        ValueError: There are too many labels for a label map.
    """
    if len(levels_of(labels)) > _MOST_LABELS:
        raise ValueError(
            f"{name}: got more than {_MOST_LABELS} labels, expected a label map: this is "
            "a picture"
        )
    height, width = labels.shape
    image = ImageInfo(image_id=image_id, width=width, height=height, file_name=name)
    return label_map_to_record(separated(labels) if separate else labels, image)


def separated(labels: Integer[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Relabels every 8-connected region of every label with an id of its own, from 1.

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
    region_count = 0
    for label in np.unique(labels[labels != 0]):
        # The count includes the background, component 0.
        count, components = cv2.connectedComponents(
            (labels == label).astype(np.uint8), connectivity=8
        )
        regions += np.where(components > 0, components + region_count, 0)
        region_count += count - 1
    return regions


def unusable_dataset(path: Path, lacking: str, problems: Sequence[str]) -> ValueError:
    """Returns the error for a dataset without any usable part."""
    reasons = summary(problems)
    return ValueError(f"{path} has {lacking}{': ' if reasons else ''}{reasons}")


def report_problems(
    path: Path, problems: Sequence[str], notes: Sequence[str] = ()
) -> None:
    """Warns of the parts of a dataset that are left out, and of notes.

    Args:
        path: Path of the dataset.
        problems: The parts that are left out, one line each.
        notes: Remarks on how the dataset was interpreted, one line each.
    """
    remarks = [summary(notes)] if notes else []
    if problems:
        remarks.insert(0, f"{len(problems)} parts are left out: {summary(problems)}")
    if remarks:
        warnings.warn(f"{path}: {'; '.join(remarks)}", stacklevel=3)

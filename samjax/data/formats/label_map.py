"""Label maps: images in which every pixel has the number of its mask, 0 for none.

A pixel has one number only, so overlapping masks are cut. Larger masks are drawn first:
parts cover wholes. PNG has 8 bits for up to 255 labels, 16 bits for up to 65535.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Integer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samjax.data.bounds import PIXELS, max_pixels
from samjax.data.formats.annotations import (
    counts_of,
    make_annotation,
)
from samjax.data.schema import ImageInfo, Record
from samjax.files import mark_of, write_bytes
from samjax.geometry import overlaps

_MOST_LABELS = 65535


def record_to_label_map(record: Record) -> Int[np.ndarray, "h w"]:
    """Draws the masks of a record to a label map.

    Returns:
        0 on the background, k on the annotation at index k - 1. Of masks with equal
        areas the later one is on top.

    Raises:
        ValueError: A mask is damaged or not of the image's size.
    """
    image = record["image"]
    runs = [counts_of(annotation, image) for annotation in record["annotations"]]
    return overlaps.label_map(runs, (image["height"], image["width"]))


def label_map_to_record(
    label_map: Integer[np.ndarray, "h w"], image: ImageInfo
) -> Record:
    """Makes a record of the masks in a label map.

    Returns:
        A record with an annotation for each label that occurs, in ascending order, with
        the label as its id; the other fields are those of
        `annotations.make_annotation`.

    Raises:
        ValueError: The map is not of the image's size.
    """
    height, width = label_map.shape
    if (height, width) != (image["height"], image["width"]):
        raise ValueError(
            f"got a label map of {[height, width]} for image {image['image_id']} of "
            f"{[image['height'], image['width']]}, expected equal sizes (height, width)"
        )
    # Column-major, as RLE counts are.
    pixels = label_map.T.reshape(-1)
    starts = np.flatnonzero(np.append(True, pixels[1:] != pixels[:-1]))
    starts = starts[: len(pixels)]
    ends, labels = np.append(starts[1:], len(pixels)), pixels[starts]
    # A stable sort by label groups the runs of each mask and keeps their order.
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    annotations = []
    for label, own in zip(present, np.split(order, first[1:]), strict=True):
        if label == 0:
            continue
        bounds = np.stack([starts[own], ends[own]], axis=1).reshape(-1)
        counts = np.diff(bounds, prepend=0)
        if bounds[-1] < len(pixels):
            counts = np.append(counts, len(pixels) - bounds[-1])
        annotations.append(make_annotation(counts, (height, width), int(label)))
    return Record(image=image, annotations=annotations)


def label_map_to_masks(
    label_map: Integer[np.ndarray, "h w"],
) -> Bool[np.ndarray, "k h w"]:
    """Returns the mask of each label that occurs, in ascending order of labels."""
    present = np.unique(label_map)
    return label_map == present[present != 0][:, None, None]


def write_label_map(
    path: str | os.PathLike, label_map: Integer[np.ndarray, "h w"]
) -> None:
    """Writes a label map to a grey PNG of 8 bits, or 16 for labels above 255.

    Raises:
        ValueError: There are no pixels, or labels outside 0..65535.
        OSError: The file cannot be written.
    """
    if not label_map.size:
        raise ValueError(f"got a label map of shape {label_map.shape}, without pixels")
    low, high = int(label_map.min()), int(label_map.max())
    if low < 0 or high > _MOST_LABELS:
        raise ValueError(
            f"got labels in {low}..{high}, expected 0..{_MOST_LABELS}, which a PNG can "
            "hold: write fewer masks to one label map"
        )
    pixels = label_map.astype(np.uint8 if high <= 255 else np.uint16)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data, mark = io.BytesIO(), PngInfo()
    mark.add_text("Software", mark_of("label map"))
    Image.fromarray(pixels).save(data, format="PNG", pnginfo=mark)
    write_bytes(path, data.getvalue())


def read_label_map(path: str | os.PathLike) -> Int[np.ndarray, "h w"]:
    """Reads a label map from a PNG: grey of 1, 8 or 16 bits, or palette indices.

    Its size is checked against `samjax.data.bounds.max_pixels` before anything is
    decoded.

    Raises:
        ValueError: The file is not such a PNG, is damaged or too large.
        OSError: The file does not exist or cannot be read.
    """
    path = Path(path)
    max_pixels()
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            header = file.read(26)
            file.seek(0)
            with Image.open(file, formats=["PNG"]) as image:
                _check_kind(image, header, path)
                return np.asarray(image).astype(np.int32)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {error} Set {PIXELS} to allow it") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, SyntaxError) as error:
        # Pillow raises these for a damaged file: OSError, or SyntaxError for PNG.
        raise ValueError(
            f"{path}: got a file that cannot be read as a label map ({error}), expected "
            "a complete PNG"
        ) from error


def _check_kind(image: Image.Image, header: bytes, path: Path) -> None:
    # Pillow scales grey of 2 and 4 bits to 0..255, which changes the labels.
    bits, is_grey = header[24], header[25] == 0
    if image.mode not in ("1", "L", "P", "I;16", "I") or (is_grey and bits in (2, 4)):
        raise ValueError(
            f"{path}: got a PNG of {bits} bits in Pillow's mode {image.mode}, expected "
            "one number per pixel: grey of 1, 8 or 16 bits, or a palette"
        )

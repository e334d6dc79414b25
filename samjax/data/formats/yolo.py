"""YOLO's segmentation format: a text file per image, a polygon per line.

    images/<name>.jpg
    labels/<name>.txt      0 0.25 0.5 0.75 0.5 0.5 0.875
    data.yaml

A line has the id of a class and the corners of one polygon, x and y in turn, normalized
by the image's width and height. A mask is a single polygon, so regions and holes are
joined by bridges of zero area (`samjax.geometry.polygons`). Six decimals reproduce the
corners of pixels exactly in images of up to 100,000 pixels a side.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int

from samjax.data.folders import list_images
from samjax.data.formats.annotations import (
    columns_of_counts,
    counts_of,
    make_annotation,
)
from samjax.data.formats.guards import (
    Problems,
    check_file_name,
    check_size,
    raise_problem,
    read_bounded,
    record_stem,
)
from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.data.whole_images import read_header
from samjax.files import check_replaceable, json_text, write_bytes
from samjax.geometry.polygons import (
    join_polygons,
    mask_to_polygons,
    polygons_to_counts,
)

# Bound on the bytes of a label file, far above what thousands of masks need.
_LONGEST_LABELS = 1 << 28


def write_yolo(
    folder: str | os.PathLike,
    records: Iterable[Record],
    *,
    tolerance: float = 0.0,
    category: str = "object",
    overwrite: bool = True,
) -> None:
    """Writes records to `folder/labels`, image by image, and `data.yaml` at the end.

    Empty masks have no polygon and are left out; an image without masks has an empty
    file. Images are not copied: they belong in `folder/images`. Other files are kept.

    Args:
        folder: Folder of the dataset; created if missing.
        records: The images and their masks.
        tolerance: Tolerance of polygons in pixels, as in
            `samjax.geometry.polygons.mask_to_polygons`; 0 is exact.
        category: Name of class 0, the only one.
        overwrite: Whether to replace files that are not as samjax wrote them, such as
            corrected labels.

    Raises:
        WouldReplace: There is such a file.
        ValueError: An image's name is not plain, two names differ only in the suffix,
            or a mask is damaged.
        ImportError: OpenCV is missing.
        OSError: A file cannot be written.
    """
    folder = Path(folder)
    labels = folder / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    for record in records:
        stem = record_stem(record)
        if stem in written:
            raise ValueError(
                f"got a second image named {stem}, expected every name once, without "
                "its suffix: both would have the same labels"
            )
        written.add(stem)
        lines = [
            _line(annotation, record["image"], tolerance)
            for annotation in record["annotations"]
        ]
        content = "".join(lines).encode("ascii")
        _replace(labels / f"{stem}.txt", content, overwrite)
    # A JSON string is valid YAML. Both splits list all images: the user divides them.
    names = f"names:\n  0: {json_text(category, ensure_ascii=False)}\n"
    text = f"train: images\nval: images\n{names}"
    _replace(folder / "data.yaml", text.encode(), overwrite)


def _replace(path: Path, content: bytes, overwrite: bool) -> None:
    # An equal file may be from a run that was stopped before it recorded its files.
    if not (path.is_file() and path.read_bytes() == content):
        check_replaceable(path, "yolo", overwrite=overwrite)
        write_bytes(path, content)


def read_yolo(
    folder: str | os.PathLike,
    images: str | os.PathLike | Mapping[str, tuple[int, int]],
    *,
    problems: Problems = raise_problem,
) -> Iterator[Record]:
    """Reads `folder/labels`, image by image, sorted by the images' names.

    Image ids count from 1 in this order, mask ids through all images. Classes are
    dropped: records have none. Fields that the format lacks get the values of
    `annotations.make_annotation`.

    Args:
        folder: Folder of the dataset.
        images: Folder of the images, whose sizes are read, turned upright by their EXIF
            orientation; or the sizes (h, w) by file name.
        problems: Called with the error of every image and line that is left out; the
            default raises it.

    Yields:
        A record for every image; one without labels has no masks.

    Raises:
        ValueError: Labels have no image, a size cannot be found, or a line is not a
            polygon.
        OSError: A folder or file cannot be read.
    """
    labels = Path(folder) / "labels"
    label_files = {
        name
        for name in os.listdir(labels)
        if name.endswith(".txt") and not name.startswith(".")
    }
    names = _names(images, problems)
    for name in sorted(label_files - {f"{stem}.txt" for stem in names}):
        problems(
            ValueError(
                f"{labels / name}: got labels without an image, expected one of the "
                "same name, by which the size is known"
            )
        )
    mask_id = 0
    for image_id, (stem, name) in enumerate(names.items(), start=1):
        try:
            height, width = _size(images, name)
            text = b""
            if f"{stem}.txt" in label_files:
                text = read_bounded(labels / f"{stem}.txt", _LONGEST_LABELS)
                text = text.removeprefix(codecs.BOM_UTF8)
        except ValueError as error:
            problems(error)
            continue
        image = ImageInfo(image_id=image_id, width=width, height=height, file_name=name)
        if not isinstance(images, Mapping):
            image["frame"] = "upright"
        annotations = []
        for row, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                context = f"{labels / f'{stem}.txt'}, line {row}"
                counts = _counts(line, (height, width), context)
            except ValueError as error:
                problems(error)
                continue
            mask_id += 1
            annotations.append(make_annotation(counts, (height, width), mask_id))
        yield Record(image=image, annotations=annotations)


def _line(annotation: Annotation, image: ImageInfo, tolerance: float) -> str:
    counts = counts_of(annotation, image)
    left, columns = columns_of_counts(counts, image["height"])
    polygons = mask_to_polygons(columns.T, tolerance=tolerance)
    if not polygons:
        return ""
    corners = join_polygons(polygons) + [left, 0]
    parts = corners / [image["width"], image["height"]]
    return f"0 {' '.join(f'{part:.6f}' for part in parts.reshape(-1).tolist())}\n"


def _names(
    images: str | os.PathLike | Mapping[str, tuple[int, int]], problems: Problems
) -> dict[str, str]:
    """Returns the images' names by their stems, in order."""
    if isinstance(images, Mapping):
        listed = sorted(images)
    else:
        listed = [path.name for path in list_images(images).images]
    names: dict[str, str] = {}
    for name in listed:
        try:
            stem = PurePosixPath(check_file_name(name, "images")).stem
            if stem in names:
                raise ValueError(
                    f"got the images {names[stem]!a} and {name!a}, expected "
                    "names that differ before the ending: they share their labels"
                )
        except ValueError as error:
            problems(error)
        else:
            names[stem] = name
    return names


def _size(
    images: str | os.PathLike | Mapping[str, tuple[int, int]], name: str
) -> tuple[int, int]:
    if isinstance(images, Mapping):
        return check_size(*images[name], ascii(name))
    path = Path(images) / name
    try:
        height, width = read_header(path).upright_size
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: its size cannot be read ({error})") from error
    return check_size(height, width, str(path))


def _counts(line: bytes, size: tuple[int, int], context: str) -> Int[np.ndarray, " r"]:
    height, width = size
    try:
        label, *coordinates = line.split()
        # Class ids saved as floats are 0.0 or 0.000000e+00.
        value = float(label)
        sound = value >= 0 and value.is_integer()
        parts = np.array([float(coordinate) for coordinate in coordinates])
    except ValueError:
        sound, parts = False, np.zeros(0)
    if not sound or len(parts) < 6 or len(parts) % 2:
        kind = " (this is a box, without a mask)" if len(parts) == 4 else ""
        raise ValueError(
            f"{context}: got {line[:40]!a}, expected the number of a class and at "
            f"least three corners x y in parts of the image{kind}"
        )
    # Coordinates in pixels are the usual mistake; values slightly outside 0..1 are due
    # to rounding or clipping.
    if not (np.abs(parts - 0.5) < 1.0).all():
        raise ValueError(
            f"{context}: got corners in {parts.min()}..{parts.max()}, expected parts of "
            "the image, 0..1: divide pixels by width and height"
        )
    return polygons_to_counts([parts.reshape(-1, 2) * [width, height]], size)

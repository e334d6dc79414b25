"""YOLO's folders of polygons: a text file per image, a line per mask.

    images/<name>.jpg
    labels/<name>.txt      0 0.25 0.5 0.75 0.5 0.5 0.875
    data.yaml

A line is the number of a class and the corners of one polygon, x and y in turn, in
parts of the image's width and height. One mask has one polygon, so regions and holes
are joined by bridges without area (`geometry.polygons`). Six decimals give the corners
of pixels back exactly in images of up to 100,000 pixels a side.
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

# Far above what thousands of masks need: a bound on what a reader loads.
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
    file. Images are not copied: they belong to `folder/images`. Other files stay.

    Args:
        folder: of the data set; it is made if need be.
        records: the images and their masks.
        tolerance: in pixels, as `geometry.polygons.mask_to_polygons` has it; 0 is exact.
        category: name of class 0, the only one.
        overwrite: whether files are replaced that are not as samjax wrote them, such
            as labels that somebody corrected.

    Raises:
        WouldReplace: such a file is there.
        ValueError: an image's name is not plain, two have one name but for the ending,
            or a mask is damaged.
        ImportError: OpenCV is missing.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    labels = folder / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    for record in records:
        stem = record_stem(record)
        if stem in written:
            raise ValueError(
                f"got a second image named {stem}, expected every name once, whatever "
                "its ending: both would have the same labels"
            )
        written.add(stem)
        lines = [
            _line(annotation, record["image"], tolerance)
            for annotation in record["annotations"]
        ]
        content = "".join(lines).encode("ascii")
        _replace(labels / f"{stem}.txt", content, overwrite)
    # JSON's text is YAML's too. Both splits are all images: the user divides them.
    names = f"names:\n  0: {json_text(category, ensure_ascii=False)}\n"
    text = f"train: images\nval: images\n{names}"
    _replace(folder / "data.yaml", text.encode(), overwrite)


def _replace(path: Path, content: bytes, overwrite: bool) -> None:
    # Of a writer that was stopped before it wrote down what it had written.
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

    Images are numbered from 1 on in this order, and masks through all images. Classes
    are not kept: records have none. What the format lacks has the values of
    `annotations.make_annotation`.

    Args:
        folder: of the data set.
        images: folder of the images, of which sizes are read, upright by their EXIF
            orientation; or the sizes (h, w) by file names.
        problems: is called with the error of every image and line that is left out; the
            default raises it.

    Yields:
        A record for every image; one without labels has no masks.

    Raises:
        ValueError: labels have no image, a size cannot be found, or a line is not a
            polygon.
        OSError: a folder or file cannot be read.
    """
    labels = Path(folder) / "labels"
    there = {
        name
        for name in os.listdir(labels)
        if name.endswith(".txt") and not name.startswith(".")
    }
    names = _names(images, problems)
    for name in sorted(there - {f"{stem}.txt" for stem in names}):
        problems(
            ValueError(
                f"{labels / name}: got labels without an image, expected one of the "
                "same name, by which the size is known"
            )
        )
    number = 0
    for image_id, (stem, name) in enumerate(names.items(), start=1):
        try:
            height, width = _size(images, name)
            text = b""
            if f"{stem}.txt" in there:
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
                place = f"{labels / f'{stem}.txt'}, line {row}"
                counts = _counts(line, (height, width), place)
            except ValueError as error:
                problems(error)
                continue
            number += 1
            annotations.append(make_annotation(counts, (height, width), number))
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
    """The images' names by what they are without their ending, in order."""
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


def _counts(line: bytes, size: tuple[int, int], place: str) -> Int[np.ndarray, " r"]:
    height, width = size
    try:
        label, *numbers = line.split()
        # Tables of floats are saved as 0.0 or 0.000000e+00.
        value = float(label)
        sound = value >= 0 and value.is_integer()
        parts = np.array([float(number) for number in numbers])
    except ValueError:
        sound, parts = False, np.zeros(0)
    if not sound or len(parts) < 6 or len(parts) % 2:
        kind = " (this is a box, without a mask)" if len(parts) == 4 else ""
        raise ValueError(
            f"{place}: got {line[:40]!a}, expected the number of a class and at "
            f"least three corners x y in parts of the image{kind}"
        )
    # Pixels instead of parts are the usual mistake; a little beyond is rounding.
    if not (np.abs(parts - 0.5) < 1.0).all():
        raise ValueError(
            f"{place}: got corners in {parts.min()}..{parts.max()}, expected parts of "
            "the image, 0..1: divide pixels by width and height"
        )
    return polygons_to_counts([parts.reshape(-1, 2) * [width, height]], size)

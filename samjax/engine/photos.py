"""Photos to label: a folder of images, or the images without masks of a COCO file."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from samjax.data.finetune.coco import (
    annotation_file,
    image_folder,
    without_folders,
)
from samjax.data.finetune.reading import read_file
from samjax.data.formats.coco import read_coco
from samjax.data.formats.coco_content import read_content
from samjax.data.images import Item, find_images
from samjax.data.orientation import FrameName, declared_frame
from samjax.data.whole_images import read_in_frame
from samjax.inference.images import read_image

# The fields of an image in a COCO file that its record has.
_OF_RECORD = ("id", "width", "height", "file_name")
# Photos of a folder are read upright, so their labels are in the upright frame.
_UPRIGHT = {"frame": "upright"}


class PhotoToLabel(NamedTuple):
    """A photo, read when it is labelled.

    Attributes:
        image_id: Id of the image in the dataset.
        item: Its name, perhaps with folders, and the function that reads its pixels.
        fields: Its further fields in a COCO file, its licence included.
    """

    image_id: int
    item: Item
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Photos:
    """Photos to label.

    Attributes:
        photos: The photos.
        licences: COCO's `licenses`, to which their fields may refer.
        problems: Messages about the images that were left out.
    """

    photos: tuple[PhotoToLabel, ...]
    licences: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()


def open_photos(
    source: str | os.PathLike,
    *,
    exclude_licences: Sequence[str] = (),
    labelled_too: bool = False,
) -> Photos:
    """Lists the photos of a folder or a COCO file.

    Args:
        source: A folder of images; or a COCO file, or a folder with `annotations.json`,
            or with one such file and no images beside it.
        exclude_licences: Licences, by number or name, whose images are left out
            (`samjax.data.formats.licences.is_excluded`). For COCO's files.
        labelled_too: Whether images of a COCO file that have masks are listed too.

    Raises:
        ValueError: There is no photo to label, or it is no COCO file.
        OSError: The source does not exist or cannot be read.
    """
    source = Path(source)
    file = _coco_file(source)
    if file is not None:
        return _of_coco(file, exclude_licences, labelled_too)
    if exclude_licences:
        raise ValueError(
            f"{source} is a folder of images, which has no licences, but "
            f"{', '.join(exclude_licences)} is to be left out: name a COCO file"
        )
    return Photos(
        photos=tuple(
            PhotoToLabel(
                image_id, item._replace(read=_reader(source / item.name)), _UPRIGHT
            )
            for image_id, item in enumerate(find_images([source]), start=1)
        )
    )


def read_photo(
    path: Path, size: tuple[int, int] | None, frame: FrameName | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a photo in the orientation that training uses.

    Args:
        path: Path of the file.
        size: (h, w) in the COCO file; None for the upright photo.
        frame: Frame that the COCO file declares.

    Raises:
        ValueError: It is missing, damaged or of another size.
    """
    try:
        data = read_file(path)
    except ValueError as error:
        raise ValueError(f"the photo is missing or cannot be read: {error}") from error
    if size is None:
        return read_image(data)
    pixels = read_in_frame(data, size, frame)
    if pixels.shape[:2] != size:
        raise ValueError(
            f"got a photo of {pixels.shape[:2]} where the COCO file says {size} "
            "(height, width), expected one size"
        )
    return pixels


def _coco_file(source: Path) -> Path | None:
    """Returns the COCO file of a source; None for a folder of images."""
    if source.is_dir() and not (source / "annotations.json").is_file():
        try:
            find_images([source])
        except ValueError:
            return annotation_file(source)
        return None
    return annotation_file(source)


def _of_coco(file: Path, exclude_licences: Sequence[str], labelled_too: bool) -> Photos:
    problems: list[str] = []
    records = read_coco(
        file,
        exclude_licences=exclude_licences,
        problems=lambda error: problems.append(str(error)),
    )
    images = [
        record["image"]
        for record in records
        if labelled_too or not record["annotations"]
    ]
    if not images:
        lacking = "no image" if labelled_too else "no image without a mask"
        under = ", ".join(exclude_licences)
        raise ValueError(
            f"{file} has {lacking}{f' that is under none of {under}' if under else ''}"
            ": there is nothing to label"
        )
    content = read_content(file)
    entries = {entry["id"]: entry for entry in content["images"] if "id" in entry}
    folder, cut = image_folder(file, [image["file_name"] for image in images])
    photos = []
    for image in images:
        name, size = image["file_name"], (image["height"], image["width"])
        entry = entries[image["image_id"]]
        fields = {key: entry[key] for key in entry if key not in _OF_RECORD}
        path = folder / without_folders(name, cut)
        item = Item(name, _reader(path, size, declared_frame(image)), path)
        photos.append(PhotoToLabel(image["image_id"], item, fields))
    licences = content.get("licenses")
    return Photos(
        photos=tuple(photos),
        licences=tuple(licences if isinstance(licences, list) else ()),
        problems=tuple(problems),
    )


def _reader(
    path: Path, size: tuple[int, int] | None = None, frame: FrameName | None = None
) -> Any:
    return functools.partial(read_photo, path, size, frame)

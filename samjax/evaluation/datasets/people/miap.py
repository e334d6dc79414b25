"""MIAP with the masks of Open Images: people, or their clothing, with perceived groups.

MIAP has boxes of people and the gender presentation and age that annotators perceived;
Open Images has masks. A person's mask is paired with the MIAP box that its own box lies
within 1 % of the sides of, as in SAM (appendix C); one to one, the nearest first. A mask
of clothing takes the groups of the smallest MIAP box that it lies in. Expected in the
folder, by the names under which they are distributed:

    open_images_extended_miap_boxes_SPLIT.csv
    SPLIT-annotations-object-segmentation.csv
    masks/*.png, or SPLIT-masks-0/*.png ... SPLIT-masks-f/, or these as zip files
    images/ID.jpg, or SPLIT/ID.jpg
    bbox_labels_600_hierarchy.json                  for clothing
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from samjax.data.finetune.reading import read_file
from samjax.data.formats.guards import check_file_name
from samjax.data.whole_images import read_header, read_rgb
from samjax.evaluation.datasets.archives import read_unpacked_or_not
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import Entries, Entry, Loaded
from samjax.evaluation.datasets.people.grouping import Groups, Key, read_rows
from samjax.evaluation.datasets.photo_sets import Photo, PhotoObject
from samjax.files import read_regular
from samjax.geometry.masks import mask_to_counts

Parts = Literal["people", "clothing"]
"""Objects that are scored: whole people, or pieces of clothing."""

MARGIN = 0.01
"""Largest distance of paired boxes at any side, as a share of the MIAP box's side."""

# Person, man, woman, boy, girl; clothing.
_PEOPLE = {"/m/01g317", "/m/04yx4", "/m/03bt1vf", "/m/01bl7v", "/m/05r655"}
_CLOTHING = "/m/09j2d"

_GENDERS = {
    "Predominantly Feminine": "feminine",
    "Predominantly Masculine": "masculine",
}
_AGES = {"Young": "young", "Middle": "middle", "Older": "older"}


class _Box(NamedTuple):
    """A box in shares of the image, and its row of the file."""

    sides: tuple[float, float, float, float]
    row: Mapping[str, str]


class _Mask(NamedTuple):
    """A mask of an image: its number, file, category and box."""

    number: int
    file: str
    category: str
    box: _Box


def is_miap(path: Path) -> bool:
    """Whether a folder has a file of MIAP's boxes."""
    return path.is_dir() and any(path.glob("open_images_extended_miap_boxes_*.csv"))


def miap_entries(
    path: Path, parts: Parts = "people", split: str = "test"
) -> tuple[Entries, dict[Key, Groups]]:
    """Lists the photos with masks of people with a group.

    Args:
        path: The folder.
        parts: What is scored.
        split: The split.

    Returns:
        The photos, and the groups of their masks.

    Raises:
        ValueError: A file is damaged.
        OSError: A file is not there or cannot be read.
    """
    people = _boxes(
        path / f"open_images_extended_miap_boxes_{split}.csv",
        ("XMin", "YMin", "XMax", "YMax"),
    )
    masks = _boxes(
        path / f"{split}-annotations-object-segmentation.csv",
        ("BoxXMin", "BoxYMin", "BoxXMax", "BoxYMax"),
    )
    labels = _PEOPLE if parts == "people" else _clothing_labels(path)
    choose = _pair if parts == "people" else _inside
    photos, groups, skipped = [], {}, []
    for image, of_image in masks.items():
        if image not in people:
            continue
        wanted = [
            _Mask(number, box.row.get("MaskPath", ""), box.row["LabelName"], box)
            for number, box in enumerate(of_image, start=1)
            if box.row.get("LabelName") in labels
        ]
        used = []
        for mask, person in choose(wanted, people[image]):
            name = f"mask {mask.number} of {image}"
            of_person = {} if person is None else _groups(person.row)
            if person is None:
                skipped.append(Skipped(name, "no box of MIAP fits"))
            elif not of_person:
                skipped.append(Skipped(name, "without a group"))
            else:
                used.append(mask)
                groups[(image, mask.number)] = of_person
        if used:
            load = functools.partial(_load, path, split, image, used)
            photos.append(Entry(image, load))
    return Entries(photos, skipped), groups


def _boxes(path: Path, sides: tuple[str, str, str, str]) -> dict[str, list[_Box]]:
    """Reads boxes by the id of their image."""
    boxes: dict[str, list[_Box]] = {}
    for number, row in enumerate(read_rows(path), start=1):
        try:
            image = check_file_name(row.get("ImageID"), f"{path.name}: row {number}")
            left, top, right, bottom = (float(row[side]) for side in sides)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: row {number}: expected ImageID, {', '.join(sides)}: {error}"
            ) from error
        boxes.setdefault(image, []).append(_Box((left, top, right, bottom), row))
    return boxes


def _groups(row: Mapping[str, str]) -> dict[str, str]:
    """Returns the perceived groups of a person; unknown ones are none."""
    groups = {
        "gender": _GENDERS.get(row.get("GenderPresentation", "")),
        "age": _AGES.get(row.get("AgePresentation", "")),
    }
    return {name: group for name, group in groups.items() if group is not None}


def _pair(
    masks: list[_Mask], people: list[_Box]
) -> Iterator[tuple[_Mask, _Box | None]]:
    """Pairs masks with people, the nearest first; a mask without one gets None."""
    distances = np.array(
        [[_distance(mask.box, person) for person in people] for mask in masks]
    ).reshape(len(masks), len(people))
    paired: dict[int, _Box] = {}
    while distances.size and distances.min() <= MARGIN:
        mask, person = np.unravel_index(distances.argmin(), distances.shape)
        paired[int(mask)] = people[person]
        distances[mask], distances[:, person] = np.inf, np.inf
    for number, mask in enumerate(masks):
        yield mask, paired.get(number)


def _distance(box: _Box, person: _Box) -> float:
    """Returns the largest distance of two sides, as a share of the person's box."""
    left, top, right, bottom = person.sides
    sizes = np.maximum([right - left, bottom - top] * 2, 1e-9)
    return float((np.abs(np.subtract(box.sides, person.sides)) / sizes).max())


def _inside(
    masks: list[_Mask], people: list[_Box]
) -> Iterator[tuple[_Mask, _Box | None]]:
    """Finds for each mask the smallest box of a person that it lies in."""

    def area(person: _Box) -> float:
        left, top, right, bottom = person.sides
        return (right - left) * (bottom - top)

    for mask in masks:
        around = [person for person in people if _contains(person, mask.box)]
        yield mask, min(around, key=area, default=None)


def _contains(person: _Box, box: _Box) -> bool:
    left, top, right, bottom = person.sides
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    return (
        box.sides[0] >= left - across
        and box.sides[1] >= top - down
        and box.sides[2] <= right + across
        and box.sides[3] <= bottom + down
    )


def _clothing_labels(path: Path) -> set[str]:
    """Returns the labels of Open Images' hierarchy that are clothing."""
    file = path / "bbox_labels_600_hierarchy.json"
    try:
        tree = json.loads(read_regular(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from error

    def below(node: Any, inside: bool) -> Iterator[str]:
        if not isinstance(node, dict):
            return
        inside = inside or node.get("LabelName") == _CLOTHING
        if inside and isinstance(node.get("LabelName"), str):
            yield node["LabelName"]
        for child in node.get("Subcategory") or []:
            yield from below(child, inside)

    labels = set(below(tree, False))
    if not labels:
        raise ValueError(f"{file}: has no label {_CLOTHING}, which is clothing")
    return labels


def _load(path: Path, split: str, image: str, masks: list[_Mask]) -> Loaded:
    folder = path / "images" if (path / "images").is_dir() else path / split
    file = folder / f"{image}.jpg"
    size = read_header(read_file(file)).upright_size
    objects, skipped = [], []
    for mask in masks:
        label = f"mask {mask.number} of {image}"
        try:
            pixels = _resized(_read_mask(path, split, mask.file, label), size)
        except ValueError as error:
            skipped.append(Skipped(label, "missing or damaged mask", str(error)))
            continue
        if pixels.any():
            objects.append(
                PhotoObject(mask.number, mask.category, mask_to_counts(pixels))
            )
        else:
            skipped.append(Skipped(label, "no pixel"))
    photo = Photo(name=image, path=file, size=size, objects=tuple(objects))
    return Loaded(photo, skipped)


def _read_mask(
    path: Path, split: str, name: str, label: str
) -> Bool[np.ndarray, "h w"]:
    check_file_name(name, label)
    folders = (path / "masks", path / f"{split}-masks-{name[0]}")
    file = next((one / name for one in folders if (one / name).is_file()), None)
    archive = path / f"{split}-masks-{name[0]}.zip"
    data = read_unpacked_or_not(file or folders[0] / name, archive)
    return read_rgb(data, name)[..., 0] > 0


def _resized(
    mask: Bool[np.ndarray, "h w"], size: tuple[int, int]
) -> Bool[np.ndarray, "h2 w2"]:
    """Brings a mask to the size (h, w) of its photo, which may be another."""
    rows, columns = (
        (np.arange(side) + 0.5) * own / side
        for side, own in zip(size, mask.shape, strict=True)
    )
    return mask[rows.astype(int)[:, None], columns.astype(int)]

"""FACET: people with perceived gender presentation, age and skin tone, and masks of parts.

The layout is that of its distribution: annotations/annotations.csv with a row per
person, annotations/coco_masks.json with masks whose `person_id` is that of the row, and
photos in imgs_1/, imgs_2/ and imgs_3/, or in images/. Skin tones are counts of votes of
several annotators on the Monk scale: the tone with the most votes is the group, and
people with a tie have none.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.data.formats.coco_content import read_content
from samjax.data.formats.coco_masks import read_mask
from samjax.data.formats.guards import check_file_name, check_size, whole_number
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import Entries, Entry, Loaded
from samjax.evaluation.datasets.people.grouping import Groups, Key, read_rows
from samjax.evaluation.datasets.people.miap import Parts
from samjax.evaluation.datasets.photo_sets import Photo, PhotoObject

_FILE = "annotations.csv"
_TONES = 10
_ATTRIBUTES = {
    "gender": {"masc": "masculine", "fem": "feminine", "non_binary": "non-binary"},
    "age": {"young": "young", "middle": "middle", "older": "older"},
}


def is_facet(path: Path) -> bool:
    """Whether a folder has FACET's table of people."""
    return _folder(path) is not None


def facet_entries(
    path: Path, parts: Parts = "people"
) -> tuple[Entries, dict[Key, Groups]]:
    """Lists the photos with masks of people with a group.

    Args:
        path: The folder.
        parts: What is scored: the masks of the category person, or of clothing.

    Returns:
        The photos, and the groups of their masks.

    Raises:
        ValueError: A file is damaged.
        OSError: A file is not there or cannot be read.
    """
    folder = _folder(path) or path
    people = {
        row.get("person_id", ""): groups_of_row(row)
        for row in read_rows(folder / _FILE)
    }
    content = read_content(folder / "coco_masks.json")
    wanted = "person" if parts == "people" else "clothing"
    kinds = {
        entry.get("id"): str(entry.get("name"))
        for entry in content.get("categories") or []
        if isinstance(entry, dict)
    }
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    groups, skipped = {}, []
    images = {entry.get("id"): entry for entry in content["images"]}
    for number, entry in enumerate(content["annotations"]):
        kind = kinds.get(entry.get("category_id"))
        image = images.get(entry.get("image_id"))
        if kind is None or image is None:
            reason = "unknown category" if kind is None else "damaged entry"
            skipped.append(Skipped(f"annotation {number}", reason))
        elif kind == wanted:
            of_person = people.get(str(entry.get("person_id")), {})
            if of_person:
                groups[(str(image.get("file_name")), entry["id"])] = of_person
                of_image.setdefault(entry["image_id"], []).append(entry)
            else:
                skipped.append(Skipped(f"annotation {number}", "without a group"))
    photos = []
    for image_id, entries in of_image.items():
        name = str(images[image_id].get("file_name"))
        load = functools.partial(_load, path, images[image_id], entries, wanted)
        photos.append(Entry(name, load))
    return Entries(photos, skipped), groups


def groups_of_row(row: Mapping[str, str]) -> dict[str, str]:
    """Returns the groups of a person by attribute, as annotators perceived them.

    Args:
        row: The person's row of the table.
    """
    groups = {}
    for attribute, names in _ATTRIBUTES.items():
        marked = [
            group
            for column, group in names.items()
            if whole_number(row.get(f"{attribute}_presentation_{column}"))
        ]
        if len(marked) == 1:
            groups[attribute] = marked[0]
    votes = [
        whole_number(row.get(f"skin_tone_{tone}")) or 0 for tone in range(1, _TONES + 1)
    ]
    if max(votes) > 0 and votes.count(max(votes)) == 1:
        groups["skin tone"] = str(votes.index(max(votes)) + 1)
    return groups


def _folder(path: Path) -> Path | None:
    for folder in (path / "annotations", path):
        if (folder / _FILE).is_file() and (folder / "coco_masks.json").is_file():
            return folder
    return None


def _load(
    path: Path,
    image: Mapping[str, Any],
    entries: list[Mapping[str, Any]],
    category: str,
) -> Loaded:
    name = check_file_name(image.get("file_name"), "image")
    size = check_size(image.get("height"), image.get("width"), name)
    objects, skipped = [], []
    for entry in entries:
        label = f"annotation {entry['id']} of {name}"
        try:
            counts, _ = read_mask(entry.get("segmentation"), size, label)
        except ValueError as error:
            skipped.append(Skipped(label, "damaged mask", str(error)))
            continue
        if counts[1::2].sum():
            objects.append(PhotoObject(entry["id"], category, counts))
        else:
            skipped.append(Skipped(label, "no pixel"))
    folders = [path / part for part in ("images", "imgs_1", "imgs_2", "imgs_3")]
    file = next((one / name for one in folders if (one / name).is_file()), None)
    photo = Photo(
        name=name, path=file or folders[0] / name, size=size, objects=tuple(objects)
    )
    return Loaded(photo, skipped)

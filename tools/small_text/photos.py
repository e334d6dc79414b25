"""Photos with names that `small_text` is trained on: masks with names, and captions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image

from samjax.geometry.masks import counts_to_mask, text_to_counts

LICENCES = (4, 7)
"""COCO's licences that are permissive: CC BY 2.0, and no known restrictions. Share-alike
(5) is left out."""

# Sets in COCO's form, the photos that are taken of each, and the names of its categories
# in plain words; None leaves a category out.
SETS: Mapping[str, tuple[int, Mapping[str, str | None]]] = {
    "coco_permissive": (10_000, {"object": None, "ignore": None}),
    "bottles": (
        20,
        {
            "GlassBottle_Loose": "glass bottle",
            "GlassBottle_Close": "glass bottle",
            "PlasticBottle_Loose": "plastic bottle",
            "PlasticBottle_Close": "plastic bottle",
        },
    ),
    "balloons": (20, {}),
    "facades": (
        14,
        {
            "facade": "building",
            "vegetation": "plant",
            "balcony-fence": "balcony",
            "traffic-infrastructure": None,
            "non-building-infrastructure": None,
        },
    ),
    "components": (12, {}),
    "mushrooms": (6, {"Mushroom": "mushroom"}),
    "seedlings": (8, {}),
    "boards": (
        8,
        dict.fromkeys(("Heltec", "ESP8266", "Raspberry", "Arduino"), "circuit board"),
    ),
    "pine_trees": (5, {"Limb": "branch", "Trunk": "trunk"}),
}


class NamedMask(NamedTuple):
    """All instances of a name in a photo.

    Attributes:
        name: The name.
        masks: The mask of each, of the photo's size.
    """

    name: str
    masks: Bool[np.ndarray, "k h w"]


class Photo(NamedTuple):
    """A photo.

    Attributes:
        name: A name for files.
        path: The photo.
        size: (h, w).
        named: The things in it that have a name and a mask.
        is_complete: Whether every instance of COCO's categories has its mask, so that
            other names of COCO are absent.
        captions: What people wrote of it.
    """

    name: str
    path: Path
    size: tuple[int, int]
    named: tuple[NamedMask, ...]
    is_complete: bool
    captions: tuple[str, ...]


def list_photos(folder: Path, captions: Path | None) -> list[Photo]:
    """Lists the photos of all sets, those of COCO first.

    Args:
        folder: The folder of the sets.
        captions: COCO's `captions_val2017.json`, for photos that have no masks.
    """
    written = _read_captions(captions)
    photos = []
    for name, (most, words) in SETS.items():
        path = folder / name / "annotations.json"
        if path.is_file():
            photos += list(_photos_of_set(path, name, words, written))[:most]
    return photos


def sample_photo(path: Path) -> Photo:
    """Returns a photo of which nothing is known."""
    with Image.open(path) as image:
        width, height = image.size
    return Photo(path.stem, path, (height, width), (), False, ())


def _read_captions(path: Path | None) -> Mapping[int, list[str]]:
    written: dict[int, list[str]] = {}
    if path is not None:
        for caption in json.loads(path.read_text())["annotations"]:
            written.setdefault(caption["image_id"], []).append(caption["caption"])
    return written


def _photos_of_set(
    path: Path,
    name: str,
    words: Mapping[str, str | None],
    captions: Mapping[int, list[str]],
) -> Iterator[Photo]:
    content = json.loads(path.read_text())
    kinds = {kind["id"]: kind["name"] for kind in content["categories"]}
    of_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        if not annotation.get("box_only"):
            of_image.setdefault(annotation["image_id"], []).append(annotation)
    is_coco = name == "coco_permissive"
    for image in content["images"]:
        if is_coco and image["license"] not in LICENCES:
            continue
        size = (image["height"], image["width"])
        named = list(_named_masks(image, of_image.get(image["id"], ()), kinds, words))
        written = tuple(captions.get(image["id"], ())) if is_coco else ()
        if named or written:
            yield Photo(
                f"{name}_{image['id']}",
                path.parent / image["file_name"],
                size,
                tuple(named),
                is_coco and image.get("complete") == "true",
                written,
            )


def _named_masks(
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    kinds: Mapping[int, str],
    words: Mapping[str, str | None],
) -> Iterator[NamedMask]:
    """Yields the masks of a photo by name; the single object of some is in its source."""
    # The files of COCO_MVal are named after the category of their one object.
    of_file = re.search(r"COCO_MVal/img/([a-z ]+)\d\d_", image.get("source", ""))
    masks: dict[str, list[np.ndarray]] = {}
    for annotation in annotations:
        kind = kinds[annotation["category_id"]]
        word = words.get(kind, kind.lower())
        if kind == "object" and of_file:
            word = of_file[1]
        if word is None or annotation.get("iscrowd"):
            continue
        counts = text_to_counts(annotation["segmentation"]["counts"])
        mask = counts_to_mask(counts, (image["height"], image["width"]))
        masks.setdefault(word, []).append(mask)
    for word, found in masks.items():
        yield NamedMask(word, np.stack(found))

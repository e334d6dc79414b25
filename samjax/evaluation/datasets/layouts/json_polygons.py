"""Polygons in JSON of three tools: VGG's VIA, VISOR's, and WoodScape's.

VIA and VISOR files do not have the size of a photo, which is read in the photo's file.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data.finetune.reading import read_file
from samjax.data.formats.coco_masks import is_number, read_mask
from samjax.data.formats.guards import check_file_name, check_size
from samjax.data.whole_images import read_header
from samjax.evaluation.datasets.archives import read_unpacked_or_not
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import (
    Entries,
    Entry,
    Loaded,
    photo_of_counts,
)
from samjax.files import read_regular

VISOR_SIZE = (1080, 1920)
"""The frame (h, w) in pixels that VISOR's polygons are in, whatever the photo's size."""


class Drawn(NamedTuple):
    """A mask as it stands in a file.

    Attributes:
        category: Its category.
        rings: Its polygons, in COCO's form.
        problem: Why it cannot be used, or "".
    """

    category: str
    rings: Any
    problem: str = ""


def via_entries(file: Path, images: Path, prefix: str = "") -> Entries:
    """Lists the photos of a file of VGG's VIA, of its projects and its exports.

    Args:
        file: The JSON file.
        images: Folder of the photos.
        prefix: What the photos' names in the set begin with.

    Raises:
        ValueError: It is no such file.
        OSError: It is not there or cannot be read.
    """
    content = _read(file)
    content = content.get("_via_img_metadata", content)
    photos, skipped = [], []
    for key, entry in content.items():
        label = f"image {ascii(key)[:60]}"
        if not isinstance(entry, dict):
            skipped.append(Skipped(label, "damaged entry", "expected an object"))
            continue
        try:
            name = check_file_name(entry.get("filename"), label)
        except ValueError as error:
            skipped.append(Skipped(label, "damaged entry", str(error)))
            continue
        drawn = list(_via_regions(entry.get("regions")))
        if drawn:
            load = functools.partial(_load, prefix + name, images / name, drawn)
            photos.append(Entry(prefix + name, load))
    return Entries(photos, skipped)


def visor_entries(annotations: Path, frames: Path) -> Entries:
    """Lists the frames of VISOR's files of a split.

    Args:
        annotations: Folder of the files, one a video: P01_107.json.
        frames: Folder of the frames: P01/P01_107.zip, or a folder P01/P01_107.

    Raises:
        ValueError: There is no such file.
    """
    photos, skipped = [], []
    for file in sorted(annotations.glob("*.json")):
        try:
            entries = _read(file)["video_annotations"]
            frames_of_file = [_visor_frame(entry) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            detail = f"{file.name}: {error!r}"
            skipped.append(Skipped(file.name, "damaged annotations", detail))
            continue
        for name, video, drawn in frames_of_file:
            if isinstance(drawn, str):
                skipped.append(Skipped(str(name), "damaged entry", drawn))
            elif drawn:
                load = functools.partial(_load_visor, name, video, frames, drawn)
                photos.append(Entry(f"{video}/{name}", load))
    return Entries(photos, skipped)


def woodscape_entries(annotations: Path, images: Path, least_tags: int = 1) -> Entries:
    """Lists the photos of WoodScape's instance annotations.

    Args:
        annotations: Folder of the files, one a photo: 00001_FV.json.
        images: Folder of the photos.
        least_tags: Number of tags that a mask has; those with more or fewer are left
            out.
    """
    photos = []
    for file in sorted(annotations.glob("*.json")):
        name = f"{file.stem}.png"
        load = functools.partial(_load_woodscape, name, images / name, file, least_tags)
        photos.append(Entry(name, load))
    return Entries(photos)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: got a JSON list, expected an object")  # noqa: TRY004
    return content


def _via_regions(regions: Any) -> Iterator[Drawn]:
    if isinstance(regions, dict):
        regions = list(regions.values())
    for region in regions if isinstance(regions, list) else ():
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        if not isinstance(shape, dict):
            yield Drawn("", None, "expected a region with shape_attributes")
            continue
        attributes = region.get("region_attributes")
        values = attributes.values() if isinstance(attributes, dict) else ()
        category = next((value for value in values if isinstance(value, str)), "")
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            got = ascii(shape.get("name"))[:40]
            yield Drawn(category, None, f"got the shape {got}, expected a polygon")
        else:
            yield Drawn(category, [[v for xy in zip(xs, ys, strict=True) for v in xy]])


def _visor_frame(entry: Mapping[str, Any]) -> tuple[str, str, list[Drawn] | str]:
    image = entry["image"]
    name, video = image.get("name"), image.get("video")
    try:
        check_file_name(name, "frame")
        check_file_name(video, "video")
    except ValueError as error:
        return ascii(name)[:60], "", str(error)
    drawn = []
    for annotation in entry.get("annotations", []):
        rings = annotation.get("segments")
        if not isinstance(rings, list) or not rings:
            drawn.append(Drawn("", None, "expected segments"))
        else:
            drawn.append(Drawn(str(annotation.get("name", "")), rings))
    return name, video, drawn


def _load(name: str, path: Path, drawn: Sequence[Drawn]) -> Loaded:
    size = read_header(read_file(path)).upright_size
    masks, skipped = _masks(name, drawn, size)
    return Loaded(photo_of_counts(name, path, masks, size), skipped)


def _load_visor(name: str, video: str, frames: Path, drawn: Sequence[Drawn]) -> Loaded:
    folder = frames / video.split("_")[0]
    path = folder / video / name
    archive = folder / f"{video}.zip"
    read = functools.partial(read_unpacked_or_not, path, archive)
    size = read_header(read(), name).upright_size
    scale = size[1] / VISOR_SIZE[1], size[0] / VISOR_SIZE[0]
    masks, skipped = _masks(name, [_scaled(one, scale) for one in drawn], size)
    photo = photo_of_counts(f"{video}/{name}", path, masks, size, (), read)
    return Loaded(photo, skipped)


def _scaled(drawn: Drawn, scale: tuple[float, float]) -> Drawn:
    if drawn.problem:
        return drawn
    rings = [
        [
            [xy[0] * scale[0], xy[1] * scale[1]]
            if isinstance(xy, list) and len(xy) == 2 and all(map(is_number, xy))
            else xy
            for xy in ring
        ]
        if isinstance(ring, list)
        else ring
        for ring in drawn.rings
    ]
    return drawn._replace(rings=rings)


def _load_woodscape(name: str, path: Path, file: Path, least_tags: int) -> Loaded:
    entry = _read(file).get(file.name)
    if not isinstance(entry, dict) or not isinstance(entry.get("annotation"), list):
        raise ValueError(  # noqa: TRY004
            f"expected the field {file.name} with a list annotation"
        )
    size = check_size(entry.get("image_height"), entry.get("image_width"), name)
    drawn = []
    for annotation in entry["annotation"]:
        fields = annotation if isinstance(annotation, dict) else {}
        tags = fields.get("tags")
        if not isinstance(tags, list) or len(tags) != least_tags:
            count = len(tags) if isinstance(tags, list) else "no"
            drawn.append(Drawn("", None, f"got {count} tags, expected {least_tags}"))
        else:
            drawn.append(Drawn(str(tags[0]), [fields.get("segmentation")]))
    masks, skipped = _masks(name, drawn, size)
    return Loaded(photo_of_counts(name, path, masks, size), skipped)


def _masks(
    name: str, drawn: Sequence[Drawn], size: tuple[int, int]
) -> tuple[list[tuple[str, Any]], list[Skipped]]:
    """Fills the polygons of a photo; those that cannot be used are skipped."""
    masks, skipped = [], []
    for number, one in enumerate(drawn, start=1):
        label = f"mask {number} of {name}"
        try:
            if one.problem:
                raise ValueError(f"{label}: {one.problem}")
            counts, _ = read_mask(one.rings, size, label)
        except ValueError as error:
            skipped.append(Skipped(label, "damaged mask", str(error)))
            continue
        if counts[1::2].sum():
            masks.append((one.category, counts))
        else:
            skipped.append(Skipped(label, "no pixel"))
    return masks, skipped

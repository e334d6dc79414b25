"""Videos in the form of YouTube-VIS, frame by frame: OVIS."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from samjax.data.formats.coco_masks import read_mask
from samjax.data.formats.guards import check_path, check_size
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.entries import (
    Entries,
    Entry,
    Loaded,
    photo_of_counts,
)
from samjax.files import read_regular


def youtube_vis_entries(file: Path, frames: Path) -> Entries:
    """Lists the frames with an object of all videos.

    Args:
        file: The JSON file: videos with `file_names`, and annotations with
            `segmentations`, a mask or null per frame.
        frames: Folder of the videos' folders.

    Raises:
        ValueError: It is no such file.
        OSError: It is not there or cannot be read.
    """
    try:
        content = json.loads(read_regular(file))
        videos, annotations = content["videos"], content["annotations"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: expected JSON with the lists videos and annotations, as "
            f"YouTube-VIS has them: {error!r}"
        ) from error
    categories = {
        entry.get("id"): str(entry.get("name"))
        for entry in content.get("categories") or []
        if isinstance(entry, dict)
    }
    photos, skipped = [], []
    of_video: dict[Any, list[dict[str, Any]]] = {}
    ids = {video.get("id") for video in videos if isinstance(video, dict)}
    for number, annotation in enumerate(annotations):
        video = annotation.get("video_id") if isinstance(annotation, dict) else None
        if video is None or video not in ids:
            detail = f"got the video {ascii(video)[:40]}, expected one of the file's"
            skipped.append(Skipped(f"annotation {number}", "damaged entry", detail))
        elif annotation.get("category_id") not in categories:
            got = ascii(annotation.get("category_id"))[:40]
            detail = f"got the category {got}, expected one of the file's"
            skipped.append(Skipped(f"annotation {number}", "unknown category", detail))
        else:
            of_video.setdefault(video, []).append(annotation)
    for video in videos:
        try:
            names, size = _frames_of(video)
        except (ValueError, AttributeError) as error:
            skipped.append(Skipped("a video of the file", "damaged entry", str(error)))
            continue
        own = of_video.get(video.get("id"), [])
        for index, name in enumerate(names):
            masks = [
                (categories[annotation["category_id"]], segmentations[index])
                for annotation in own
                if isinstance(segmentations := annotation.get("segmentations"), list)
                and index < len(segmentations)
                and segmentations[index] is not None
            ]
            if masks:
                load = functools.partial(_load, name, frames / name, size, masks)
                photos.append(Entry(name, load))
    return Entries(photos, skipped)


def _frames_of(video: Any) -> tuple[list[str], tuple[int, int]]:
    label = f"video {ascii(video.get('id'))[:40]}"
    names = video.get("file_names")
    if not isinstance(names, list):
        raise ValueError(f"{label}: expected a list file_names")  # noqa: TRY004
    size = check_size(video.get("height"), video.get("width"), label)
    return [check_path(name, label) for name in names], size


def _load(
    name: str, path: Path, size: tuple[int, int], masks: list[tuple[str, Any]]
) -> Loaded:
    objects, skipped = [], []
    for number, (category, rle) in enumerate(masks, start=1):
        label = f"mask {number} of {name}"
        try:
            counts, _ = read_mask(rle, size, label)
        except ValueError as error:
            skipped.append(Skipped(label, "damaged mask", str(error)))
            continue
        if counts[1::2].sum():
            objects.append((category, counts))
        else:
            skipped.append(Skipped(label, "no pixel"))
    return Loaded(photo_of_counts(name, path, objects, size), skipped)

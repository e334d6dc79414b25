"""Blurring all images of a folder and of those below it into a new one, resumable.

Images are written upright and without metadata, which may hold a place and a camera's
number. A journal in `blur_report/` has a line for every image, written before its file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from samjax.data.bounds import BadImage
from samjax.data.folders import Listing, list_images_below
from samjax.data.whole_images import read_rgb
from samjax.engine.annotations.regions import Regions
from samjax.engine.privacy.blurring import CELLS, GROWTH, blur_regions
from samjax.engine.privacy.regions import Region, RegionDetector, find_regions
from samjax.engine.project_folder import ProjectFolder, find_project
from samjax.files import (
    KEY,
    creating,
    json_text,
    locked,
    mark_of,
    replacing,
    write_bytes,
)

REPORT = "blur_report"
JOURNAL = "regions.jsonl"
_HAND = "by hand"

# Formats that are written again as what they were; all others become PNG.
_KEPT = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 6},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlurredImage:
    """What became of an image.

    Attributes:
        name: Name of the image: its path in the folder, with `/`.
        output: Path of its file in the output folder, with `/`; None for a problem.
        size: (h, w) of the upright image; None for a problem.
        regions: The regions that were blurred.
        sha256: SHA-256 of the output file; None for a problem.
        problem: Why it was left out; None if it was not.
    """

    name: str
    output: str | None = None
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    sha256: str | None = None
    problem: str | None = None


def blur_folder(
    folder: Path,
    out: Path,
    detectors: Sequence[RegionDetector],
    by_hand: Mapping[str, Sequence[Region]] | None = None,
    *,
    growth: float = GROWTH,
    cells: int = CELLS,
) -> Iterator[BlurredImage]:
    """Blurs the images of a folder (`images_to_blur`), those left from a stopped run.

    Args:
        folder: The folder.
        out: Folder of the results; made if missing. No file that is there is replaced.
        detectors: Detectors of regions.
        by_hand: Further regions of images (`read_regions`), by name. An image whose
            regions by hand were changed since an earlier run is done again.
        growth: Growth of each box on every side, as a fraction of it.
        cells: Cells along the longer side of a region.

    Yields:
        Each image, the finished ones of an earlier run first.

    Raises:
        ValueError: `out` is the folder itself, or has a run with other options, or a
            link in it leads elsewhere.
        FileExistsError: `out` has a file of a result's name that is not the result.
        InUse: Another process writes there.
        OSError: A file cannot be written.
    """
    by_hand = by_hand or {}
    if out.resolve() == folder.resolve():
        raise ValueError(f"{out} is the folder of the images: expected another one")
    report = out / REPORT
    report.mkdir(parents=True, exist_ok=True)
    header = {
        KEY: mark_of("engine"),
        "detectors": [dict(detector.describe()) for detector in detectors],
        "growth": growth,
        "cells": cells,
    }
    with locked(report / ".lock", f"the folder {out} of blurred images"):
        done = _read_journal(report / JOURNAL, header)
        with open(report / JOURNAL, "ab") as journal:
            if not journal.tell():
                _append(journal, header)
            for path in images_to_blur(folder, out).images:
                name = path.relative_to(folder).as_posix()
                hand = tuple(by_hand.get(name, ()))
                before = done.get(name)
                is_whole = before is not None and _is_whole(out, before)
                if before is not None and is_whole and _by_hand(before) == hand:
                    yield before
                    continue
                image, content = _blur(path, name, detectors, hand, growth, cells)
                if image != before:
                    _append(journal, dataclasses.asdict(image))
                if image.output is not None and content is not None:
                    # A file of this run gets the regions that were added since.
                    write = replacing if is_whole else creating
                    with write(_place(out, image.output)) as hidden:
                        hidden.write_bytes(content)
                yield image


def images_to_blur(folder: Path, out: Path) -> Listing:
    """Lists the images of a folder and of those below it.

    Without the results of this run and of others, hidden folders and linked ones.

    Args:
        folder: The folder.
        out: Folder of the results, which may be in it.

    Raises:
        OSError: A folder cannot be read.
    """
    results = out.resolve()

    def is_of_results(path: Path) -> bool:
        is_own = path.name == REPORT or path.resolve() == results
        return is_own or (path / REPORT / JOURNAL).is_file()

    return list_images_below(folder, is_of_results)


def read_regions(path: Path) -> dict[str, list[Region]]:
    """Reads regions that were drawn by hand.

    Args:
        path: A JSON file: an object from names of images to lists of boxes, each left,
            top, right, bottom in pixels of the upright image. Or the folder of a project,
            or one that `samjax serve` annotates: the regions that were drawn in the page.

    Raises:
        ValueError: The file has another form, or the folder has no store.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return _drawn_regions(find_project(path))
    try:
        content = json.loads(path.read_bytes())
        return {
            name: [Region(_box(box), 1.0, _HAND) for box in boxes]
            for name, boxes in content.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} ({error}): expected an object like "
            '{"photo.jpg": [[left, top, right, bottom]]}'
        ) from error


def _drawn_regions(project: ProjectFolder) -> dict[str, list[Region]]:
    store = project.open_store()
    try:
        drawn = Regions(store.database).all()
    finally:
        store.close()
    regions: dict[str, list[Region]] = {}
    for region in drawn:
        regions.setdefault(region.image, []).append(Region(region.box, 1.0, _HAND))
    return regions


def write_contact_sheet(
    out: Path, images: Sequence[BlurredImage], *, columns: int = 6, side: int = 220
) -> Path:
    """Draws the blurred images side by side, to look for faces that were missed.

    Images without a region come first, since a miss is likeliest there; then those with
    the least certain ones.

    Args:
        out: Folder of the results.
        images: The images, one of them without a problem at least.
        columns: Images in a row.
        side: Longer side of an image in the sheet, in pixels.

    Returns:
        The file of the sheet, in the report's folder.

    Raises:
        OSError: It cannot be written.
    """
    shown = sorted(
        (image for image in images if image.output is not None),
        key=lambda image: min((region.score for region in image.regions), default=0.0),
    )
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for number, image in enumerate(shown):
        with Image.open(out / str(image.output)) as opened:
            small = opened.convert("RGB")
            small.thumbnail((side - 4, side - 4))
        row, column = divmod(number, columns)
        sheet.paste(small, (column * side, row * side))
    path, buffer = out / REPORT / "contact_sheet.jpg", io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    write_bytes(path, buffer.getvalue())
    return path


def _blur(
    path: Path,
    name: str,
    detectors: Sequence[RegionDetector],
    by_hand: tuple[Region, ...],
    growth: float,
    cells: int,
) -> tuple[BlurredImage, bytes | None]:
    try:
        pixels = read_rgb(path)
    except (BadImage, OSError) as error:
        return BlurredImage(name=name, problem=str(error)), None
    found = [
        region for detector in detectors for region in find_regions(detector, pixels)
    ]
    regions = (*found, *by_hand)
    content, suffix = _encoded(
        blur_regions(pixels, regions, growth=growth, cells=cells), path
    )
    height, width = pixels.shape[:2]
    image = BlurredImage(
        name=name,
        output=name + suffix,
        size=(height, width),
        regions=regions,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return image, content


def _encoded(pixels: UInt8[np.ndarray, "h w 3"], path: Path) -> tuple[bytes, str]:
    kind = _KEPT.get(path.suffix.lower(), "PNG")
    # The suffix is kept, so that photo.tif and photo.bmp do not become one file.
    suffix = "" if path.suffix.lower() in _KEPT else ".png"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **_OPTIONS[kind])
    return buffer.getvalue(), suffix


def _place(out: Path, output: str) -> Path:
    """Returns the path of a result, in a folder that is made if it is missing.

    Raises:
        ValueError: A link leads out of the folder of the results.
    """
    path = out / output
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise ValueError(
            f"{path.parent} leads out of {out}, expected folders in it: remove the link, or "
            "give another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _by_hand(image: BlurredImage) -> tuple[Region, ...]:
    return tuple(region for region in image.regions if region.kind == _HAND)


def _is_whole(out: Path, image: BlurredImage) -> bool:
    """Whether the file of a finished image is there."""
    if image.output is None:
        return True
    path = _place(out, image.output)
    if not path.exists():
        return False
    if hashlib.sha256(path.read_bytes()).hexdigest() == image.sha256:
        return True
    raise FileExistsError(
        f"{path} is not the file that was written for {image.name}: move it away, or "
        "give another folder"
    )


def _append(journal: BinaryIO, entry: Mapping[str, Any]) -> None:
    journal.write(f"{json_text(entry)}\n".encode())
    journal.flush()


def _read_journal(path: Path, header: Mapping[str, Any]) -> dict[str, BlurredImage]:
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        # A line that was being written when the run was stopped.
        with open(path, "rb+") as file:
            file.truncate(len(whole))
    lines = [json.loads(line) for line in whole.splitlines()]
    if not lines:
        return {}
    first, *entries = lines
    if first != json.loads(json_text(header)):
        raise ValueError(
            f"{path} is of a run with other detectors or options: give another folder"
        )
    images = [
        BlurredImage(
            **{
                **entry,
                "size": entry["size"] and tuple(entry["size"]),
                "regions": tuple(
                    Region(_box(box), score, kind)
                    for box, score, kind in entry["regions"]
                ),
            }
        )
        for entry in entries
    ]
    # What could not be read is tried again.
    return {image.name: image for image in images if image.problem is None}


def _box(values: Sequence[float | int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in values)
    return left, top, right, bottom

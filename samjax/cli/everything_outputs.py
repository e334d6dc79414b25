"""Outputs of `samjax everything` beside the records: overlays, a report, other formats.

All of them are made from the records and overlays in the folder, so that a resumed run
ends with the same files as an uninterrupted one.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from samjax.data import formats
from samjax.data.images import Item
from samjax.data.schema import Record
from samjax.engine.run import result_paths
from samjax.engine.run_folder import (
    check_new_run,
    find_record,
    name_problem,
    record_path,
    settings_path,
)
from samjax.files import Kind, check_replaceable, mark_of, write_output
from samjax.geometry.masks import decode_rle
from samjax.report import ImageSummary, render_report
from samjax.visualize import draw_masks, mask_color

if TYPE_CHECKING:
    from samjax.cli.everything_progress import Tally
    from samjax.engine.schedule import Outcome

# Masks that are decoded to pixels at a time, which bounds memory.
MASKS_AT_A_TIME = 32
# Number of pictures in the report, and the longer side of their thumbnails.
MAX_PICTURES = 60
THUMBNAIL = 480


def check_outputs(
    folder: Path,
    items: Sequence[Item],
    *,
    shard_size: int | None,
    pictures: bool,
    also: Sequence[str],
    overwrite: bool,
) -> None:
    """Checks that a run replaces no file of the user's, before it computes anything.

    Args:
        folder: Folder of the run.
        items: Its images.
        shard_size: Images of a shard, if shards are written.
        pictures: Whether overlays and the report are written.
        also: Names of other formats.
        overwrite: Whether to replace files that samjax did not write.

    Raises:
        WouldReplace: Such a file exists.
    """
    results = result_paths(items, folder, shard_size)
    check_new_run(folder, results, overwrite=overwrite)
    inputs = [item.path for item in items if item.path is not None]
    by_name = {path.name: path for path in inputs}

    def check(path: Path, kind: Kind) -> None:
        # Only inputs of the same name are compared: comparing all would be quadratic.
        same = [by_name[path.name]] if path.name in by_name else []
        check_replaceable(path, kind, overwrite=overwrite, inputs=same)

    if pictures:
        check(folder / "report.html", "report")
    is_new = not settings_path(folder).exists()
    for path in results if shard_size is None else []:
        # The overlay of a finished image is not drawn again.
        if pictures and not path.exists():
            check(folder / "overlays" / f"{path.stem}.jpg", "overlay")
        if "label-map" in also:
            check(folder / "label_maps" / f"{path.stem}.png", "label map")
        if "yolo" in also and is_new:
            check(folder / "yolo" / "labels" / f"{path.stem}.txt", "yolo")
    if "yolo" in also:
        check(folder / "yolo" / "data.yaml", "yolo")
    for name, file in _COCO.items():
        if name in also:
            check(folder / "coco" / file, "coco")


_COCO = {"coco": "rle.json", "coco-polygons": "polygons.json"}


class Pictures:
    """Overlays of a run, and its report."""

    def __init__(self, folder: Path, *, overwrite: bool = False):
        """Makes the folder of overlays in the run's folder."""
        self.folder = folder
        self.overwrite = overwrite
        self.overlays = folder / "overlays"
        self.overlays.mkdir(exist_ok=True)

    def write_overlay(self, outcome: "Outcome", record: Record) -> None:
        """Draws all masks over an image that is in memory, and writes it as a JPEG."""
        if outcome.image is None:
            return
        drawn = draw_everything(outcome.image, record)
        path, data = self.path(outcome.item), io.BytesIO()
        Image.fromarray(drawn).save(
            data, format="JPEG", quality=88, comment=mark_of("overlay")
        )
        write_output(path, data.getvalue(), "overlay", overwrite=self.overwrite)

    def write_report(
        self, items: Sequence[Item], tally: "Tally", facts: Mapping[str, str]
    ) -> Path:
        """Writes the report of the run, an HTML page."""
        path = self.folder / "report.html"
        there = [item for item in items if _is_there(self.folder, item)]
        shown = {there[i].stem for i in evenly_chosen(len(there), MAX_PICTURES)}
        summaries = (
            self._summary(item, record, shown=item.stem in shown)
            for item, record in read_records(self.folder, there)
        )
        page = render_report("Everything", facts, summaries, tally.problems)
        # Names of files may hold bytes that are no valid text.
        content = page.encode("utf-8", "backslashreplace")
        write_output(path, content, "report", overwrite=self.overwrite)
        return path

    def path(self, item: Item) -> Path:
        """Returns the file of an image's overlay."""
        return self.overlays / f"{item.stem}.jpg"

    def _summary(self, item: Item, record: Record, shown: bool) -> ImageSummary:
        overlay = self.path(item)
        links = {"masks": record_path(self.folder, item).name}
        thumbnail = None
        if overlay.exists():
            links["overlay"] = f"overlays/{overlay.name}"
            if shown:
                with Image.open(overlay, formats=["JPEG"]) as image:
                    image.thumbnail((THUMBNAIL, THUMBNAIL))
                    thumbnail = np.array(image.convert("RGB"))
        levels = [a.get("depth") for a in record["annotations"]]
        known = [level for level in levels if level is not None]
        return ImageSummary.of_record(
            record,
            depths=np.array(known, int) if len(known) == len(levels) else None,
            thumbnail=thumbnail,
            links=links,
            shown=shown,
        )


def draw_everything(image: np.ndarray, record: Mapping[str, Any]) -> np.ndarray:
    """Draws the masks of a record over its image (h, w, 3), largest first."""
    annotations = record["annotations"]
    order = np.argsort([-a["area"] for a in annotations], kind="stable")
    for first in range(0, len(order), MASKS_AT_A_TIME):
        some = order[first : first + MASKS_AT_A_TIME]
        image = draw_masks(
            image,
            np.stack([decode_rle(annotations[i]["segmentation"]) for i in some]),
            colors=[mask_color(int(i)) for i in some],
        )
    return image


def evenly_chosen(length: int, most: int) -> Iterator[int]:
    """Returns at most so many indices of a sequence, evenly spaced."""
    count = min(length, most)
    return (i * length // count for i in range(count))


def read_records(folder: Path, items: Sequence[Item]) -> Iterator[tuple[Item, Record]]:
    """Yields the records of a run, in the order of its images."""
    for item in items:
        if not _is_there(folder, item):
            continue
        stored = find_record(record_path(folder, item))
        if stored.record is not None:
            yield item, stored.record


def _is_there(folder: Path, item: Item) -> bool:
    # Some names of images cannot be names of files.
    is_named = not name_problem(item, in_shard=False)
    return is_named and record_path(folder, item).is_file()


def write_formats(
    folder: Path,
    items: Sequence[Item],
    names: Sequence[str],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Writes the run's masks in other formats.

    Returns:
        The files and folders that were written.

    Raises:
        WouldReplace: A file exists that samjax did not write.
        OSError: A file cannot be written.
    """
    written = []

    def records() -> Iterator[Record]:
        return (record for _, record in read_records(folder, items))

    for name in dict.fromkeys(names):
        if name in _COCO:
            path = folder / "coco" / _COCO[name]
            formats.write_coco(
                path,
                records(),
                segmentation="polygons" if name == "coco-polygons" else "rle",
                overwrite=overwrite,
            )
        elif name == "yolo":
            path = folder / "yolo"
            formats.write_yolo(path, records(), overwrite=overwrite)
        else:
            path = folder / "label_maps"
            path.mkdir(exist_ok=True)
            for item, record in read_records(folder, items):
                labels = formats.record_to_label_map(record)
                file = path / f"{item.stem}.png"
                formats.write_label_map(file, labels, overwrite=overwrite)
        written.append(path)
    return written

"""What `samjax everything` leaves beside the records: pictures, a report, other formats.

All of it is made from the records and the pictures in the folder, so that a run which
was resumed ends like one that was not.
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
from samjax.files import (
    KEY,
    LABELS_LIST,
    Kind,
    check_replaceable,
    json_text,
    mark_of,
    sha256_of,
    write_bytes,
)
from samjax.geometry.masks import decode_rle
from samjax.report import ImageSummary, render_report
from samjax.visualize import draw_masks, mask_color

if TYPE_CHECKING:
    from samjax.cli.everything_progress import Tally
    from samjax.engine.schedule import Outcome

# More masks than this at a time would be held as pixels.
MASKS_AT_A_TIME = 32
# The report has so many pictures, and thumbnails are so large.
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
        folder: Of the run.
        items: Its images.
        shard_size: Images of a shard, if shards are written.
        pictures: Whether overlays and the report are.
        also: The names of other formats.
        overwrite: Whether such files may be replaced.

    Raises:
        WouldReplace: A file is there that samjax did not write.
    """
    results = result_paths(items, folder, shard_size)
    check_new_run(folder, results, overwrite=overwrite)
    inputs = [item.path for item in items if item.path is not None]
    by_name = {path.name: path for path in inputs}

    def check(path: Path, kind: Kind) -> None:
        # Only an input of the same name can be the same file, but for links.
        same = [by_name[path.name]] if path.name in by_name else []
        check_replaceable(path, kind, overwrite=overwrite, inputs=same)

    if pictures:
        check(folder / "report.html", "report")
    is_new = not settings_path(folder).exists()
    for path in results if shard_size is None else []:
        # Of an image that is done, the overlay is not drawn again.
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
    """Overlays of a run, and the page that shows them."""

    def __init__(self, folder: Path, *, overwrite: bool = False):
        """Makes the folder of overlays in the run's folder."""
        self.folder = folder
        self.overwrite = overwrite
        self.overlays = folder / "overlays"
        self.overlays.mkdir(exist_ok=True)

    def write_overlay(self, outcome: "Outcome", record: Record) -> None:
        """Draws all masks over an image, if it is held, and writes that as a JPEG."""
        if outcome.image is None:
            return
        drawn = draw_everything(outcome.image, record)
        path, data = self.path(outcome.item), io.BytesIO()
        check_replaceable(path, "overlay", overwrite=self.overwrite)
        Image.fromarray(drawn).save(
            data, format="JPEG", quality=88, comment=mark_of("overlay")
        )
        write_bytes(path, data.getvalue())

    def write_report(
        self, items: Sequence[Item], tally: "Tally", facts: Mapping[str, str]
    ) -> Path:
        """Writes the page of the run."""
        path = self.folder / "report.html"
        there = [item for item in items if _is_there(self.folder, item)]
        shown = {there[i].stem for i in evenly_chosen(len(there), MAX_PICTURES)}
        summaries = (
            self._summary(item, record, shown=item.stem in shown)
            for item, record in read_records(self.folder, there)
        )
        page = render_report("Everything", facts, summaries, tally.problems)
        check_replaceable(path, "report", overwrite=self.overwrite)
        # Names of files may be no text at all.
        write_bytes(path, page.encode("utf-8", "backslashreplace"))
        return path

    def path(self, item: Item) -> Path:
        """Where the overlay of an image is."""
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
    """Draws the masks of a record over its image, the largest first."""
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


def evenly_chosen(number: int, wanted: int) -> Iterator[int]:
    """Places in a sequence, at most so many, spread over all of it."""
    wanted = min(number, wanted)
    return (place * number // wanted for place in range(wanted))


def read_records(folder: Path, items: Sequence[Item]) -> Iterator[tuple[Item, Record]]:
    """The records of a run, in the order of its images."""
    for item in items:
        if not _is_there(folder, item):
            continue
        found = find_record(record_path(folder, item))
        if found.record is not None:
            yield item, found.record


def _is_there(folder: Path, item: Item) -> bool:
    # Paths cannot have every name.
    is_named = not name_problem(item, in_shard=False)
    return is_named and record_path(folder, item).is_file()


def write_formats(
    folder: Path,
    items: Sequence[Item],
    wanted: Sequence[str],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Writes the run's masks in other formats, and says where.

    Raises:
        WouldReplace: A file is there that samjax did not write.
        OSError: A file cannot be written.
    """
    written = []

    def records() -> Iterator[Record]:
        return (record for _, record in read_records(folder, items))

    for name in dict.fromkeys(wanted):
        if name in _COCO:
            path = folder / "coco" / _COCO[name]
            check_replaceable(path, "coco", overwrite=overwrite)
            polygons = name == "coco-polygons"
            formats.write_coco(
                path, records(), segmentation="polygons" if polygons else "rle"
            )
        elif name == "yolo":
            path = folder / "yolo"
            formats.write_yolo(path, records(), overwrite=overwrite)
            _list_labels(folder, items)
        else:
            path = folder / "label_maps"
            path.mkdir(exist_ok=True)
            for item, record in read_records(folder, items):
                labels = formats.record_to_label_map(record)
                place = path / f"{item.stem}.png"
                check_replaceable(place, "label map", overwrite=overwrite)
                formats.write_label_map(place, labels)
        written.append(path)
    return written


def _list_labels(folder: Path, items: Sequence[Item]) -> None:
    """Writes down what labels are like, to know those that nobody corrected."""
    names = (f"{item.stem}.txt" for item in items if _is_there(folder, item))
    labels = {name: sha256_of(folder / "yolo" / "labels" / name) for name in names}
    content = {KEY: mark_of("yolo"), "labels": labels}
    write_bytes(folder / LABELS_LIST, json_text(content, indent=1).encode())

"""What `samjax everything` leaves beside the records: pictures, a report, other formats.

All of it is made from the records and the pictures in the folder, so that a run which
was resumed ends like one that was not.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from samjax.data import formats
from samjax.data.images import Item
from samjax.data.schema import Record, record_from_json
from samjax.files import replacing
from samjax.geometry.masks import decode_rle
from samjax.inference.run import record_path
from samjax.report import ImageSummary, render_report
from samjax.visualize import draw_masks, mask_color

if TYPE_CHECKING:
    from samjax.cli.everything_progress import Tally
    from samjax.inference.many import Outcome

# More masks than this at a time would be held as pixels.
MASKS_AT_A_TIME = 32
# The report has so many pictures, and thumbnails are so large.
MAX_PICTURES = 60
THUMBNAIL = 480


class Pictures:
    """Overlays of a run, and the page that shows them."""

    def __init__(self, folder: Path):
        """Makes the folder of overlays in the run's folder."""
        self.folder = folder
        self.overlays = folder / "overlays"
        self.overlays.mkdir(exist_ok=True)

    def write_overlay(self, outcome: "Outcome", record: Record) -> None:
        """Draws all masks over an image, if it is held, and writes that as a JPEG."""
        if outcome.image is None:
            return
        drawn = draw_everything(outcome.image, record)
        with replacing(self.path(outcome.item)) as hidden:
            Image.fromarray(drawn).save(hidden, format="JPEG", quality=88)

    def write_report(
        self, items: Sequence[Item], tally: "Tally", facts: Mapping[str, str]
    ) -> Path:
        """Writes the page of the run."""
        path = self.folder / "report.html"
        there = [i for i in items if record_path(self.folder, i).exists()]
        shown = {there[i].stem for i in evenly_chosen(len(there), MAX_PICTURES)}
        summaries = (
            self._summary(item, record, shown=item.stem in shown)
            for item, record in read_records(self.folder, there)
        )
        page = render_report("Everything", facts, summaries, tally.problems)
        with replacing(path) as hidden:
            hidden.write_text(page, encoding="utf-8")
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
        path = record_path(folder, item)
        if path.exists():
            yield item, record_from_json(path.read_bytes())


def write_formats(
    folder: Path, items: Sequence[Item], wanted: Sequence[str]
) -> list[Path]:
    """Writes the run's masks in other formats, and says where."""
    written = []

    def records() -> Iterator[Record]:
        return (record for _, record in read_records(folder, items))

    for name in dict.fromkeys(wanted):
        if name == "coco":
            formats.write_coco(path := folder / "coco" / "rle.json", records())
        elif name == "coco-polygons":
            path = folder / "coco" / "polygons.json"
            formats.write_coco(path, records(), segmentation="polygons")
        elif name == "yolo":
            formats.write_yolo(path := folder / "yolo", records())
        else:
            path = folder / "label_maps"
            path.mkdir(exist_ok=True)
            for item, record in read_records(folder, items):
                labels = formats.record_to_label_map(record)
                formats.write_label_map(path / f"{item.stem}.png", labels)
        written.append(path)
    return written

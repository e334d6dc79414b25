"""Export of annotations: SA-1B's records, a COCO file, or label maps."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from PIL import Image

from samjax.data.formats import record_to_label_map
from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import Annotation, ImageInfo, Record, record_to_json
from samjax.engine.annotations.rows import Stored
from samjax.files import json_text
from samjax.geometry.masks import text_to_counts

Format = Literal["sa1b", "coco", "png"]
Member = tuple[str, Iterable[bytes]]

NO_LABEL = "object"
_MOST_LABELS = 65535
_PAGE_FIELDS = ("uuid", "label", "source", "level", "author", "seconds", "edited")


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """An image and its stored masks.

    Attributes:
        image_id: Id of the image in exported files, unique among them.
        name: Path of the image in the folder.
        size: (h, w) of the image; None if the image is gone, and the size of its newest
            mask stands in.
        annotations: From the store, lowest `order` first.
    """

    image_id: int
    name: str
    size: tuple[int, int] | None
    annotations: list[Stored]

    def split(self) -> tuple[tuple[int, int], list[Stored], list[str]]:
        """Returns the image's size, the masks of this size, and a warning per other mask.

        Masks of another size remain where an image was replaced by one of another size.
        """
        size = self.size or tuple(self.annotations[-1]["segmentation"]["size"])
        fit, problems = [], []
        for annotation in self.annotations:
            mask_size = tuple(annotation["segmentation"]["size"])
            if mask_size == size:
                fit.append(annotation)
            else:
                problems.append(
                    f"{self.name}: mask {annotation['id']} is of an image of "
                    f"{list(mask_size)}, but the image is of {list(size)}: left out\n"
                )
        return (size[0], size[1]), fit, problems


def archive(
    images: Iterable[AnnotatedImage], form: Format, drawing: threading.Semaphore
) -> Iterator[Member]:
    """Yields the members of an archive of all images' masks, one image at a time.

    Args:
        images: The images that have masks.
        form: The format.
        drawing: Acquired while a label map is drawn, so that one at a time is in memory.
    """
    problems: list[str] = []
    if form == "coco":
        yield "annotations.json", coco_chunks(images, problems.append)
    else:
        names: set[str] = set()
        for image in images:
            record = to_record(image, problems.append)
            stem = _free_name(image.name, names)
            if form == "sa1b":
                yield f"{stem}.json", [record_to_json(record).encode()]
            else:
                with drawing:
                    content = label_map_png(record)
                yield f"{stem}.png", [content]
                yield f"{stem}.labels.json", [_legend(record)]
    if problems:
        yield "problems.txt", [line.encode() for line in problems]


def to_record(image: AnnotatedImage, warn: Callable[[str], object]) -> Record:
    """Returns an image and its masks as a record: SA-1B's fields, then samjax's own."""
    size, fit, problems = image.split()
    for problem in problems:
        warn(problem)
    height, width = size
    name = PurePosixPath(image.name).name
    # The page shows upright images, and masks are in their frame.
    info = ImageInfo(
        image_id=image.image_id,
        width=width,
        height=height,
        file_name=name,
        frame="upright",
    )
    return Record(
        image=info, annotations=[to_annotation(stored, size) for stored in fit]
    )


def coco_chunks(
    images: Iterable[AnnotatedImage], warn: Callable[[str], object]
) -> Iterator[bytes]:
    """Yields COCO's JSON in chunks, with one category per label.

    Boxes count pixels, as COCO's do: a mask of one pixel has width 1.
    """
    categories: dict[str, int] = {}
    entries: list[bytes] = []
    annotation_id = 0
    yield b'{"info":{"description":"made with samjax serve"},"licenses":[],\n'
    yield b'"annotations":['
    for image in images:
        size, fit, problems = image.split()
        for problem in problems:
            warn(problem)
        for stored in fit:
            label = stored["label"] or NO_LABEL
            category = categories.setdefault(label, len(categories) + 1)
            annotation_id += 1
            entry = _coco_entry(stored, size, annotation_id, image.image_id, category)
            yield (b",\n" if annotation_id > 1 else b"\n") + _json(entry)
        entries.append(
            _json(
                {
                    "id": image.image_id,
                    "width": size[1],
                    "height": size[0],
                    "file_name": image.name,
                    "frame": "upright",
                }
            )
        )
    kinds = [
        {"id": number, "name": name, "supercategory": "object"}
        for name, number in categories.items()
    ]
    yield b'\n],\n"images":[\n' + b",\n".join(entries) + b"\n],\n"
    yield b'"categories":' + _json(kinds) + b"}\n"


def label_map_png(record: Record) -> bytes:
    """Draws masks as a label map, small ones over large ones; 0 is the background.

    Raises:
        ValueError: A label map has no room for so many masks.
    """
    if len(record["annotations"]) > _MOST_LABELS:
        raise ValueError(f"a label map has room for {_MOST_LABELS} masks")
    labels = record_to_label_map(record)
    kind = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
    content = io.BytesIO()
    Image.fromarray(labels.astype(kind)).save(content, format="PNG")
    return content.getvalue()


def to_annotation(stored: Stored, size: tuple[int, int]) -> Annotation:
    """Returns the record of a stored mask: the fields of SA-1B, then the page's own.

    `page/core/records.js` makes the same one for the demo, and is tested against this.
    """
    prompts, score = stored["prompts"], stored["score"]
    stability = stored["stability_score"]
    annotation: dict[str, Any] = dict(
        make_annotation(
            text_to_counts(stored["segmentation"]["counts"]),
            size,
            stored["id"],
            segmentation=stored["segmentation"],
            predicted_iou=1.0 if score is None else score,
            points=[
                point
                for point, label in zip(
                    prompts["points"], prompts["labels"], strict=False
                )
                if label == 1
            ],
            stability_score=1.0 if stability is None else stability,
        )
    )
    annotation |= {name: stored[name] for name in _PAGE_FIELDS}
    return annotation  # pyright: ignore[reportReturnType]


def _coco_entry(
    stored: Stored,
    size: tuple[int, int],
    annotation_id: int,
    image_id: int,
    category: int,
) -> dict[str, Any]:
    entry: dict[str, Any] = dict(to_annotation(stored, size))
    x, y, width, height = entry["bbox"]
    more = 1.0 if entry["area"] else 0.0
    return {
        **entry,
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category,
        "iscrowd": 0,
        "bbox": [x, y, width + more, height + more],
    }


def _legend(record: Record) -> bytes:
    entries: list[dict[str, Any]] = [dict(entry) for entry in record["annotations"]]
    return _json(
        [
            {"value": value, "id": entry["id"], "label": entry["label"]}
            for value, entry in enumerate(entries, start=1)
        ]
    )


def _free_name(name: str, taken: set[str]) -> str:
    """Returns the path without its suffix, or with it where two differ by suffix only."""
    free = str(PurePosixPath(name).with_suffix(""))
    # Case-insensitive file systems would unpack two such names into one file.
    tried = 0
    while free.casefold() in taken:
        free = f"{name}.{tried}" if tried else name
        tried += 1
    taken.add(free.casefold())
    return free


def _json(value: Any) -> bytes:
    return json_text(value, separators=(",", ":")).encode()

"""What people marked, as SA-1B's records, as COCO's file, or as label maps."""

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
from samjax.files import json_text
from samjax.geometry.masks import text_to_counts
from samjax.web.store import Stored

Format = Literal["sa1b", "coco", "png"]
Member = tuple[str, Iterable[bytes]]

NO_LABEL = "object"
_MOST_LABELS = 65535
_PAGE_FIELDS = ("uuid", "label", "source", "level", "author", "seconds", "edited")


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """An image and its masks.

    Attributes:
        number: Of the image, unlike all others.
        name: Its path in the folder.
        size: (h, w) of the image; None if the image is gone, and its masks say.
        annotations: Of the API, from the lowest to the highest.
    """

    number: int
    name: str
    size: tuple[int, int] | None
    annotations: list[Stored]

    def split(self) -> tuple[tuple[int, int], list[Stored], list[str]]:
        """The image's size, the masks that are of it, and what is said of the others.

        An image that was replaced by one of another size leaves masks that fit nothing.
        """
        size = self.size or tuple(self.annotations[-1]["segmentation"]["size"])
        fit, problems = [], []
        for one in self.annotations:
            own = tuple(one["segmentation"]["size"])
            if own == size:
                fit.append(one)
            else:
                problems.append(
                    f"{self.name}: mask {one['id']} is of an image of {list(own)}, "
                    f"but the image is of {list(size)}: left out\n"
                )
        return (size[0], size[1]), fit, problems


def archive(
    images: Iterable[Annotated], form: Format, drawing: threading.Semaphore
) -> Iterator[Member]:
    """The members of an archive of all images' masks, an image at a time.

    Args:
        images: Those that have masks.
        form: The format.
        drawing: Is held while a label map is drawn, which bounds memory.
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


def to_record(image: Annotated, say: Callable[[str], object]) -> Record:
    """An image and its masks in the fields of SA-1B, and some of ours after them."""
    size, fit, problems = image.split()
    for problem in problems:
        say(problem)
    height, width = size
    name = PurePosixPath(image.name).name
    # What is marked is marked on upright images.
    info = ImageInfo(
        image_id=image.number,
        width=width,
        height=height,
        file_name=name,
        frame="upright",
    )
    return Record(image=info, annotations=[to_annotation(one, size) for one in fit])


def coco_chunks(
    images: Iterable[Annotated], say: Callable[[str], object]
) -> Iterator[bytes]:
    """COCO's JSON piece by piece, with a category for every label.

    Boxes count pixels, as COCO's do: a mask of one pixel has width 1.
    """
    categories: dict[str, int] = {}
    entries: list[bytes] = []
    number = 0
    yield b'{"info":{"description":"made with samjax serve"},"licenses":[],\n'
    yield b'"annotations":['
    for image in images:
        size, fit, problems = image.split()
        for problem in problems:
            say(problem)
        for one in fit:
            label = one["label"] or NO_LABEL
            category = categories.setdefault(label, len(categories) + 1)
            number += 1
            entry = _coco_entry(one, size, number, image.number, category)
            yield (b",\n" if number > 1 else b"\n") + _json(entry)
        entries.append(
            _json(
                {
                    "id": image.number,
                    "width": size[1],
                    "height": size[0],
                    "file_name": image.name,
                    "frame": "upright",
                }
            )
        )
    kinds = [
        {"id": own, "name": name, "supercategory": "object"}
        for name, own in categories.items()
    ]
    yield b'\n],\n"images":[\n' + b",\n".join(entries) + b"\n],\n"
    yield b'"categories":' + _json(kinds) + b"}\n"


def label_map_png(record: Record) -> bytes:
    """Draws masks in one image, the smaller over the larger; 0 is the background."""
    if len(record["annotations"]) > _MOST_LABELS:
        raise ValueError(f"a label map has room for {_MOST_LABELS} masks")
    labels = record_to_label_map(record)
    kind = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
    content = io.BytesIO()
    Image.fromarray(labels.astype(kind)).save(content, format="PNG")
    return content.getvalue()


def to_annotation(stored: Stored, size: tuple[int, int]) -> Annotation:
    """Returns the record of a stored mask: the fields of SA-1B, then the page's own.

    `page/records.js` makes the same one for the demo, and is tested against this.
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
    one: Stored, size: tuple[int, int], number: int, image: int, category: int
) -> dict[str, Any]:
    entry: dict[str, Any] = dict(to_annotation(one, size))
    x, y, width, height = entry["bbox"]
    more = 1.0 if entry["area"] else 0.0
    return {
        **entry,
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "bbox": [x, y, width + more, height + more],
    }


def _legend(record: Record) -> bytes:
    entries: list[dict[str, Any]] = [dict(one) for one in record["annotations"]]
    return _json(
        [
            {"value": value, "id": one["id"], "label": one["label"]}
            for value, one in enumerate(entries, start=1)
        ]
    )


def _free_name(name: str, taken: set[str]) -> str:
    """The image's path without its ending, or with it where two differ by that alone."""
    free = str(PurePosixPath(name).with_suffix(""))
    # Some systems do not tell capitals apart.
    tried = 0
    while free.casefold() in taken:
        free = f"{name}.{tried}" if tried else name
        tried += 1
    taken.add(free.casefold())
    return free


def _json(value: Any) -> bytes:
    return json_text(value, separators=(",", ":")).encode()

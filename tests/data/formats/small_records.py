"""Small records, drawn by hypothesis or fixed, for the tests of formats."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import decode_rle, encode_rle

HOSTILE_NAMES = [
    "../../x.jpg",
    "/etc/x.jpg",
    "a/../x.jpg",
    "..",
    ".",
    "",
    ".hidden.jpg",
    "a\\x.jpg",
    "C:x.jpg",
    "a\0.jpg",
    "a\n.jpg",
    "\ud800.jpg",
    "x" * 300 + ".jpg",
]


def annotation(mask: np.ndarray, number: int) -> Annotation:
    """An annotation of a mask in the released generator's style."""
    left, top, right, bottom = boxes_from_masks(mask[None])[0].tolist()
    return Annotation(
        bbox=[float(left), float(top), float(right - left), float(bottom - top)],
        area=int(mask.sum()),
        segmentation=encode_rle(mask),
        predicted_iou=0.75 + 0.01 * (number % 20),
        point_coords=[[1.5, 0.25 + number]],
        crop_box=[0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])],
        id=number,
        stability_score=0.96,
    )


def record(
    masks: list[np.ndarray] | np.ndarray,
    *,
    image_id: int = 1,
    file_name: str | None = None,
    size: tuple[int, int] = (6, 9),
    first_id: int = 1,
) -> Record:
    """A record of masks; `size` is used where there are none."""
    height, width = masks[0].shape if len(masks) else size
    image = ImageInfo(
        image_id=image_id,
        width=width,
        height=height,
        file_name=file_name or f"sa_{image_id}.jpg",
    )
    return Record(
        image=image,
        annotations=[annotation(mask, first_id + i) for i, mask in enumerate(masks)],
    )


@st.composite
def record_lists(draw) -> list[Record]:
    """Up to three records of up to three masks, numbered through from 1 on."""
    records, number = [], 1
    for image_id in range(1, draw(st.integers(0, 3)) + 1):
        size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        count = draw(st.integers(0, 3))
        masks = [draw(hnp.arrays(bool, size)) for _ in range(count)]
        records.append(record(masks, image_id=image_id, size=size, first_id=number))
        number += count
    return records


def masks_of(record: Record) -> list[np.ndarray]:
    """The masks of a record, decoded."""
    return [decode_rle(one["segmentation"]) for one in record["annotations"]]


def bare(record: Record) -> Record:
    """The record as restored by a format that stores masks only."""
    image = record["image"]
    whole = [0.0, 0.0, float(image["width"]), float(image["height"])]
    return Record(
        image=image,
        annotations=[
            Annotation(
                **{
                    **one,
                    "predicted_iou": 1.0,
                    "stability_score": 1.0,
                    "point_coords": [],
                    "crop_box": whole,
                }
            )
            for one in record["annotations"]
        ],
    )

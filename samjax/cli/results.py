"""What `samjax segment` leaves of a photo: overlays, masks, one JSON file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from samjax.cli.outputs import write_image, write_json
from samjax.cli.requests import Request
from samjax.files import check_replaceable
from samjax.geometry.boxes import boxes_from_masks, to_xywh
from samjax.geometry.masks import encode_rle
from samjax.inference import Masks
from samjax.visualize import draw_boxes, draw_masks, draw_points


def write_results(
    folder: Path,
    photo: Path,
    image: UInt8[np.ndarray, "h w 3"],
    requests: Sequence[Request],
    answers: Sequence[Masks],
    model: str,
    *,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Writes pictures and records of one photo, each file whole or not at all.

    Args:
        folder: Where to.
        photo: Whose file name the results have.
        image: The photo, upright.
        requests: The prompts.
        answers: The masks of each, the best first.
        model: What the records name as their origin.
        inputs: Files that were read, which are never replaced.
        overwrite: Whether files are replaced that samjax did not write.

    Returns:
        The overlay of each prompt, and last the file of records.

    Raises:
        WouldReplace: Such a file is there.
        OSError: A file cannot be written.
    """
    counts = [len(one.scores) for one in answers]
    check_results(folder, photo, counts, inputs, overwrite=overwrite)
    overlays, annotations = [], []
    for number, (request, masks) in enumerate(zip(requests, answers, strict=True), 1):
        stem = f"{photo.stem}_{number}"
        for rank, mask in enumerate(masks.masks, start=1):
            path = folder / f"{stem}_mask_{rank}.png"
            write_image(path, mask, "segment", overwrite=overwrite)
        overlay = folder / f"{stem}_overlay.png"
        drawn = _overlay(image, request, masks)
        write_image(overlay, drawn, "segment", overwrite=overwrite)
        overlays.append(overlay)
        annotations += _annotations(request, number, masks, len(annotations) + 1)
    height, width, _ = image.shape
    records = folder / f"{photo.stem}.json"
    content = {
        "image": {"file_name": photo.name, "height": height, "width": width},
        # Masks lie on the photo turned by its EXIF orientation.
        "frame": "upright",
        "model": model,
        "annotations": annotations,
    }
    write_json(records, content, "segment", overwrite=overwrite)
    return [*overlays, records]


def check_results(
    folder: Path,
    photo: Path,
    masks: Sequence[int],
    inputs: Sequence[Path] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Checks that the results of a photo replace no file of the user's.

    Args:
        folder: Where they go.
        photo: Whose they are.
        masks: How many there are of each prompt.
        inputs: Files that are read, which are never replaced.
        overwrite: Whether other files may be.

    Raises:
        WouldReplace: A file is there that samjax did not write.
    """
    names = [f"{photo.stem}.json"]
    for number, count in enumerate(masks, 1):
        stem = f"{photo.stem}_{number}"
        names += [f"{stem}_mask_{rank}.png" for rank in range(1, count + 1)]
        names.append(f"{stem}_overlay.png")
    for name in names:
        check_replaceable(folder / name, "segment", overwrite=overwrite, inputs=inputs)


def _overlay(image: np.ndarray, request: Request, masks: Masks) -> np.ndarray:
    drawn = draw_masks(image, masks.masks[:1])
    if request.box is not None:
        drawn = draw_boxes(drawn, np.array([request.box]))
    if request.points:
        drawn = draw_points(drawn, np.array(request.points), np.array(request.labels))
    return drawn


def _annotations(
    request: Request, number: int, masks: Masks, first_id: int
) -> list[dict[str, Any]]:
    """Records with the fields of SA-1B's annotations, and the prompt they answer."""
    boxes = boxes_from_masks(masks.masks)
    return [
        {
            "id": first_id + rank,
            "prompt": number,
            "segmentation": encode_rle(mask),
            "bbox": to_xywh(box),
            "area": int(mask.sum()),
            "predicted_iou": float(score),
            "point_coords": [list(point) for point in request.points],
            "point_labels": list(request.labels),
            "box": None if request.box is None else list(request.box),
            "mask": None if request.mask is None else request.mask.name,
        }
        for rank, (mask, score, box) in enumerate(
            zip(masks.masks, masks.scores, boxes.tolist(), strict=True)
        )
    ]

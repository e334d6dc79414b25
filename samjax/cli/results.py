"""Results of `samjax segment` for a photo: masks, overlays and one JSON file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from samjax.cli.outputs import write_image, write_json
from samjax.cli.requests import Request
from samjax.files import check_replaceable
from samjax.geometry.boxes import boxes_from_masks, to_xywh
from samjax.geometry.masks import encode_rle
from samjax.inference import Masks
from samjax.visualize import draw_boxes, draw_masks, draw_points


class Written(NamedTuple):
    """Files that `write_results` wrote.

    Attributes:
        overlays: The overlay of each prompt.
        records: The JSON file with all masks.
    """

    overlays: tuple[Path, ...]
    records: Path


def write_results(
    folder: Path,
    photo: Path,
    image: UInt8[np.ndarray, "h w 3"],
    requests: Sequence[Request],
    predictions: Sequence[Masks],
    model: str,
    *,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
) -> Written:
    """Writes pictures and records of one photo, each file whole or not at all.

    Args:
        folder: Folder of the results.
        photo: File of the photo; its name without suffix begins the results' names.
        image: The photo, upright.
        requests: The prompts.
        predictions: The masks of each prompt, in descending order of predicted IoU.
        model: Name of the model, for the records.
        inputs: Files that were read, which are never replaced.
        overwrite: Whether files are replaced that samjax did not write.

    Returns:
        The files.

    Raises:
        WouldReplace: Such a file is there.
        OSError: A file cannot be written.
    """
    counts = [len(masks.scores) for masks in predictions]
    check_results(folder, photo, counts, inputs, overwrite=overwrite)
    overlays, annotations = [], []
    for prompt, (request, masks) in enumerate(
        zip(requests, predictions, strict=True), start=1
    ):
        stem = f"{photo.stem}_{prompt}"
        for rank, mask in enumerate(masks.masks, start=1):
            path = folder / f"{stem}_mask_{rank}.png"
            write_image(path, mask, "segment", overwrite=overwrite)
        overlay = folder / f"{stem}_overlay.png"
        drawn = _overlay(image, request, masks)
        write_image(overlay, drawn, "segment", overwrite=overwrite)
        overlays.append(overlay)
        annotations += _annotations(request, prompt, masks, len(annotations) + 1)
    height, width, _ = image.shape
    records = folder / f"{photo.stem}.json"
    content = {
        "image": {"file_name": photo.name, "height": height, "width": width},
        # Masks are in pixels of the photo after its EXIF orientation is applied.
        "frame": "upright",
        "model": model,
        "annotations": annotations,
    }
    write_json(records, content, "segment", overwrite=overwrite)
    return Written(tuple(overlays), records)


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
        folder: Folder of the results.
        photo: File of the photo.
        masks: Number of masks of each prompt.
        inputs: Files that are read, which are never replaced.
        overwrite: Whether other files may be replaced.

    Raises:
        WouldReplace: A file exists that samjax did not write.
    """
    names = [f"{photo.stem}.json"]
    for prompt, count in enumerate(masks, start=1):
        stem = f"{photo.stem}_{prompt}"
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
    request: Request, prompt: int, masks: Masks, first_id: int
) -> list[dict[str, Any]]:
    """Returns records with the fields of SA-1B's annotations, and their prompt."""
    boxes = boxes_from_masks(masks.masks)
    return [
        {
            "id": first_id + rank,
            "prompt": prompt,
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

"""Writes a contact sheet of a model's masks for random objects of photo datasets.

    python tools/contact_sheet.py --model tiny --data ../shared/data/eval/coco \\
        --out docs/images/tiny_coco.jpg

Three pictures for each object: the true mask with the click and the box; the best of
the three masks for the click (oracle); the best-ranked mask for the box. Captions have
the true IoUs. Photos and objects are drawn with a seed, so that two models can be
compared.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from jaxtyping import Bool, UInt8
from PIL import Image

import samjax
from samjax import visualize
from samjax.evaluation.datasets.photo_samples import PhotoSamples, choose_objects
from samjax.evaluation.datasets.photo_sets import Photo, read_photo_set
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.policies.click_rule import Click, next_click
from samjax.files import replacing
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import mask_iou

MOST_BYTES = 600_000
TRUE_COLOR = (250, 200, 40)
CLICK_COLOR = (40, 140, 250)
BOX_COLOR = (40, 190, 80)


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """The objects on the sheet, and its size.

    Attributes:
        data: Datasets of photos with masks, as for `samjax evaluate`.
        model: A name, file or folder, as for `samjax.load`.
        out: JPEG file to write.
        objects: Number of objects, each from another photo.
        seed: Seed of the choice of photos and objects.
        min_area: Smallest area of an object in pixels of the photo.
        cell_size: Side of a picture in pixels.
        objects_in_row: Objects per row.
    """

    data: tuple[Path, ...]
    model: str = "small"
    out: Path = Path("contact_sheet.jpg")
    objects: int = 12
    seed: int = 0
    min_area: int = 400
    cell_size: int = 220
    objects_in_row: int = 2


class PhotoObject(NamedTuple):
    """An object of a photo."""

    image: UInt8[np.ndarray, "h w 3"]
    target: Bool[np.ndarray, "h w"]
    ignored: Bool[np.ndarray, "h w"]
    category: str


def main(config: SheetConfig) -> None:
    """Draws the objects, prompts the model for each and writes the sheet."""
    predictor = samjax.Predictor(*samjax.load(config.model))
    pictures, captions = [], []
    for shown in draw_objects(config):
        of_object, lines = show(predictor, shown)
        pictures += of_object
        captions += lines
    sheet = visualize.contact_sheet(
        pictures,
        captions,
        columns=3 * config.objects_in_row,
        cell_size=config.cell_size,
    )
    size = write_jpeg(sheet, config.out)
    print(f"{config.out}: {len(pictures) // 3} objects, {size // 1000} kB")


def draw_objects(config: SheetConfig) -> list[PhotoObject]:
    """Draws photos at random, and an object of each; unreadable photos are skipped.

    Raises:
        ValueError: No photo of the sets has an object that is large enough.
    """
    selection = Selection(min_area=config.min_area, objects=1, seed=config.seed)
    photos: list[Photo] = []
    for path in config.data:
        photos += PhotoSamples(read_photo_set(path), selection).photos
    drawn: list[PhotoObject] = []
    for place in np.random.default_rng(config.seed).permutation(len(photos)):
        if len(drawn) == config.objects:
            break
        photo = photos[place]
        try:
            image = photo.read()
        except ValueError as error:
            print(f"left out: {error}")
            continue
        places, masks, ignored = choose_objects(photo, selection)
        if places:
            if ignored is None:
                ignored = np.zeros(photo.size, bool)
            category = photo.objects[places[0]].category
            drawn.append(PhotoObject(image, masks[0] & ~ignored, ignored, category))
    if not drawn:
        raise ValueError(f"no photo has an object of at least {config.min_area} pixels")
    return drawn


def show(
    predictor: samjax.Predictor, shown: PhotoObject
) -> tuple[list[UInt8[np.ndarray, "h w 3"]], list[str]]:
    """Returns the three pictures of an object and their captions."""
    image, target, ignored, category = shown
    click = next_click(target)
    assert click is not None, "an object has pixels"
    box = boxes_from_masks(target[None])[0]
    embedding = predictor.embed(image)
    by_click = predictor.predict(
        embedding, samjax.Prompt(points=[click[:2]], labels=[1]), multimask=True
    )
    by_box = predictor.predict(embedding, samjax.Prompt(box=box), multimask=True)
    ious = mask_iou(by_click.masks & ~ignored, target[None])[:, 0]
    best, first = int(ious.argmax()), int(by_click.scores.argmax())
    boxed = by_box.best.masks[0]
    box_iou = mask_iou((boxed & ~ignored)[None], target[None])[0, 0]
    truth = draw_mask(image, target, TRUE_COLOR)
    pictures = [
        visualize.draw_boxes(mark_click(truth, click), box[None]),
        mark_click(draw_mask(image, by_click.masks[best], CLICK_COLOR), click),
        visualize.draw_boxes(draw_mask(image, boxed, BOX_COLOR), box[None]),
    ]
    captions = [
        category,
        f"click {ious[best]:.2f} (ranked first {ious[first]:.2f})",
        f"box {box_iou:.2f}",
    ]
    return pictures, captions


def draw_mask(
    image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws a mask over a photo."""
    return visualize.draw_masks(image, mask[None], colors=[color])


def mark_click(image: np.ndarray, click: Click) -> UInt8[np.ndarray, "h w 3"]:
    """Draws a click."""
    return visualize.draw_points(image, np.array([click[:2]]), np.array([click.label]))


def write_jpeg(
    sheet: UInt8[np.ndarray, "h w 3"],
    path: Path,
    qualities: Sequence[int] = (88, 80, 70, 55, 40),
) -> int:
    """Writes the best JPEG below `MOST_BYTES` atomically; returns its size."""
    data = b""
    for quality in qualities:
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "JPEG", quality=quality, optimize=True)
        data = file.getvalue()
        if len(data) < MOST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as hidden:
        hidden.write_bytes(data)
    return len(data)


if __name__ == "__main__":
    main(tyro.cli(SheetConfig))

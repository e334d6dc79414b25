"""Writes a contact sheet of a model's masks for clicks and boxes on real photos.

    python tools/photo_sheet.py --model small --out docs/images/small_photos.jpg

The photos are the demo's and those in scikit-image's data folder (extra `test`) that
are in the public domain or under CC0. For every prompt the sheet shows the mask with
the highest predicted IoU; with `--all-masks` all three masks of a click.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image

import samjax
from samjax import visualize
from samjax.files import replacing
from samjax.inference.images import read_image


class PromptedPhoto(NamedTuple):
    """A prompt on a photo, in the photo's pixels."""

    photo: str
    label: str
    prompt: samjax.Prompt


def click(photo: str, label: str, x: int, y: int) -> PromptedPhoto:
    """Returns a point prompt on a photo."""
    return PromptedPhoto(photo, label, samjax.Prompt(points=[[x, y]], labels=[1]))


def box(photo: str, label: str, *corners: int) -> PromptedPhoto:
    """Returns a box prompt on a photo."""
    return PromptedPhoto(photo, label, samjax.Prompt(box=list(corners)))


PROMPTS = (
    click("coffee.png", "coffee", 300, 150),
    click("coffee.png", "saucer", 130, 250),
    box("coffee.png", "cup and saucer", 75, 65, 482, 392),
    click("chelsea.png", "eye", 172, 106),
    box("chelsea.png", "eye", 150, 85, 200, 130),
    box("chelsea.png", "nose", 245, 215, 300, 265),
    click("rocket.jpg", "rocket", 322, 200),
    box("rocket.jpg", "rocket", 308, 85, 338, 340),
    click("astronaut.png", "helmet", 420, 330),
    box("astronaut.png", "face", 175, 60, 275, 200),
    click("coins.png", "coin", 45, 42),
    click("coins.png", "coin", 153, 129),
    box("coins.png", "coin", 318, 146, 383, 214),
    click("camera.png", "coat", 190, 300),
    click("camera.png", "sky", 400, 60),
)


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """The model and the layout of the sheet.

    Attributes:
        model: A name, file or folder, as for `samjax.load`.
        out: JPEG or PNG file to write.
        all_masks: Whether to show all three masks of a click, not only the best.
        columns: Pictures per row.
        cell_size: Side of a picture in pixels.
    """

    model: str = "small"
    out: Path = Path("photo_sheet.jpg")
    all_masks: bool = False
    columns: int = 5
    cell_size: int = 280


def main(config: SheetConfig) -> None:
    """Predicts the masks of all prompts and writes the sheet."""
    predictor = samjax.Predictor(*samjax.load(config.model))
    embeddings: dict[str, samjax.ImageEmbedding] = {}
    pictures, captions = [], []
    for photo, label, prompt in PROMPTS:
        image = read_image(find(photo))
        if photo not in embeddings:
            embeddings[photo] = predictor.embed(image)
        masks = predictor.predict(embeddings[photo], prompt)
        if not config.all_masks:
            masks = masks.best
        for mask, score in zip(masks.masks, masks.scores, strict=True):
            pictures.append(draw(image, mask, prompt))
            kind = "box" if prompt.box is not None else "click"
            captions.append(f"{label}, {kind}: {score:.2f}")
    sheet = visualize.contact_sheet(
        pictures, captions, columns=config.columns, cell_size=config.cell_size
    )
    write(sheet, config.out)
    print(f"{config.out}: {len(PROMPTS)} prompts on {len(embeddings)} photos")


def find(photo: str) -> Path:
    """Returns the path of a photo of scikit-image."""
    import skimage

    return Path(skimage.__file__).parent / "data" / photo


def draw(
    image: UInt8[np.ndarray, "h w 3"], mask: np.ndarray, prompt: samjax.Prompt
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws a mask and its prompt over the photo."""
    drawn = visualize.draw_masks(image, mask[None])
    if prompt.box is not None:
        return visualize.draw_boxes(drawn, np.asarray(prompt.box)[None])
    return visualize.draw_points(drawn, prompt.points, prompt.labels)


def write(sheet: UInt8[np.ndarray, "h w 3"], path: Path) -> None:
    """Writes the sheet atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(sheet).save(data, format=kind, quality=85)
    with replacing(path) as hidden:
        hidden.write_bytes(data.getvalue())


if __name__ == "__main__":
    main(tyro.cli(SheetConfig))

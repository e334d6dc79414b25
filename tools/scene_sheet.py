"""Writes a contact sheet of drawn scenes, with and without their masks.

python tools/scene_sheet.py --out /tmp/sheet.png --size 256 --count 12
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import numpy as np
import tyro
from jaxtyping import Bool, Float
from PIL import Image

from samjax.data.synthetic import Scene, SceneConfig, draw_scene
from samjax.files import replacing


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """The scenes and the layout of the sheet.

    Attributes:
        out: PNG file to write.
        size: Side of each scene in pixels.
        count: Number of scenes.
        columns: Scenes per row.
        seed: First seed; scenes take consecutive ones.
        overlay: Whether to show each scene a second time with its masks.
        scene: Configuration of the scenes; its size is ignored.
    """

    out: Path = Path("scene_sheet.png")
    size: int = 256
    count: int = 12
    columns: int = 4
    seed: int = 0
    overlay: bool = True
    scene: SceneConfig = field(default_factory=SceneConfig)


def main(config: SheetConfig) -> None:
    """Draws the scenes and writes the sheet."""
    scene_config = replace(config.scene, size=config.size)
    tiles = []
    for seed in range(config.seed, config.seed + config.count):
        scene = jax.device_get(draw_scene(jax.random.key(seed), scene_config))
        tile = [scene.image]
        if config.overlay:
            tile.append(overlay(scene))
        tiles.append(np.concatenate(tile, 1))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % config.columns)
    rows = [
        np.concatenate(tiles[at : at + config.columns], 1)
        for at in range(0, len(tiles), config.columns)
    ]
    sheet = Image.fromarray(np.concatenate(rows).astype(np.uint8))
    with replacing(config.out) as hidden:
        sheet.save(hidden, format="PNG")
    print(f"{config.out}: {config.count} scenes of {config.size} pixels")


def overlay(scene: Scene) -> Float[np.ndarray, "h w 3"]:
    """Draws the valid masks over the image, large ones first, outlines in white."""
    image = np.asarray(scene.image, np.float32) * 0.5
    masks = np.asarray(scene.masks)[np.asarray(scene.valid)]
    colours = np.random.default_rng(0).uniform(30, 255, (len(masks), 3))
    order = np.argsort(-masks.sum((1, 2)))
    for mask, colour in zip(masks[order], colours, strict=True):
        image[mask] = 0.5 * image[mask] + 0.5 * colour
        image[_outline(mask)] = 255
    return image


def _outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:, 1:] &= mask[:, :-1]
    return mask & ~inner


if __name__ == "__main__":
    main(tyro.cli(SheetConfig))

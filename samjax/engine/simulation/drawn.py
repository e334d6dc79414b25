"""Drawn scenes as the images that are annotated."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from samjax.data.synthetic import SceneConfig, draw_scene

# Scenes to annotate and gold scenes come from seeds of their own, far from those that
# people give to training runs.
_TO_ANNOTATE, _GOLD = 20_261_130, 20_261_131


@dataclass(frozen=True)
class DrawnImage:
    """A drawn scene.

    Attributes:
        name: Name in the store.
        pixels: The image.
        targets: Its objects.
    """

    name: str
    pixels: UInt8[np.ndarray, "h w 3"]
    targets: list[Bool[np.ndarray, "h w"]]

    def png(self) -> bytes:
        """Returns the image as a file."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()


def scene_name(index: int) -> str:
    """Returns the name of a scene to annotate."""
    return f"scene-{index:05d}.png"


def scene_index(name: str) -> int:
    """Returns the index of a scene to annotate, from its name."""
    return int(name.removeprefix("scene-").removesuffix(".png"))


def scene_to_annotate(name: str, seed: int, config: SceneConfig) -> DrawnImage:
    """Draws the scene of a name."""
    return _draw(name, _TO_ANNOTATE + seed, scene_index(name), config)


def gold_scene(index: int, seed: int, config: SceneConfig) -> DrawnImage:
    """Draws a scene of the gold set."""
    return _draw(f"gold-{index:05d}.png", _GOLD + 1000 * seed, index, config)


def _draw(name: str, seed: int, index: int, config: SceneConfig) -> DrawnImage:
    key = jax.random.fold_in(jax.random.key(seed), index)
    scene: Any = jax.device_get(draw_scene(key, config))
    return DrawnImage(
        name, scene.image.astype(np.uint8), list(scene.masks[scene.valid])
    )

"""Drawn scenes that no training saw, as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from samjax.data.synthetic import SceneConfig, draw_scene
from samjax.evaluation.datasets.dataset import Sample, Skipped

# Far from the seeds that people give to training runs.
HELD_OUT_SEED = 20_230_405


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The number of drawn scenes, and the parts of a dataset that follow from drawing.

    Attributes:
        count: Number of scenes.
    """

    count: int

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"got count={self.count}, expected at least 1 scene")

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Empty: nothing that is drawn is damaged."""
        return ()

    @property
    def small(self) -> int:
        """Zero: scenes have no objects below their least area."""
        return 0

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True, kw_only=True)
class DrawnScenes(Drawn):
    """Procedural scenes, each drawn from its index and the seed.

    Attributes:
        seed: Seed; must differ from that of the training run.
        scenes: Size and content of the scenes.
    """

    seed: int = HELD_OUT_SEED
    scenes: SceneConfig

    @property
    def name(self) -> str:
        """The number of scenes, in words."""
        return f"{self.count} drawn scenes"

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        key = jax.random.fold_in(jax.random.key(self.seed), index)
        scene: Any = jax.device_get(draw_scene(key, self.scenes))
        targets = scene.masks[scene.valid]
        return Sample(
            name=str(index),
            image=scene.image.astype(np.uint8),
            targets=targets,
            objects=[
                {"scene": index, "level": int(level), "area": int(target.sum())}
                for target, level in zip(targets, scene.level[scene.valid], strict=True)
            ],
        )

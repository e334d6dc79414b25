"""Drawn scenes with captions, as a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samjax.data.captioned import draw_scene
from samjax.data.captioned.things import THINGS
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.scenes import Drawn

# The seeds of scenes from here on are for evaluation.
HELD_OUT_SEED = 10_000


@dataclass(frozen=True, kw_only=True)
class CaptionedScenes(Drawn):
    """Scenes of things that a caption tells apart from all others in the scene.

    `Sample.truth["captions"]` has a caption for each object, the shortest that is true
    of it alone; `Sample.truth["absent"]` for each the name of a thing that is not in the
    scene.

    Attributes:
        seed: Seed of the first scene; the next ones follow.
        size: Side of a scene in pixels.
    """

    seed: int = HELD_OUT_SEED
    size: int = 512

    @property
    def name(self) -> str:
        """The number of scenes, in words."""
        return f"{self.count} captioned scenes"

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        seed = self.seed + index
        scene = draw_scene(seed, self.size)
        if len(scene.objects) < 2:
            # There would be no caption of another object.
            return Skipped(str(seed), "fewer than two things")
        generator = np.random.default_rng(seed)
        missing = [name for name in THINGS if name not in scene.names]
        captions = [thing.captions[0].text() for thing in scene.objects]
        return Sample(
            name=str(seed),
            image=scene.image,
            targets=np.stack([thing.mask for thing in scene.objects]),
            objects=[
                {
                    "scene": seed,
                    "caption": caption,
                    "is_part": thing.parent >= 0,
                    "area": int(thing.mask.sum()),
                }
                for caption, thing in zip(captions, scene.objects, strict=True)
            ],
            truth={
                "captions": captions,
                "absent": [f"the {generator.choice(missing)}" for _ in captions],
            },
        )

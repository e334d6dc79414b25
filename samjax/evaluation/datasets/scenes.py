"""Masks from clicks and from a box, on drawn scenes that training never saw.

The protocol is SAM's single-point evaluation (section 7.1), as `prompting` has it; the
scores are mean IoUs over objects at some numbers of clicks and from a box.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from rich.progress import track

from samjax.data.synthetic import SceneConfig, draw_scene
from samjax.evaluation.metrics.mask_iou import mean_iou
from samjax.evaluation.policies.interactive_clicks import evaluate_image
from samjax.evaluation.report import Report
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.inference.predictor import Predictor

# Far from the seeds that people give to training runs.
HELD_OUT_SEED = 20_230_405


def evaluate_scenes(
    predictor: Predictor,
    *,
    num_scenes: int = 500,
    seed: int = HELD_OUT_SEED,
    clicks: Sequence[int] = (1, 3, 5),
    scenes: SceneConfig | None = None,
    show_progress: bool = True,
) -> Report:
    """Evaluates clicks and boxes on drawn scenes.

    Args:
        predictor: The model.
        num_scenes: Scenes to draw.
        seed: Of the scenes; must differ from that of the training run.
        clicks: Numbers of clicks to score at.
        scenes: What is drawn; by default scenes of the model's input size with up to
            eight masks each.
        show_progress: Whether to draw a progress bar.

    Returns:
        The scores `click_n`, `click_n_oracle`, `box`, `box_oracle` and `box_single`
        (the single mask for a box), and for every object its IoUs by those names.
    """
    if not clicks or min(clicks) < 1 or num_scenes < 1:
        raise ValueError(
            f"got {clicks=}, {num_scenes=}, expected numbers of at least 1"
        )
    if scenes is None:
        scenes = SceneConfig(size=predictor.model.config.image_size, num_masks=8)
    segmenter = PredictorSegmenter(predictor)
    key = jax.random.key(seed)
    objects: list[dict[str, Any]] = []
    numbers = track(
        range(num_scenes), "evaluating", disable=not show_progress, transient=True
    )
    for number in numbers:
        scene = jax.device_get(draw_scene(jax.random.fold_in(key, number), scenes))
        targets = scene.masks[scene.valid]
        if not len(targets):
            continue
        image = scene.image.astype(np.uint8)
        ious = evaluate_image(segmenter, image, targets, clicks)
        levels = scene.level[scene.valid]
        for target, level, of_object in zip(targets, levels, ious, strict=True):
            about = {"scene": number, "level": int(level), "area": int(target.sum())}
            objects.append(about | {"iou": of_object})
    names = objects[0]["iou"] if objects else ()
    return Report(
        suite=f"{num_scenes} drawn scenes",
        protocol={
            "seed": seed,
            "clicks": list(clicks),
            "click": "centre of the largest error; the last mask is fed back",
            "scenes": vars(scenes),
        },
        scores={name: mean_iou([o["iou"][name] for o in objects]) for name in names},
        objects=tuple(objects),
    )

"""Masks from clicks and from a box, on drawn scenes that training never saw.

The protocol is SAM's single-point evaluation (section 7.1): click the centre of the
object, then the centre of the largest error, and take the mean IoU over objects at some
numbers of clicks. The answer of a prompt is the mask with the highest predicted IoU, of
three after one click, the single one after more. The oracle instead takes the best of
the three masks by their true IoU. Later clicks come with the last mask as a prompt, as
in training.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt8
from rich.progress import track

from samjax.data.synthetic import SceneConfig, draw_scene
from samjax.evaluation.clicks import next_click
from samjax.evaluation.metrics import mean_iou
from samjax.evaluation.report import Report
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import mask_iou
from samjax.inference.batching import to_model
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor
from samjax.inference.prompts import Prompt

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
        ious = evaluate_image(predictor, image, targets, clicks)
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


class _Answers(NamedTuple):
    """Masks of the original size for one prompt: the single one, then the three."""

    masks: Bool[np.ndarray, "m h w"]
    scores: np.ndarray
    logits: np.ndarray

    def best(self) -> int:
        """The index of the three that the model ranks first."""
        return 1 + int(np.argmax(self.scores[1:]))


def evaluate_image(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    targets: Bool[np.ndarray, "k h w"],
    clicks: Sequence[int],
) -> list[dict[str, float]]:
    """Asks for every object of an image by clicks and by its box.

    Args:
        predictor: The model.
        image: The image.
        targets: The objects.
        clicks: Numbers of clicks to score at.

    Returns:
        Each target's IoU by the name of the score.
    """
    embedding = predictor.embed(image)
    ious: list[dict[str, float]] = [{} for _ in targets]
    boxes = [Prompt(box=box) for box in boxes_from_masks(targets)]
    for found, target, answer in zip(
        ious, targets, _ask(predictor, embedding, boxes), strict=True
    ):
        by_mask = mask_iou(answer.masks, target[None])[:, 0]
        found["box"] = float(by_mask[answer.best()])
        found["box_oracle"] = float(by_mask[1:].max())
        found["box_single"] = float(by_mask[0])

    users = [_User(target) for target in targets]
    for number in range(1, max(clicks) + 1):
        active = [user for user in users if user.click()]
        prompts = [user.prompt() for user in active]
        for user, answer in zip(
            active, _ask(predictor, embedding, prompts), strict=True
        ):
            user.take(answer)
        if number in clicks:
            for found, user in zip(ious, users, strict=True):
                found[f"click_{number}"] = user.iou
                found[f"click_{number}_oracle"] = user.oracle_iou
    return ious


class _User:
    """Clicks on one object until nothing is left to correct."""

    def __init__(self, target: Bool[np.ndarray, "h w"]):
        self.target = target
        self.iou = self.oracle_iou = 0.0
        self._predicted: np.ndarray | None = None
        self._logits: np.ndarray | None = None
        self._points: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._clicked = np.zeros_like(target)

    def click(self) -> bool:
        """Clicks once more; False if there is nothing to click on."""
        click = next_click(self.target, self._predicted, self._clicked)
        if click is None:
            return False
        self._points.append((click.x, click.y))
        self._labels.append(click.label)
        self._clicked[click.y, click.x] = True
        return True

    def prompt(self) -> Prompt:
        """All clicks so far, with the last mask."""
        return Prompt(points=self._points, labels=self._labels, mask=self._logits)

    def take(self, answer: _Answers) -> None:
        """Looks at the answer to the prompt."""
        index = answer.best() if len(self._points) == 1 else 0
        by_mask = mask_iou(answer.masks, self.target[None])[:, 0]
        self.iou = float(by_mask[index])
        self.oracle_iou = float(by_mask[1:].max())
        self._predicted, self._logits = answer.masks[index], answer.logits[index]


def _ask(
    predictor: Predictor, embedding: ImageEmbedding, prompts: Sequence[Prompt]
) -> list[_Answers]:
    """Asks everything about one image at once, for the single and the three masks."""
    frame = embedding.frame
    in_model = [to_model(prompt, frame, predictor.low_res_size) for prompt in prompts]
    (decoded,) = predictor.decode_prompts([embedding], [in_model])
    return [
        _Answers(Masks(logits, scores, frame).masks, scores, logits)
        for logits, scores in decoded
    ]

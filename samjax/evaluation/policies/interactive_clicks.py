"""Prompts for the objects of an image, by clicks and by their boxes, and their IoUs.

The protocol is SAM's single-point evaluation (section 7.1): click the centre of the
object, then the centre of the largest error. The mask of a prompt is the one with the
highest predicted IoU, of three after one click, the single one after more. The oracle
instead takes the best of the three masks by their true IoU. Later clicks come with the
last mask's logits as a prompt, as in training. The number of clicks (NoC) is that of
RITM: the first at which an IoU is reached, with a bound on the clicks.

Pixels that are ignored (of unknown truth, as the band around GrabCut's objects) are
removed from object and mask, for the IoU, the clicks and the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from samjax.evaluation.policies.click_rule import next_click
from samjax.evaluation.segmenter import MaskSet, Prediction, Segmenter
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import mask_iou
from samjax.inference.prompts import Prompt

# Objects that are prompted together: one call of samjax's decoder, and a bound on the
# masks of full size that are held.
_TOGETHER = 16


@dataclass(frozen=True, kw_only=True)
class PromptProtocol:
    """The prompts that an object gets.

    Attributes:
        clicks: Numbers of clicks at which the IoU is recorded.
        thresholds: IoUs of which the number of clicks is counted; none by default.
        max_clicks: Clicks after which a threshold counts as not reached.
    """

    clicks: tuple[int, ...] = (1, 3, 5)
    thresholds: tuple[float, ...] = ()
    max_clicks: int = 20

    def __post_init__(self):
        if not self.clicks or min(self.clicks) < 1 or self.max_clicks < 1:
            raise ValueError(
                f"got clicks={self.clicks}, max_clicks={self.max_clicks}, expected "
                "numbers of at least 1"
            )
        if any(not 0 < threshold <= 1 for threshold in self.thresholds):
            raise ValueError(
                f"got thresholds={self.thresholds}, expected IoUs above 0 and up to 1"
            )


class ObjectScores(NamedTuple):
    """The scores of one object.

    Attributes:
        iou: True IoUs: `click_n` and `click_n_oracle` for every number of clicks, `box`
            (best-ranked of the multimask output), `box_oracle`, `box_single`. What the
            model has not, a kind of prompt or several masks, is missing.
        predicted: Predicted IoUs of the masks of `iou`, without oracles, of models that
            predict it.
        clicks: For each threshold of the protocol the clicks that it took, or None
            where it was not reached.
    """

    iou: dict[str, float]
    predicted: dict[str, float]
    clicks: dict[float, int | None]


def prompt_objects(
    segmenter: Segmenter,
    image: UInt8[np.ndarray, "h w 3"],
    targets: Bool[np.ndarray, "k h w"],
    protocol: PromptProtocol,
    *,
    ignored: Bool[np.ndarray, "h w"] | None = None,
) -> list[ObjectScores]:
    """Prompts a model for every object of an image; the image is embedded once.

    Args:
        segmenter: The model.
        image: The image.
        targets: The objects.
        protocol: The prompts.
        ignored: Pixels that are left out of every score.

    Returns:
        The scores of each object.
    """
    embedding = segmenter.embed(image)
    counted = None if ignored is None else ~ignored
    scores: list[ObjectScores] = []
    for start in range(0, len(targets), _TOGETHER):
        part = targets[start : start + _TOGETHER]
        users = [_User(target, counted, protocol) for target in part]
        if "box" in segmenter.prompt_kinds:
            _prompt_by_box(segmenter, embedding, users)
        if "points" in segmenter.prompt_kinds:
            _prompt_by_clicks(segmenter, embedding, users, protocol)
        scores += [user.scores for user in users]
    return scores


def evaluate_image(
    segmenter: Segmenter,
    image: UInt8[np.ndarray, "h w 3"],
    targets: Bool[np.ndarray, "k h w"],
    clicks: Sequence[int],
) -> list[dict[str, float]]:
    """Returns the IoUs of every object of an image by the names of `ObjectScores`."""
    protocol = PromptProtocol(clicks=tuple(clicks))
    scores = prompt_objects(segmenter, image, targets, protocol)
    return [of_object.iou for of_object in scores]


def _prompt_by_box(
    segmenter: Segmenter, embedding: Any, users: Sequence[_User]
) -> None:
    boxes = boxes_from_masks(np.stack([user.target for user in users]))
    predictions = segmenter.predict(embedding, [Prompt(box=box) for box in boxes])
    for user, prediction in zip(users, predictions, strict=True):
        user.take_box(prediction)


def _prompt_by_clicks(
    segmenter: Segmenter,
    embedding: Any,
    users: Sequence[_User],
    protocol: PromptProtocol,
) -> None:
    feeds_back = "mask" in segmenter.prompt_kinds
    last = max(protocol.clicks)
    if protocol.thresholds:
        last = max(last, protocol.max_clicks)
    for number in range(1, last + 1):
        active = [user for user in users if user.goes_on(number) and user.click()]
        if active:
            prompts = [user.prompt(with_mask=feeds_back) for user in active]
            predictions = segmenter.predict(embedding, prompts)
            for user, prediction in zip(active, predictions, strict=True):
                user.take(prediction)
        if number in protocol.clicks:
            for user in users:
                user.record(number)


class _User:
    """Clicks on one object until nothing is left to correct."""

    def __init__(
        self,
        target: Bool[np.ndarray, "h w"],
        counted: Bool[np.ndarray, "h w"] | None,
        protocol: PromptProtocol,
    ):
        self.target = target if counted is None else target & counted
        self.iou = self.oracle_iou = 0.0
        self.predicted_iou: float | None = None
        self.scores = ObjectScores({}, {}, dict.fromkeys(protocol.thresholds))
        self._counted, self._protocol = counted, protocol
        self._mask: np.ndarray | None = None
        self._logits: np.ndarray | None = None
        self._points: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._clicked = np.zeros_like(target)

    def goes_on(self, number: int) -> bool:
        """Whether the protocol has a use for click `number`."""
        if number <= max(self._protocol.clicks):
            return True
        is_open = any(reached is None for reached in self.scores.clicks.values())
        return is_open and number <= self._protocol.max_clicks

    def click(self) -> bool:
        """Clicks once more; False if there is nothing to click on."""
        click = next_click(self.target, self._mask, self._clicked)
        if click is None:
            return False
        self._points.append((click.x, click.y))
        self._labels.append(click.label)
        self._clicked[click.y, click.x] = True
        return True

    def prompt(self, *, with_mask: bool = True) -> Prompt:
        """All clicks so far, with the logits of the last mask."""
        mask = self._logits if with_mask else None
        return Prompt(points=self._points, labels=self._labels, mask=mask)

    def take(self, prediction: Prediction) -> None:
        """Looks at the masks of the clicks so far."""
        number = len(self._points)
        masks = prediction.multimask if number == 1 else prediction.single
        best = _best_ranked(masks)
        self._mask = self._inside(masks.masks[best])
        self._logits = None if masks.logits is None else masks.logits[best]
        self.iou = float(mask_iou(self._mask[None], self.target[None])[0, 0])
        self.predicted_iou = None if masks.scores is None else float(masks.scores[best])
        if number <= max(self._protocol.clicks):
            self.oracle_iou = float(self._ious(prediction.multimask).max())
        if number <= self._protocol.max_clicks:
            for threshold, reached in self.scores.clicks.items():
                if reached is None and self.iou >= threshold:
                    self.scores.clicks[threshold] = number

    def take_box(self, prediction: Prediction) -> None:
        """Looks at the masks of the box."""
        multimask, single = prediction.multimask, prediction.single
        ious, best = self._ious(multimask), _best_ranked(multimask)
        iou, predicted = self.scores.iou, self.scores.predicted
        iou["box"] = float(ious[best])
        if len(ious) > 1:
            iou["box_oracle"] = float(ious.max())
            iou["box_single"] = float(self._ious(single)[0])
        if multimask.scores is not None:
            predicted["box"] = float(multimask.scores[best])
        if len(ious) > 1 and single.scores is not None:
            predicted["box_single"] = float(single.scores[0])

    def record(self, number: int) -> None:
        """Notes the scores after `number` clicks."""
        self.scores.iou[f"click_{number}"] = self.iou
        self.scores.iou[f"click_{number}_oracle"] = self.oracle_iou
        if self.predicted_iou is not None:
            self.scores.predicted[f"click_{number}"] = self.predicted_iou

    def _ious(self, masks: MaskSet) -> np.ndarray:
        return mask_iou(self._inside(masks.masks), self.target[None])[:, 0]

    def _inside(self, masks: np.ndarray) -> np.ndarray:
        return masks if self._counted is None else masks & self._counted


def _best_ranked(masks: MaskSet) -> int:
    """The mask of the highest predicted IoU; the first of a model that predicts none."""
    return 0 if masks.scores is None else int(np.argmax(masks.scores))

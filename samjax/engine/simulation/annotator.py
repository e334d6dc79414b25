"""A simulated annotator, who makes masks by clicks and a brush (SAM, section 4).

The annotator clicks as in the paper's evaluation, imprecisely, judges every mask by an
imprecise IoU, and stops at a goal. After too many clicks or seconds, brush and eraser make
the mask exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from samjax.engine.simulation.times import ActionTimes
from samjax.evaluation.policies.click_rule import next_click
from samjax.evaluation.segmenter import Segmenter
from samjax.geometry.masks import mask_iou
from samjax.prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class AnnotatorConfig:
    """Habits of the simulated annotator.

    Attributes:
        goal: IoU at which a mask looks good enough.
        max_clicks: Clicks after which the brush is taken.
        patience: Seconds after which the brush is taken.
        jitter: Standard deviation of a click, in pixels; it stays on the same side of
            the mask's border.
        judgement: Standard deviation of the IoU that the annotator sees.
        better: How much better another of three masks has to look to be chosen.
        small: Objects below this many pixels are left out half of the time.
        seconds_per_image: Time for an image; objects are annotated from large to small
            until it is over.
        times: Seconds of single actions.
    """

    goal: float = 0.90
    max_clicks: int = 8
    patience: float = 30.0
    jitter: float = 2.0
    judgement: float = 0.02
    better: float = 0.05
    small: int = 256
    seconds_per_image: float = 180.0
    times: ActionTimes = field(default_factory=ActionTimes)


@dataclass(frozen=True, kw_only=True)
class AnnotatedMask:
    """A mask that the annotator accepted.

    Attributes:
        target: Index of the object.
        mask: The mask.
        iou: Its true IoU.
        first_iou: True IoU of the mask after the first click; None for a proposal.
        first_score: Its predicted IoU; None for a proposal, or without scores.
        clicks: Number of clicks.
        cycles: Number of keys to see another of three masks.
        brushed: Number of pixels changed by brush and eraser.
        seconds: Time from the search for the object to its acceptance.
        points: The clicks, as (x, y).
        labels: Their labels.
    """

    target: int
    mask: Bool[np.ndarray, "h w"]
    iou: float
    first_iou: float | None = None
    first_score: float | None = None
    clicks: int = 0
    cycles: int = 0
    brushed: int = 0
    seconds: float = 0.0
    points: Sequence[tuple[int, int]] = ()
    labels: Sequence[int] = ()


def annotate(
    segmenter: Segmenter,
    embedding: Any,
    targets: Sequence[Bool[np.ndarray, "h w"]],
    rng: np.random.Generator,
    config: AnnotatorConfig,
    seconds: float = 0.0,
) -> list[AnnotatedMask]:
    """Annotates the objects of an image until the time for it is over.

    Args:
        segmenter: The model that assists.
        embedding: What it returned for the image.
        targets: The objects; `AnnotatedMask.target` is an index of this list.
        rng: Source of the annotator's imprecision.
        config: Habits.
        seconds: Seconds that were spent on the image before.

    Returns:
        The masks, in the order in which they were made.
    """
    order = sorted(range(len(targets)), key=lambda i: -int(targets[i].sum()))
    chosen = [
        index
        for index in order
        if targets[index].sum() >= config.small or rng.random() < 0.5
    ]
    objects = [
        _Object(
            index, targets[index], np.random.default_rng(rng.integers(2**63)), config
        )
        for index in chosen
    ]
    # All objects of an image take their clicks together, in one call of the decoder for
    # each click. Time is counted as if they followed one another.
    active = [made for made in objects if made.click()]
    while active:
        predictions = segmenter.predict(embedding, [made.prompt() for made in active])
        for made, prediction in zip(active, predictions, strict=True):
            made.receive(prediction)
        active = [made for made in active if made.goes_on and made.click()]
    done = []
    for made in objects:
        result = made.accept()
        if seconds >= config.seconds_per_image:
            break
        seconds += result.seconds
        done.append(result)
    return done


class _Object:
    """An object with its clicks and the present mask."""

    def __init__(
        self,
        index: int,
        target: Bool[np.ndarray, "h w"],
        rng: np.random.Generator,
        config: AnnotatorConfig,
    ):
        self._index, self._target, self._rng, self._config = index, target, rng, config
        self._mask = np.zeros_like(target)
        self._clicked = np.zeros_like(target)
        self._points: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._logits = None
        self._cycles = 0
        self._first: tuple[float, float | None] | None = None
        self._is_good = False

    @property
    def goes_on(self) -> bool:
        """Whether a further click follows."""
        return (
            not self._is_good
            and len(self._points) < self._config.max_clicks
            and self._seconds() < self._config.patience
        )

    def click(self) -> bool:
        """Adds a click; returns False if there is no error left to click on."""
        mask = self._mask if self._points else None
        click = next_click(self._target, mask, self._clicked)
        if click is None:
            return False
        region = self._target if click.label else ~self._target
        x, y = self._jittered(click.x, click.y, region & ~self._clicked)
        self._clicked[y, x] = True
        self._points.append((x, y))
        self._labels.append(click.label)
        return True

    def prompt(self) -> Prompt:
        """Returns all clicks, with the logits of the present mask."""
        return Prompt(points=self._points, labels=self._labels, mask=self._logits)

    def receive(self, prediction) -> None:
        """Looks at the masks for the clicks, and chooses one."""
        is_first = len(self._points) == 1
        shown = prediction.multimask if is_first else prediction.single
        ious = mask_iou(np.asarray(shown.masks), self._target[None])[:, 0]
        seen = ious + self._rng.normal(0.0, self._config.judgement, ious.shape)
        has_scores = shown.scores is not None
        chosen = int(np.argmax(shown.scores)) if has_scores else 0
        if is_first:
            score = float(shown.scores[chosen]) if has_scores else None
            self._first = float(ious[chosen]), score
        if seen.max() > seen[chosen] + self._config.better:
            # A key shows the next one, so that the third takes two.
            by_score = np.argsort(-shown.scores) if has_scores else np.arange(len(seen))
            chosen = int(np.argmax(seen))
            self._cycles += int(np.flatnonzero(by_score == chosen)[0])
        self._mask = np.asarray(shown.masks[chosen])
        self._logits = None if shown.logits is None else shown.logits[chosen]
        self._is_good = bool(seen[chosen] >= self._config.goal)

    def accept(self) -> AnnotatedMask:
        """Ends the work on the object, with the brush where the mask is not good."""
        brushed = 0
        if not self._is_good:
            brushed = int((self._mask ^ self._target).sum())
            self._mask = self._target
        first_iou, first_score = self._first or (None, None)
        return AnnotatedMask(
            target=self._index,
            mask=self._mask,
            iou=float(mask_iou(self._mask[None], self._target[None])[0, 0]),
            first_iou=first_iou,
            first_score=first_score,
            clicks=len(self._points),
            cycles=self._cycles,
            brushed=brushed,
            seconds=self._seconds(brushed),
            points=self._points,
            labels=self._labels,
        )

    def _seconds(self, brushed: int = 0) -> float:
        times = self._config.times
        return (
            times.find
            + len(self._points) * times.click
            + (self._cycles + 1) * times.shown_mask
            + times.brushing(brushed)
        )

    def _jittered(self, x: int, y: int, region: Bool[np.ndarray, "h w"]):
        height, width = region.shape
        dx, dy = np.rint(self._rng.normal(0.0, self._config.jitter, 2)).astype(int)
        near_x, near_y = x + int(dx), y + int(dy)
        is_inside = 0 <= near_x < width and 0 <= near_y < height
        return (near_x, near_y) if is_inside and region[near_y, near_x] else (x, y)

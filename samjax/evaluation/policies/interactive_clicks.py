"""Interactive clicks: the first on the object, each later one on the largest error.

The policy of SAM's single-point evaluation (section 7.1). The scored mask is the one with
the highest predicted IoU, of three after one click; after more it is the single mask.
Later clicks come with the last mask's logits as a prompt, as in training. Clicks can go
on until an IoU is reached, for the number of clicks (NoC) of RITM. The first click can be
at random instead, as in SAM's experiments on fairness.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from samjax.evaluation.policies.click_rule import Click, next_click
from samjax.evaluation.policies.policy import (
    PROMPTS_PER_CALL,
    Response,
    Round,
    Session,
)
from samjax.evaluation.segmenter import Prediction, PromptKind
from samjax.prompts import Prompt

FirstClick = Literal["centre", "random"]
"""Where the first click is: at the centre of the object, or on any pixel of it."""


@dataclass(frozen=True, kw_only=True)
class InteractiveClicks:
    """Simulated clicks of a user who corrects the last mask.

    Attributes:
        counts: Numbers of clicks after which masks are scored.
        until: IoU up to which clicks go on beyond the last of `counts`, or None.
        max_clicks: Most clicks for that.
        first: Where the first click is.
        seed: Seed of random first clicks.
    """

    counts: tuple[int, ...] = (1, 3, 5)
    until: float | None = None
    max_clicks: int = 20
    first: FirstClick = "centre"
    seed: int = 0

    def __post_init__(self):
        if not self.counts or min(self.counts) < 1 or self.max_clicks < 1:
            raise ValueError(
                f"got counts={self.counts}, max_clicks={self.max_clicks}, expected "
                "numbers of clicks of at least 1"
            )
        if self.until is not None and not 0 < self.until <= 1:
            raise ValueError(
                f"got until={self.until}, expected an IoU above 0 and up to 1"
            )

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Points."""
        return frozenset(("points",))

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the masks after each number of clicks, `PROMPTS_PER_CALL` objects a time.

        An object without an error left, or with enough clicks, keeps its last response.
        """
        targets, ignored = session.targets(), session.sample.ignored
        for start in range(0, len(targets), PROMPTS_PER_CALL):
            users = [
                _User(
                    start + offset,
                    target,
                    ignored,
                    self._first_click(session.sample.name, start + offset, target),
                )
                for offset, target in enumerate(
                    targets[start : start + PROMPTS_PER_CALL]
                )
            ]
            yield from self._click(session, users)

    def _click(self, session: Session, users: list[_User]) -> Iterator[Round]:
        last = max(self.counts)
        if self.until is not None:
            last = max(last, self.max_clicks)
        for clicks in range(1, last + 1):
            active = [
                user for user in users if self._goes_on(user, clicks) and user.click()
            ]
            if active:
                prompts = [user.prompt(session.takes("mask")) for user in active]
                predictions = session.predict(prompts)
                for user, prompt, prediction in zip(
                    active, prompts, predictions, strict=True
                ):
                    user.receive(prompt, prediction)
            responses = [user.response for user in users if user.response is not None]
            is_scored = clicks in self.counts
            if active or is_scored:
                yield Round(f"click_{clicks}", responses, clicks, is_scored)

    def _first_click(
        self, image: str, index: int, target: Bool[np.ndarray, "h w"]
    ) -> Click | None:
        """Returns a pixel of the object at random; None for its centre."""
        if self.first == "centre":
            return None
        # By name, so that the click does not depend on other images.
        rng = np.random.default_rng([self.seed, zlib.crc32(image.encode()), index])
        y, x = np.unravel_index(rng.choice(np.flatnonzero(target)), target.shape)
        return Click(int(x), int(y), 1)

    def _goes_on(self, user: _User, clicks: int) -> bool:
        if clicks <= max(self.counts):
            return True
        return self.until is not None and user.best_iou < self.until


class _User:
    """The clicks on one object and the last response to them."""

    def __init__(
        self,
        index: int,
        target: Bool[np.ndarray, "h w"],
        ignored: Bool[np.ndarray, "h w"] | None,
        first: Click | None,
    ):
        self.response: Response | None = None
        self._first = first
        self._index, self._target, self._ignored = index, target, ignored
        self._points: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._clicked = np.zeros_like(target)
        self._ious: list[float] = []

    @property
    def best_iou(self) -> float:
        """Highest IoU of the scored masks so far."""
        return max(self._ious, default=0.0)

    def click(self) -> bool:
        """Adds the next click; returns False if there is no error left to click on."""
        mask = None if self.response is None else self.response.mask
        click = self._first if mask is None else None
        click = click or next_click(self._target, mask, self._clicked)
        if click is None:
            return False
        self._points.append((click.x, click.y))
        self._labels.append(click.label)
        self._clicked[click.y, click.x] = True
        return True

    def prompt(self, with_mask: bool) -> Prompt:
        """Returns all clicks so far, with the logits of the last mask if wanted."""
        logits = None if self.response is None else self.response.logits
        return Prompt(
            points=self._points,
            labels=self._labels,
            mask=logits if with_mask else None,
        )

    def receive(self, prompt: Prompt, prediction: Prediction) -> None:
        """Keeps the response to the clicks so far."""
        self.response = Response(
            self._index,
            prompt,
            prediction,
            len(self._points) == 1,
            self._target,
            self._ignored,
        )
        self._ious.append(self.response.iou)

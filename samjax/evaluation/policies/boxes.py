"""The tight box of every object as its prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samjax.evaluation.policies.policy import (
    PROMPTS_PER_CALL,
    Response,
    Round,
    Session,
)
from samjax.evaluation.segmenter import PromptKind
from samjax.geometry.boxes import boxes_from_masks
from samjax.inference.prompts import Prompt


@dataclass(frozen=True)
class Boxes:
    """Prompts with ground-truth boxes, from the first to the last pixel of each object.

    The rounds are `box`, scored by the best-ranked mask of the multimask output, and,
    for segmenters with several masks, `box_single`, scored by the single mask.
    """

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Boxes."""
        return frozenset(("box",))

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the masks of the boxes of all objects."""
        targets, ignored = session.targets(), session.sample.ignored
        for start in range(0, len(targets), PROMPTS_PER_CALL):
            part = targets[start : start + PROMPTS_PER_CALL]
            indices = range(start, start + len(part))
            prompts = [Prompt(box=box) for box in boxes_from_masks(part)]
            predictions = session.predict(prompts)
            # Both rounds share the predictions, whose masks are resized once.
            best, single = (
                [
                    Response(index, prompt, prediction, multimask, target, ignored)
                    for index, target, prompt, prediction in zip(
                        indices, part, prompts, predictions, strict=True
                    )
                ]
                for multimask in (True, False)
            )
            has_several = len(predictions[0].multimask.masks) > 1
            yield Round("box", best, has_oracle=has_several)
            if has_several:
                yield Round("box_single", single, has_oracle=False)

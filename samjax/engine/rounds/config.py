"""Options of a round."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samjax.engine.proposer.training import HeadConfig
from samjax.files import json_object, json_text, sha256_of


@dataclass(frozen=True, kw_only=True)
class RoundConfig:
    """Options of a round.

    Attributes:
        number: Number of the round, from 1.
        initial: The model that is trained further: a name, or a file or folder.
        train_config: Python file with `get_config`, as for `samjax train`, in place of the
            recipe for few images; larger encoders begin with one.
        steps: Training steps of the recipe.
        batch_size: Images of a step.
        held_out: Fraction of the annotated images that models are compared on, by a hash
            of their names; unless there are gold images.
        gold: A dataset with trusted masks to compare on: a COCO file, or a folder of tars
            or files in SA-1B's form.
        automatic: Automatic masks to train on as well, as tars in SA-1B's form.
        hand_weight: How many times as often an image with masks of people is drawn as one
            with automatic masks alone; the paper oversamples the masks of its first two
            stages tenfold (section 7.6).
        accept_untouched: Whether proposals that nobody touched count as taken on images
            that people worked on.
        points: Prompts of the proposer on an image.
        precision: Fraction of the proposals that should be right.
        iou: IoU from which a proposal is right.
        least_masks: Fewest masks that the precision is measured on.
        head: Options of the proposer's head.
        seed: Seed of the training.
    """

    number: int
    initial: str
    train_config: Path | None = None
    steps: int = 200
    batch_size: int = 2
    held_out: float = 0.2
    gold: str | None = None
    automatic: tuple[str, ...] = ()
    hand_weight: float = 10.0
    accept_untouched: bool = False
    points: int = 49
    precision: float = 0.9
    iou: float = 0.75
    least_masks: int = 20
    head: HeadConfig = field(default_factory=HeadConfig)
    seed: int = 0

    def __post_init__(self):
        for name in ("number", "steps", "batch_size", "points"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"got {name}={getattr(self, name)}, expected at least 1"
                )
        if not 0 < self.held_out < 1:
            raise ValueError(
                f"got held_out={self.held_out}, expected above 0 and below 1"
            )
        if not self.hand_weight > 0:
            raise ValueError(
                f"got hand_weight={self.hand_weight}, expected a number above 0"
            )

    def identity(self) -> dict[str, Any]:
        """Returns the options as JSON has them, with the content of the training config."""
        fields = dataclasses.asdict(self)
        if self.train_config is not None:
            fields["train_config"] = sha256_of(self.train_config)
        return json_object(json_text(fields))

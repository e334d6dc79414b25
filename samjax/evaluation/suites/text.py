"""Text prompts: masks from captions of drawn scenes, names and expressions of photos.

`text` is the mean IoU of the best-ranked mask for an object's caption, `text_oracle` that
of the best of its three masks by true IoU. `wrong_text` is what a caption of another
object of the same image scores, `no_text` an empty prompt, and `click` a click on the
centre of the object; `text_click` is of the single mask for caption and click together.
The paper published no numbers of text prompts. Referring expressions have the scores of
`ReferringScores` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from samjax.evaluation.datasets.captioned import HELD_OUT_SEED, CaptionedScenes
from samjax.evaluation.datasets.named_objects import NamedObjects
from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.evaluation.datasets.referring import (
    ReferredObjects,
    is_referring,
    read_referring,
)
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.referring_scores import ReferringScores
from samjax.evaluation.policies.texts import Texts
from samjax.evaluation.segmenter import PromptKind
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NUM_SCENES = 100


@dataclass(frozen=True, kw_only=True)
class TextIou(MaskIou):
    """`MaskIou` for models with text."""

    @property
    def needs(self) -> frozenset[PromptKind]:
        """Texts."""
        return frozenset(("text",))


@dataclass(frozen=True, kw_only=True)
class Text(SuiteOptions):
    """Options of the suite."""

    needs_text: ClassVar[bool] = True
    """Whether prompts are texts: they are."""

    scenes: int | None = None
    """Number of scenes to draw, without --data (default: 100)."""

    seed: int = HELD_OUT_SEED
    """Seed of the first scene; those below 10000 are for training."""

    min_area: int | None = None
    """Least number of pixels of an object (with --data; default: 400, and 1 for
    referring expressions, whose sets are scored whole)."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (with --data; default: all)."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that the options are of photos or of scenes, and the model samjax's.

        Raises:
            OptionError: They are not, or the segmenter takes no text.
        """
        if segmenter != "samjax":
            raise OptionError(f"--segmenter {segmenter} takes no text: leave it out")
        if data and self.scenes is not None:
            raise OptionError("--scenes and --data: expected one of the two")
        for name in ("scenes", "min_area", "images"):
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is not None and value < 1:
                raise OptionError(f"{option} {value}: expected at least 1")
            if value is not None and name != "scenes" and not data:
                raise OptionError(
                    f"{option} is for photos: name sets of them with --data"
                )

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Returns the suite on photo sets, or on captioned scenes.

        Sets of referring expressions are scored by these, others by names of objects.

        Raises:
            ValueError: A set has no object that its name tells apart, or is none; or
                only some of the sets have referring expressions.
            OSError: It is not there or cannot be read.
        """
        if not data:
            count = NUM_SCENES if self.scenes is None else self.scenes
            return text_suite(count, image_size or 512, seed=self.seed)
        if any(kinds := [is_referring(path) for path in data]):
            if not all(kinds):
                raise ValueError(
                    f"got {data[kinds.index(False)]} beside {data[kinds.index(True)]}, "
                    "which has referring expressions, expected sets of one kind: "
                    "evaluate them one after the other"
                )
            chosen = Selection(min_area=self.min_area or 1, images=self.images)
            return referring_suite(
                [read_referring(path, chosen) for path in data], chosen
            )
        area = 400 if self.min_area is None else self.min_area
        selection = Selection(min_area=area, images=self.images)
        sets = [NamedObjects(read_photo_set(path), selection) for path in data]
        for path, named in zip(data, sets, strict=True):
            if not len(named):
                raise ValueError(
                    f"{path}: got no photo with one object of a category, expected some"
                )
        return names_suite(sets, selection)


def names_suite(datasets: Sequence[NamedObjects], selection: Selection) -> Suite:
    """Returns the suite on named objects of photos.

    Args:
        datasets: The datasets.
        selection: The selection that they were opened with.
    """
    return Suite(
        name="text",
        datasets=tuple(datasets),
        policies=(Texts(),),
        metrics=(TextIou(),),
        protocol={
            "objects": "the only ones of their category in the photo",
            "min_area": selection.min_area,
            "caption": "the name of the category with an article",
            "text": "the best-ranked mask of three",
            "wrong_text": "the name of another category of the photo, or of the set",
            "click": "the centre of the object; the best-ranked mask of three",
            "text_click": "the single mask",
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=("the paper published no numbers of text prompts",),
    )


def referring_suite(datasets: Sequence[ReferredObjects], selection: Selection) -> Suite:
    """Returns the suite on referring expressions.

    Args:
        datasets: The splits.
        selection: The selection that they were opened with.
    """
    return Suite(
        name="text",
        datasets=tuple(datasets),
        policies=(Texts(),),
        metrics=(TextIou(), ReferringScores()),
        protocol={
            "objects": "one for each expression",
            "min_area": selection.min_area,
            "caption": "the expression (sent)",
            "text": "the best-ranked mask of three",
            "text_ciou": "intersections over unions of text, each summed over all",
            "text_p50": "share of expressions with an IoU of at least 0.5",
            "wrong_text": "the expression of another object of the photo, or of the set",
            "click": "the centre of the object; the best-ranked mask of three",
            "text_click": "the single mask",
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=("the paper published no numbers of text prompts",),
    )


def text_suite(count: int, size: int, *, seed: int = HELD_OUT_SEED) -> Suite:
    """Returns the suite on captioned scenes.

    Args:
        count: Number of scenes.
        size: Side of a scene in pixels; the input size of the model.
        seed: Seed of the first scene.
    """
    return Suite(
        name="text",
        datasets=(CaptionedScenes(count=count, seed=seed, size=size),),
        policies=(Texts(),),
        metrics=(TextIou(),),
        protocol={
            "scenes": count,
            "seed": seed,
            "size": size,
            "caption": "the shortest that is true of the object alone",
            "text": "the best-ranked mask of three",
            "wrong_text": "the caption of another object of the scene",
            "click": "the centre of the object; the best-ranked mask of three",
            "text_click": "the single mask",
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=("the paper published no numbers of text prompts",),
    )

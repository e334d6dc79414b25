"""Text prompts: masks from captions of drawn scenes, names and expressions of photos.

`text` is the mean IoU of the best-ranked mask for an object's caption, `text_oracle` that
of the best of its three masks by true IoU. `wrong_text` is what a caption of another
object of the same image scores, `no_text` an empty prompt, and `click` a click on the
centre of the object; `text_click` is of the single mask for caption and click together.
`absent_fp` and `presence_auroc` are of texts of what is not in the image
(`samjax.evaluation.metrics.presence`). The paper published no numbers of text prompts.
Referring expressions and the phrases of PhraseCut have the scores of `ReferringScores` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samjax.evaluation.datasets.captioned import HELD_OUT_SEED, CaptionedScenes
from samjax.evaluation.datasets.named_objects import NamedObjects
from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.evaluation.datasets.phrase_cut import (
    PhraseRegions,
    is_phrase_cut,
    read_phrase_cut,
)
from samjax.evaluation.datasets.referring import (
    ReferredObjects,
    is_referring,
    read_referring,
)
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.presence import Presence
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

    @property
    def needs_text(self) -> bool:
        """Whether the model has to take texts: not where a detector does."""
        return self.detector is None

    scenes: int | None = None
    """Number of scenes to draw, without --data (default: 100)."""

    seed: int = HELD_OUT_SEED
    """Seed of the first scene; those below 10000 are for training."""

    min_area: int | None = None
    """Least number of pixels of an object (with --data; default: 400, and 1 for
    referring expressions, whose sets are scored whole)."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (with --data; default: all)."""

    detector: str | None = None
    """Weights of OWLv2, such as google/owlv2-base-patch16-ensemble: its boxes of a text
    become masks, of a model that needs no text."""

    box_threshold: float | None = None
    """Least score of a box (with --detector; default: 0.2)."""

    presence: float = 0.5
    """Predicted IoU, or with --detector score, from which a text counts as found."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that the options are of photos or of scenes, and the model samjax's.

        Raises:
            OptionError: They are not, or the segmenter takes no text.
        """
        if segmenter != "samjax":
            raise OptionError(f"--segmenter {segmenter} takes no text: leave it out")
        if self.box_threshold is not None and self.detector is None:
            raise OptionError("--box-threshold is for the boxes of a --detector")
        for name in ("box_threshold", "presence"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"--{name.replace('_', '-')} {value}: use 0 to 1")
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
            size = image_size or 512
            return text_suite(
                count, size, seed=self.seed, presence=Presence(threshold=self.presence)
            )
        kinds = {_kind_of(path): path for path in data}
        if len(kinds) > 1:
            named = " beside ".join(f"{path} ({kind})" for kind, path in kinds.items())
            raise ValueError(
                f"got {named}, expected sets of one kind: evaluate them one after the "
                "other"
            )
        if (kind := next(iter(kinds))) != NAMES:
            chosen = Selection(min_area=self.min_area or 1, images=self.images)
            read = read_referring if kind == REFERRING else read_phrase_cut
            return referring_suite([read(path, chosen) for path in data], chosen)
        area = 400 if self.min_area is None else self.min_area
        selection = Selection(min_area=area, images=self.images)
        sets = [NamedObjects(read_photo_set(path), selection) for path in data]
        for path, named in zip(data, sets, strict=True):
            if not len(named):
                raise ValueError(
                    f"{path}: got no photo with one object of a category, expected some"
                )
        return names_suite(sets, selection, Presence(threshold=self.presence))


def _kind_of(path: Path) -> str:
    if is_referring(path):
        return REFERRING
    return PHRASES if is_phrase_cut(path) else NAMES


REFERRING, PHRASES, NAMES = "referring expressions", "phrases", "names of objects"


def names_suite(
    datasets: Sequence[NamedObjects], selection: Selection, presence: Presence
) -> Suite:
    """Returns the suite on named objects of photos.

    Args:
        datasets: The datasets.
        selection: The selection that they were opened with.
        presence: The scores of absent names.
    """
    return Suite(
        name="text",
        datasets=tuple(datasets),
        policies=(Texts(),),
        metrics=(TextIou(), presence),
        protocol={
            "objects": "the only ones of their category in the photo",
            "min_area": selection.min_area,
            "caption": "the name of the category with an article",
            "text": "the best-ranked mask of three",
            "wrong_text": "the name of another category of the photo, or of the set",
            "click": "the centre of the object; the best-ranked mask of three",
            "text_click": "the single mask",
            "absent": "a category of the set that no object of the photo has",
            "presence": presence.threshold,
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=("the paper published no numbers of text prompts",),
    )


def referring_suite(
    datasets: Sequence[ReferredObjects | PhraseRegions], selection: Selection
) -> Suite:
    """Returns the suite on referring expressions, or on phrases of several instances.

    Args:
        datasets: The splits.
        selection: The selection that they were opened with.
    """
    return Suite(
        name="text",
        datasets=tuple(datasets),
        policies=(Texts(),),
        metrics=(TextIou(), ReferringScores(), ReferringScores(round="text_all")),
        protocol={
            "objects": "one for each expression; of PhraseCut all instances of a phrase",
            "min_area": selection.min_area,
            "caption": "the expression (sent), or the phrase",
            "text_all": "the single mask for a phrase, or all instances of a detector",
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


def text_suite(
    count: int,
    size: int,
    *,
    seed: int = HELD_OUT_SEED,
    presence: Presence = Presence(),  # noqa: B008 (frozen)
) -> Suite:
    """Returns the suite on captioned scenes.

    Args:
        count: Number of scenes.
        size: Side of a scene in pixels; the input size of the model.
        seed: Seed of the first scene.
        presence: The scores of absent things.
    """
    return Suite(
        name="text",
        datasets=(CaptionedScenes(count=count, seed=seed, size=size),),
        policies=(Texts(),),
        metrics=(TextIou(), presence),
        protocol={
            "scenes": count,
            "seed": seed,
            "size": size,
            "caption": "the shortest that is true of the object alone",
            "text": "the best-ranked mask of three",
            "wrong_text": "the caption of another object of the scene",
            "click": "the centre of the object; the best-ranked mask of three",
            "text_click": "the single mask",
            "absent": "a thing that is not in the scene",
            "presence": presence.threshold,
            "intervals": "95 %, percentile bootstrap over images",
        },
        deviations=("the paper published no numbers of text prompts",),
    )

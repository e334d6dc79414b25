"""Text prompts: masks from captions of drawn scenes.

`text` is the mean IoU of the best-ranked mask for an object's caption, `text_oracle` that
of the best of its three masks by true IoU. `wrong_text` is what a caption of another
object of the same scene scores, `no_text` an empty prompt, and `click` a click on the
centre of the object; `text_click` is of the single mask for caption and click together.
The paper published no numbers of text prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samjax.evaluation.datasets.captioned import HELD_OUT_SEED, CaptionedScenes
from samjax.evaluation.metrics.mask_iou import MaskIou
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

    scenes: int = NUM_SCENES
    """Number of scenes to draw."""

    seed: int = HELD_OUT_SEED
    """Seed of the first scene; those below 10000 are for training."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is no data, and a model of samjax.

        Raises:
            OptionError: There is, or the segmenter takes no text.
        """
        if data:
            raise OptionError("--suite text draws its scenes: leave out --data")
        if segmenter != "samjax":
            raise OptionError(f"--segmenter {segmenter} takes no text: leave it out")
        if self.scenes < 1:
            raise OptionError(f"--scenes {self.scenes}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Returns the suite on captioned scenes."""
        return text_suite(self.scenes, image_size or 512, seed=self.seed)


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

"""Single-point evaluation (SAM, section 7.1): masks from clicks and from boxes.

On photos, scores are named by the number of clicks: `"1"` is the mean IoU of the mask that
the model ranks first after one click, `"oracle"` that of the best of its three masks by
true IoU after one click, `"oracle_3"` the same after three; `"box"`, `"box_oracle"` and
`"box_single"` are from the box of the object alone. On drawn scenes and during training
the names are `click_1`, `click_1_oracle` and so on. The score of a set is the mean over
its objects, the score of several sets the mean over the sets, both as in SAM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samjax.data.examples import ExampleSource
from samjax.data.synthetic import SceneConfig
from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.benchmarks import BENCHMARKS
from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.examples import HELD_OUT, ExampleSamples
from samjax.evaluation.datasets.sa23 import SA23, VARIANTS
from samjax.evaluation.datasets.scenes import HELD_OUT_SEED, DrawnScenes
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.detections import BOUNDARY_RATIO
from samjax.evaluation.edge_detectors import EDGE_DETECTORS
from samjax.evaluation.metrics.boundary_iou import BoundaryIou
from samjax.evaluation.metrics.calibration import Calibration
from samjax.evaluation.metrics.mask_iou import MaskIou, short_name
from samjax.evaluation.metrics.number_of_clicks import NumberOfClicks
from samjax.evaluation.metrics.paper_figures import PaperFigures
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.policies.interactive_clicks import (
    FirstClick,
    InteractiveClicks,
)
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NAME = "single-point"
NOC_THRESHOLDS = (0.85, 0.90, 0.95)
MAX_CLICKS = 20
NUM_SCENES = 500

CLICKS = (1, 3, 5)
PAPER_CLICKS = (1, 2, 3, 5, 9)

PUBLISHED = SA23 | VARIANTS | BENCHMARKS
"""The sets of `--dataset`, by name."""

_CLICK = "centre of the largest error; the last mask is fed back"
_FOR_PHOTOS = (
    *("dataset", "first_click", "min_area", "noc", "boundary", "resize"),
    *("images", "objects"),
)


@dataclass(frozen=True, kw_only=True)
class SinglePoint(SuiteOptions):
    """Options of the suite."""

    scenes: int | None = None
    """Number of scenes to draw, without --data (default: 500)."""

    seed: int | None = None
    """Seed of the scenes, by default one that no config of samjax trains on; with --data
    the seed of the drawn objects and of the bootstrap."""

    clicks: tuple[int, ...] | None = None
    """Numbers of clicks to score at (default: 1 3 5; with --dataset 1 2 3 5 9)."""

    dataset: tuple[str, ...] = ()
    """Names of the published sets that --data has, one per path: they are read as
    distributed, and the paper's sampled as there. The names: docs/evaluation_sets.md."""

    first_click: FirstClick | None = None
    """Where the first click is: the centre of the object, or any pixel of it (with
    --data; default: centre)."""

    min_area: int | None = None
    """Least number of pixels of an object (with --data; default: 400, with --dataset
    1)."""

    noc: bool = False
    """Count the clicks that IoUs of 0.85, 0.90 and 0.95 take, at most 20 (with --data)."""

    boundary: bool = False
    """Score IoUs of boundaries too, 0.02 of the diagonal wide (mBIoU; with --data)."""

    resize: Literal["longest", "square"] = "longest"
    """How photos become the model's input: longest keeps the aspect ratio, as the release
    does; square does not, as in evaluations of HQ-SAM (with --data)."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (with --data; default: all)."""

    objects: int | None = None
    """Most objects of a photo, drawn at random (with --data; default: all)."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that the options are of photos or of drawn scenes, not of both.

        Raises:
            OptionError: They contradict each other, or are too small.
        """
        if segmenter == "saved":
            self.saved()
        if segmenter in EDGE_DETECTORS:
            raise OptionError(
                f"--segmenter {segmenter} detects edges and segments no object: it is "
                "for --suite edges"
            )
        if self.clicks is not None and (not self.clicks or min(self.clicks) < 1):
            raise OptionError("--clicks: expected numbers of at least 1")
        for name in ("scenes", "min_area", "images", "objects"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"--{_words(name)} {value}: expected at least 1")
        unset = (None, False, (), "longest")
        given = [name for name in _FOR_PHOTOS if getattr(self, name) not in unset]
        if not data:
            given += ["segmenter"] if segmenter != "samjax" else []
            for name in given:
                raise OptionError(
                    f"--{_words(name)} is for photos: name sets of them with --data"
                )
        elif self.scenes is not None:
            raise OptionError("--scenes and --data: expected one of the two")
        if unknown := sorted({*self.dataset} - PUBLISHED.keys()):
            raise OptionError(
                f"--dataset {unknown[0]}: invalid choice, expected one of "
                f"{', '.join(PUBLISHED)}"
            )
        if self.dataset and len(self.dataset) != len(data):
            raise OptionError(
                f"--dataset: got {len(self.dataset)} names for {len(data)} paths of "
                "--data, expected one for each"
            )
        if self.resize == "square" and segmenter != "samjax":
            raise OptionError(
                f"--resize square is for models of samjax: leave it out, or --segmenter "
                f"{segmenter}"
            )
        if self.noc and segmenter == "grabcut":
            raise OptionError(
                "--noc counts clicks, and GrabCut takes a box: leave one out"
            )

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Returns the suite on photo sets, or without data on drawn scenes."""
        if not data:
            return scene_suite(
                NUM_SCENES if self.scenes is None else self.scenes,
                SceneConfig().size if image_size is None else image_size,
                seed=HELD_OUT_SEED if self.seed is None else self.seed,
                clicks=self.clicks or CLICKS,
            )
        usual_area = 1 if self.dataset else 400
        selection = Selection(
            min_area=usual_area if self.min_area is None else self.min_area,
            images=self.images,
            objects=self.objects,
            seed=self.seed or 0,
        )
        first_click = self.first_click or "centre"
        if not self.dataset:
            return photo_suite(
                [open_dataset(path, selection) for path in data],
                selection,
                clicks=self.clicks or CLICKS,
                noc=self.noc,
                first_click=first_click,
                boundary=self.boundary,
                resize=self.resize,
            )
        rows = [PUBLISHED[name] for name in self.dataset]
        opened = [
            row.open(path, selection) for row, path in zip(rows, data, strict=True)
        ]
        return photo_suite(
            opened,
            selection,
            clicks=self.clicks or PAPER_CLICKS,
            noc=self.noc,
            first_click=first_click,
            boundary=self.boundary,
            resize=self.resize,
            published={
                row.title: row.describe(samples)
                for row, samples in zip(rows, opened, strict=True)
            },
        )

    @property
    def to_square(self) -> bool:
        """Whether `--resize` is `square`."""
        return self.resize == "square"


def _words(field: str) -> str:
    return field.replace("_", "-")


def photo_suite(
    datasets: Sequence[Dataset],
    selection: Selection,
    *,
    clicks: Sequence[int] = (1, 3, 5),
    noc: bool = False,
    first_click: FirstClick = "centre",
    boundary: bool = False,
    resize: Literal["longest", "square"] = "longest",
    published: Mapping[str, Mapping[str, Any]] | None = None,
) -> Suite:
    """Returns the suite with intervals, calibration and numbers of clicks.

    Args:
        datasets: The datasets.
        selection: The selection that they were opened with.
        clicks: Numbers of clicks to score at; 1 is always one of them.
        noc: Whether to count the clicks that IoUs of 0.85, 0.90 and 0.95 take.
        first_click: Where the first click is.
        boundary: Whether boundary IoUs are scored too.
        resize: How the segmenter resizes photos, for the protocol.
        published: Descriptions of the sets of the paper (`PublishedSet.describe`).

    Raises:
        ValueError: A number of clicks is below 1, or there is no dataset.
    """
    counts = tuple(sorted({1, *clicks} if clicks else ()))
    thresholds = NOC_THRESHOLDS if noc else ()
    policy = InteractiveClicks(
        counts=counts,
        until=max(thresholds, default=None),
        max_clicks=MAX_CLICKS,
        first=first_click,
        seed=selection.seed,
    )
    figures = {
        name: of_set["paper"]
        for name, of_set in (published or {}).items()
        if of_set["paper"] is not None
    }
    return Suite(
        name=NAME,
        datasets=tuple(datasets),
        policies=(policy, Boxes()),
        metrics=(
            MaskIou(rename=short_name),
            *([BoundaryIou(rename=short_name)] if boundary else []),
            NumberOfClicks(
                thresholds=thresholds, max_clicks=MAX_CLICKS, seed=selection.seed
            ),
            Calibration(name="1", label="predicted IoU, 1 click"),
            PaperFigures(figures=figures, are_all=len(figures) == len(SA23)),
        ),
        protocol={
            "clicks": list(counts),
            "click": "the pixel of the largest error that is farthest from its border",
            "first_click_at": first_click,
            "later_clicks": "the single mask; the last mask's logits are fed back",
            "first_click": "the best-ranked mask of three",
            "box": "tight, of outermost pixels; the best-ranked mask of three",
            "ignored": "taken out of object, mask, clicks and box",
            "min_area": selection.min_area,
            "boundary": BOUNDARY_RATIO if boundary else None,
            "resize": resize,
            "noc_thresholds": list(thresholds),
            "max_clicks": MAX_CLICKS,
            "images": selection.images,
            "objects_per_image": selection.objects,
            "intervals": "95 %, percentile bootstrap over images",
            "seed": selection.seed,
            **({"published": published} if published else {}),
        },
        deviations=_deviations(selection, published or {}, resize),
        seed=selection.seed,
    )


def scene_suite(
    count: int,
    size: int,
    *,
    seed: int = HELD_OUT_SEED,
    clicks: Sequence[int] = (1, 3, 5),
) -> Suite:
    """Returns the suite of scores on drawn scenes with up to eight masks each.

    Args:
        count: Number of scenes.
        size: Side of a scene; the input size of the model.
        seed: Seed of the scenes; must differ from that of the training run.
        clicks: Numbers of clicks to score at.
    """
    scenes = SceneConfig(size=size, num_masks=8)
    return _scores_only(
        DrawnScenes(count=count, seed=seed, scenes=scenes),
        clicks,
        {
            "seed": seed,
            "clicks": list(clicks),
            "click": _CLICK,
            "scenes": vars(scenes),
        },
    )


def held_out_suite(
    source: ExampleSource,
    *,
    images: int | None = None,
    clicks: Sequence[int] = (1, 3),
    selection: Selection = HELD_OUT,
) -> Suite:
    """Returns the suite of scores on examples that training holds out.

    Args:
        source: The examples.
        images: Most examples, spread evenly over the source; None for all.
        clicks: Numbers of clicks to score at.
        selection: The objects to score.
    """
    selection = dataclasses.replace(selection, images=images)
    dataset = ExampleSamples(
        name="held-out examples", source=source, selection=selection
    )
    return _scores_only(
        dataset,
        clicks,
        {
            "images": len(dataset),
            "objects_per_image": selection.objects,
            "clicks": list(clicks),
            "click": _CLICK,
            "seed": selection.seed,
        },
    )


def _scores_only(
    dataset: Dataset, clicks: Sequence[int], protocol: dict[str, Any]
) -> Suite:
    return Suite(
        name=NAME,
        datasets=(dataset,),
        policies=(Boxes(), InteractiveClicks(counts=tuple(clicks))),
        metrics=(MaskIou(predicted=False),),
        protocol=protocol,
        scores_only=True,
    )


def _deviations(
    selection: Selection, published: Mapping[str, Mapping[str, Any]], resize: str
) -> tuple[str, ...]:
    """Returns where the protocol departs from that of SAM's section 7.1 or adds to it."""
    deviations = ["after the first click the last mask's logits are a prompt too"]
    if selection.min_area > 1:
        deviations.append(f"objects below {selection.min_area} pixels are left out")
    of_paper = [of_set for of_set in published.values() if of_set["paper"]]
    if len(of_paper) < len(published) or not published:
        deviations.insert(0, "other sets than the paper's 23")
    elif len(of_paper) < len(SA23):
        deviations.append(f"{len(of_paper)} of the paper's 23 sets")
    if of_paper:
        deviations.append("faces are not blurred")
    if any(of_set["sampled_to_masks"] for of_set in published.values()):
        deviations.append(
            f"photos are drawn with the seed {selection.seed}: the paper's samples are "
            "not published"
        )
    if resize == "square":
        deviations.append("photos are resized to a square, without their aspect ratio")
    if selection.images is not None or selection.objects is not None:
        deviations.append("not all photos or objects of the sets")
    return tuple(deviations)

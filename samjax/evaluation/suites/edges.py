"""Edge detection (SAM, section 7.2 and appendix D.2): ODS, OIS, AP and R50.

Edge maps of a promptable model or of an edge detector against the boundaries that
several people drew, by the benchmark of BSDS500.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samjax.evaluation.datasets.boundary_sets import open_boundary_set
from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.edge_detectors import EDGE_DETECTORS
from samjax.evaluation.metrics.edge_scores import MAX_DISTANCE, THRESHOLDS, spaced
from samjax.evaluation.metrics.edges import Edges
from samjax.evaluation.policies.edge_maps import EdgeMaps
from samjax.evaluation.policies.edge_nms import EdgeNms
from samjax.evaluation.policies.mask_edges import Boundary
from samjax.evaluation.saved_edges import SavedEdges
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions

NAME = "edges"

MODELS = ("samjax", "reference", "transformers")
"""Segmenters that predict the probability of a mask at every pixel."""


@dataclass(frozen=True, kw_only=True)
class EdgeDetection(SuiteOptions):
    """Options of the suite."""

    split: Literal["test", "val", "train"] = "test"
    """The split of the data."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    points_per_side: int = 16
    """Points along each side of the grid that a model is prompted with."""

    nms: float = 0.7
    """IoU of boxes above which the lower-ranked of two masks is dropped."""

    boundary: Boundary = "outer"
    """Pixels at which the edges of a mask count: outside of it, or on both sides."""

    edge_nms: EdgeNms | None = None
    """Suppression of pixels beside ridges of the edge map: by the Hessian, as the toolbox
    of structured edges does, or none (default: hessian for models, none for edge detectors
    and saved maps)."""

    max_distance: float = MAX_DISTANCE
    """Largest distance of matched pixels, as a share of the diagonal of the image."""

    thresholds: int = len(THRESHOLDS)
    """Thresholds of an edge map, evenly spaced."""

    results: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """For --segmenter saved: a folder with the edge map of every photo, a grey PNG file
    of its name."""

    workers: int | None = None
    """Processes that match edges (default: the number of cores)."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a model that gives edges, and sensible numbers.

        Raises:
            OptionError: It is not so.
        """
        if not data:
            raise OptionError(
                "--suite edges: name sets of photos with boundary maps with --data"
            )
        detectors = (*EDGE_DETECTORS, "saved")
        if segmenter not in (*MODELS, *detectors):
            raise OptionError(
                f"--segmenter {segmenter}: --suite edges expects a model whose masks have "
                f"probabilities ({', '.join(MODELS)}), or one of {', '.join(detectors)}"
            )
        if (segmenter == "saved") != (self.results is not None):
            raise OptionError(
                "--segmenter saved and --results DIR: expected both or neither"
            )
        for name in ("images", "points_per_side", "thresholds", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                words = name.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least 1")
        if not 0 <= self.nms <= 1:
            raise OptionError(f"--nms {self.nms}: expected an IoU from 0 to 1")
        if not 0 <= self.max_distance <= 0.1:
            raise OptionError(
                f"--max-distance {self.max_distance}: expected a share of the diagonal "
                "from 0 to 0.1"
            )

    def saved(self) -> SavedEdges:
        """Returns the edge maps of `--results`.

        Raises:
            OptionError: They are not named.
        """
        if self.results is None:
            raise OptionError("--segmenter saved: name the edge maps with --results")
        return SavedEdges(self.results)

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        # Edge detectors have no input size.
        from_masks = image_size is not None
        default: EdgeNms = "hessian" if from_masks else "none"
        return edge_suite(
            [
                open_boundary_set(path, split=self.split, images=self.images)
                for path in data
            ],
            EdgeMaps(
                points_per_side=self.points_per_side,
                nms=self.nms,
                boundary=self.boundary,
                edge_nms=self.edge_nms or default,
            ),
            from_masks=from_masks,
            thresholds=spaced(self.thresholds),
            max_distance=self.max_distance,
            protocol={"split": self.split, "images": self.images},
            workers=self.workers or os.cpu_count() or 1,
        )


def edge_suite(
    datasets: Sequence[Dataset],
    policy: EdgeMaps,
    *,
    from_masks: bool = True,
    thresholds: Sequence[float] = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
    protocol: dict[str, Any] | None = None,
    workers: int = 1,
) -> Suite:
    """Returns the suite.

    Args:
        datasets: The sets, as `open_boundary_set` opens them.
        policy: How edge maps are made.
        from_masks: Whether they are made from masks, not by an edge detector.
        thresholds: Thresholds at which edge maps are binarized, ascending.
        max_distance: Largest distance of matched pixels, as a share of the diagonal.
        protocol: Further choices to list.
        workers: Processes that match edges.

    Raises:
        ValueError: There is no dataset.
    """
    metric = Edges(thresholds=tuple(thresholds), max_distance=max_distance)
    pipeline = {
        "points_per_side": policy.points_per_side,
        "nms": policy.nms,
        "boundary": policy.boundary,
    }
    return Suite(
        name=NAME,
        datasets=tuple(datasets),
        policies=(policy,),
        metrics=(metric,),
        protocol={
            **(protocol or {}),
            "thresholds": list(metric.thresholds),
            "max_distance": max_distance,
            "matching": "most pairs, then least distance; exact, per component",
            "thinning": "Guo-Hall, at every threshold",
            "edge_nms": policy.edge_nms,
            **(pipeline if from_masks else {}),
        },
        deviations=_deviations(policy, from_masks, max_distance),
        heading="edges",
        workers=workers,
    )


def _deviations(
    policy: EdgeMaps, from_masks: bool, max_distance: float
) -> tuple[str, ...]:
    """Returns where the protocol departs from the paper, or the paper leaves it open."""
    distance = (
        "the paper does not state the largest distance of matched pixels: "
        f"{max_distance} of the diagonal"
    )
    matching = (
        "matching is exact; the program of the benchmark is random, and loses a pair now "
        "and then"
    )
    if not from_masks:
        return distance, matching
    pixels = {
        "outer": "pixels outside that touch it by a side or a corner",
        "both": "pixels on both sides that touch the other by a side or a corner",
    }[policy.boundary]
    boundary = f"the paper does not define the outer boundary of a mask: {pixels}"
    thinned = {
        "hessian": "edge NMS: maxima across the ridge by the Hessian of the smoothed map, "
        "where the paper cites Canny's",
        "structured": "edge NMS of the toolbox of structured edges, where the paper cites "
        "Canny's",
        "none": "no edge NMS",
    }[policy.edge_nms]
    deviations = [distance, matching, boundary, thinned]
    if policy.points_per_side != 16 or policy.nms != 0.7:
        side = policy.points_per_side
        deviations.append(
            f"a grid of {side} x {side} points and NMS at {policy.nms}, where the paper "
            "has 16 x 16 and 0.7"
        )
    return tuple(deviations)

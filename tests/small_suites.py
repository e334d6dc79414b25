"""Every suite on small drawn data, with a segmenter that does well on some objects."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from boundary_set_files import write_file_layout
from detection_set_files import write_coco
from people_files import PEOPLE, write_miap, write_rows
from probe_embedder import ColorEmbedder
from small_photo_set import TWO, ColorSegmenter, square, write_set

from samjax.evaluation.edge_detectors import CANNY
from samjax.evaluation.no_model import NoModel
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites.audit import Audit
from samjax.evaluation.suites.edges import EdgeDetection
from samjax.evaluation.suites.fairness import Clothing, Fairness
from samjax.evaluation.suites.geography import Geography
from samjax.evaluation.suites.instances import Instances
from samjax.evaluation.suites.probe import Probe
from samjax.evaluation.suites.proposals import ObjectProposals
from samjax.evaluation.suites.single_point import SinglePoint
from samjax.evaluation.suites.statistics import Statistics
from samjax.evaluation.suites.text import Text


class PartSegmenter(ColorSegmenter):
    """Finds the upper part of an object, a share that depends on the prompt alone."""

    def truth(self, image, prompt):
        mask = super().truth(image, prompt)
        corner = prompt.points[0] if prompt.box is None else prompt.box[:2]
        share = 0.3 + 0.6 * ((7 * corner[0] + 13 * corner[1]) % 17) / 17
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return mask
        return mask & (np.arange(len(mask)) < rows[0] + share * len(rows))[:, None]


class TextSegmenter(PartSegmenter):
    """Takes texts too, of which it reads the length."""

    prompt_kinds = frozenset(("points", "box", "mask", "text"))

    def truth(self, image, prompt):
        clicks = 0 if prompt.points is None else len(prompt.points)
        return image[..., 0] > 60 + 3 * len(prompt.text or "") + clicks


class Case(NamedTuple):
    """A suite to run.

    Attributes:
        open: Writes the data into a folder and returns the suite.
        segmenter: Makes the segmenter.
    """

    open: Callable[[Path], Suite]
    segmenter: Callable[[], object] = PartSegmenter


THREE = [TWO, TWO[:1], TWO]


def _fairness(folder: Path) -> Suite:
    data = write_set(folder / "people", [PEOPLE] * 3)
    rows = [
        {"annotation": n, "gender": "left" if n % 2 else "right"} for n in range(1, 7)
    ]
    groups = write_rows(folder / "groups.csv", rows)
    return Fairness(groups=groups).make([data], None)


def _clothing(folder: Path) -> Suite:
    return Clothing().make([write_miap(folder / "miap")], None)


def _geography(folder: Path) -> Suite:
    table = write_rows(
        folder / "places.csv",
        [
            {"image": f"{number:03d}.png", "country": country}
            for number, country in enumerate(("Kenya", "Italy", "Kenya"))
        ],
    )
    return Geography(table=table).make([write_set(folder / "set", THREE)], None)


def _audit(folder: Path) -> Suite:
    corrected = [[square(5, 5, 20), TWO[1]], TWO[:1], [square(6, 6, 22), TWO[1]]]
    automatic = write_set(folder / "automatic", THREE)
    other = write_set(folder / "corrected", corrected)
    return Audit(corrected=(other,)).make([automatic], None)


def _two_sets(folder: Path) -> list[Path]:
    return [write_set(folder / "birds", THREE), write_set(folder / "fish", [TWO] * 2)]


SUITES: dict[str, Case] = {
    "single-point": Case(
        lambda folder: SinglePoint(min_area=1, noc=True, clicks=(1, 2)).make(
            _two_sets(folder), None
        )
    ),
    "edges": Case(
        lambda folder: EdgeDetection(thresholds=5, workers=1).make(
            [write_file_layout(folder / "set", 3)], None
        ),
        lambda: CANNY,
    ),
    "proposals": Case(
        lambda folder: ObjectProposals(points_per_side=6).make(
            [write_coco(folder / "set")], None
        )
    ),
    "instances": Case(
        lambda folder: Instances(save_masks=True, boundary=True).make(
            [write_coco(folder / "set")], None
        )
    ),
    "fairness": Case(_fairness),
    "clothing": Case(_clothing),
    "geography": Case(_geography),
    "probe": Case(
        lambda folder: Probe(neighbours=2, min_area=1).make(
            [write_set(folder / "set", THREE)], None
        ),
        ColorEmbedder,
    ),
    "statistics": Case(
        lambda folder: Statistics().make([write_set(folder / "set", THREE)], None),
        NoModel,
    ),
    "audit": Case(_audit, NoModel),
    "text": Case(lambda folder: Text(scenes=3).make([], 96), TextSegmenter),
}
"""The suites of `samjax evaluate`, by name."""


def content_of_result(result, folder: Path) -> dict:
    """The JSON of a result without its times."""
    file = folder / "content.json"
    result.save(file, overwrite=True)
    content = json.loads(file.read_text())
    for of_set in content["sets"]:
        del of_set["seconds"]
    return content

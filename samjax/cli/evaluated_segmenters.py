"""The segmenters that `samjax evaluate` takes: models of samjax, and those of others."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL
from samjax.evaluation.segmenters import SEGMENTERS, make_segmenter
from samjax.evaluation.suites import OptionError

if TYPE_CHECKING:
    from samjax.evaluation.edge_detectors import EdgeDetector
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.suites import SuiteOptions

SegmenterName = Literal[
    "samjax",
    "reference",
    "transformers",
    "grabcut",
    "canny",
    "sobel",
    "recorded",
    "saved",
]
"""Names of segmenters: samjax, rows of `SEGMENTERS`, edge detectors, saved masks."""


class Named(NamedTuple):
    """A segmenter as the command line names it.

    Attributes:
        name: Name of the segmenter.
        weights: Its weights; None for the default, or where there are none.
    """

    name: str
    weights: str | None = None

    @property
    def label(self) -> str:
        """Its name in a comparison, and that of its folder."""
        if self.weights is None:
            return self.name
        stem = Path(self.weights).stem or self.weights
        label = stem if self.name == "samjax" else f"{self.name}-{stem}"
        return re.sub(r"[^\w.-]", "_", label)


def named_segmenter(name: str, weights: str | None) -> Named:
    """Returns a segmenter whose name and weights fit together.

    Args:
        name: Name of the segmenter.
        weights: Its weights.

    Raises:
        UsageError: It has none and some are given, or needs some and has none.
    """
    if name == "samjax":
        return Named(name, weights or DEFAULT_MODEL)
    wanted = SEGMENTERS[name].weights if name in SEGMENTERS else ""
    if weights and not wanted:
        raise UsageError(f"--segmenter {name} has no weights: leave out {weights}")
    if wanted and not weights:
        raise UsageError(f"--segmenter {name}: name its weights with --model, {wanted}")
    return Named(name, weights)


def parse_segmenter(text: str) -> Named:
    """Parses NAME or NAME:WEIGHTS of `--against`; weights alone are samjax's.

    Args:
        text: The word of the command line.

    Raises:
        UsageError: Name and weights do not fit together.
    """
    name, _, weights = text.partition(":")
    if name not in get_args(SegmenterName):
        return Named("samjax", text)
    return named_segmenter(name, weights or None)


def load_segmenter(
    named: Named, dtype: str, options: SuiteOptions, *, embeddings: Path | None = None
) -> Segmenter | EdgeDetector:
    """Makes a segmenter.

    Args:
        named: The segmenter.
        dtype: Precision of samjax's models.
        options: The options of the suite, with the files of saved masks.
        embeddings: A folder for the image embeddings of samjax's models; None for none.

    Raises:
        UsageError: The suite does not score saved predictions, or the detector is none.
        ValueError: The weights cannot be used.
        ImportError: A package that it needs is missing.
        OSError: The weights are not there or cannot be read.
    """
    if not options.needs_model:
        from samjax.evaluation.no_model import NoModel

        return NoModel()
    from samjax.evaluation.edge_detectors import EDGE_DETECTORS

    if named.name in EDGE_DETECTORS:
        return EDGE_DETECTORS[named.name]
    if named.name == "saved":
        try:
            return options.saved()
        except OptionError as error:
            raise UsageError(str(error)) from error
    if named.name in SEGMENTERS:
        return make_segmenter(named.name, named.weights)
    from samjax.cli.loading import load_predictor
    from samjax.evaluation.segmenter import PredictorSegmenter

    model = named.weights or DEFAULT_MODEL
    predictor = load_predictor(model, dtype)
    segmenter = PredictorSegmenter(predictor, model, options.to_square)
    if embeddings is not None:
        from samjax.evaluation.segmenters.cached import CachedSegmenter

        segmenter = CachedSegmenter(
            predictor, model, options.to_square, folder=embeddings
        )
    return _with_detector(segmenter, options)


def _with_detector(segmenter: Segmenter, options: SuiteOptions) -> Segmenter:
    """Returns a segmenter whose texts a detector answers, where the suite has one."""
    from samjax.evaluation.suites.text import Text

    if not isinstance(options, Text) or options.detector is None:
        return segmenter
    import samjax
    from samjax.evaluation.segmenters.detected import DetectorSegmenter
    from samjax.inference.detectors import OwlDetector
    from samjax.inference.embedding import weights_fingerprint
    from samjax.models.owl import Owl

    model, params = samjax.load(options.detector)
    if not isinstance(model, Owl):
        raise UsageError(
            f"--detector {options.detector} is a {type(model).__name__}, expected OWLv2"
        )
    about = {
        "name": options.detector,
        "weights": weights_fingerprint(model.config, params),
    }
    # Each text by itself: expressions of one object do not compete for its box.
    detector = OwlDetector(model, params, is_exclusive=False)
    if options.box_threshold is None:
        return DetectorSegmenter(segmenter, detector, about)
    return DetectorSegmenter(segmenter, detector, about, options.box_threshold)


@contextlib.contextmanager
def recording(
    segmenter: Segmenter | EdgeDetector, path: Path, *, overwrite: bool
) -> Iterator[Segmenter]:
    """Returns a segmenter whose predictions are written to a file, whole at the end.

    Args:
        segmenter: The segmenter.
        path: The file.
        overwrite: Whether a file that is no result of an evaluation is replaced.

    Raises:
        UsageError: The segmenter takes no prompts.
        WouldReplace: Such a file is there, and stays as it is.
        OSError: It cannot be written.
    """
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.segmenters.recorded import Recorder
    from samjax.files import check_replaceable, replacing

    if not isinstance(segmenter, Segmenter) or not segmenter.prompt_kinds:
        raise UsageError("--record is for segmenters that take prompts: leave it out")
    check_replaceable(path, "evaluation", overwrite=overwrite)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield Recorder(segmenter, file.write)

"""Adapters of promptable segmenters other than samjax, and the table of them.

To add one, write a file with a class that follows the protocol `Segmenter` and a function
that makes it, and add a row to `SEGMENTERS`. Packages of other models are imported when
the segmenter is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from samjax.evaluation.segmenter import Segmenter


class Adapter(NamedTuple):
    """How a segmenter is made.

    Attributes:
        make: Import path of a function that takes the path of the weights, or nothing
            where there are none.
        weights: What its weights are; empty for segmenters without weights.
        image_size: Import path of a function from the path of the weights to the side of
            the model's input in pixels; empty for segmenters without such a size.
    """

    make: str
    weights: str = ""
    image_size: str = ""


SEGMENTERS: dict[str, Adapter] = {
    "grabcut": Adapter("samjax.evaluation.grabcut.GrabCut"),
    "reference": Adapter(
        "samjax.evaluation.segmenters.torch_reference.load_reference",
        "a .pth file of Segment Anything, such as sam_vit_b_01ec64.pth",
        "samjax.evaluation.segmenters.torch_reference.image_size_of",
    ),
    "transformers": Adapter(
        "samjax.evaluation.segmenters.hugging_face.load_transformers",
        "a folder of Hugging Face with a SamModel",
        "samjax.evaluation.segmenters.hugging_face.image_size_of",
    ),
    "recorded": Adapter(
        "samjax.evaluation.segmenters.recorded.read_predictions",
        "a file of predictions that --record wrote",
    ),
}
"""The segmenters of `samjax evaluate --segmenter` beside samjax, by name."""


def make_segmenter(name: str, weights: str | None = None) -> Segmenter:
    """Makes a segmenter of the table.

    Args:
        name: Name of the segmenter.
        weights: Path of its weights; None for segmenters without.

    Raises:
        KeyError: There is no such segmenter.
        ValueError: Weights are missing, or cannot be used, or there are none.
        ImportError: A package that it needs is missing.
        OSError: The weights are not there or cannot be read.
    """
    adapter = SEGMENTERS[name]
    if bool(adapter.weights) != (weights is not None):
        wanted = adapter.weights or "no weights"
        raise ValueError(
            f"the segmenter {name}: got the weights {weights}, expected {wanted}"
        )
    make = _imported(adapter.make)
    return make() if weights is None else make(weights)


def image_size_of(name: str, weights: str | None) -> int | None:
    """Returns the side of a segmenter's input in pixels, without loading its weights.

    Args:
        name: Name of the segmenter.
        weights: Path of its weights.

    Returns:
        The side; None for segmenters without one.

    Raises:
        ValueError: The weights cannot be used.
        OSError: They are not there or cannot be read.
    """
    path = SEGMENTERS[name].image_size if name in SEGMENTERS else ""
    return _imported(path)(weights) if path else None


def _imported(path: str) -> Any:
    module, _, function = path.rpartition(".")
    return getattr(importlib.import_module(module), function)

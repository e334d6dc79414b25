"""Edge detectors without learning: Canny and Sobel. Need the `eval` extra.

Both are OpenCV's `Canny` at 99 thresholds: the strength of a pixel is the highest
threshold at which it is an edge. Edges are one pixel wide, by suppression along the
gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from samjax.evaluation.segmenter import PromptKind

_STEPS = 99

# OpenCV takes gradients as int16. A grey level per pixel is 8 in the sum of the Sobel
# kernel, and 8 more keep fractions of smoothed images.
_UNITS = 64


@runtime_checkable
class EdgeDetector(Protocol):
    """A model whose edge maps are evaluated as they are."""

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """None: it takes no prompts."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Returns its name and the fields that identify it in a result file."""
        ...

    def detect_edges(
        self, image: UInt8[np.ndarray, "h w 3"], name: str = ""
    ) -> Float[np.ndarray, "h w"]:
        """Returns the strength of the edge at every pixel, from 0 to 1.

        Args:
            image: The image.
            name: Its name in the dataset, by which saved edge maps are found.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientEdges:
    """A detector of maxima of the gradient of brightness.

    Attributes:
        name: Name of the detector.
        sigma: Standard deviation of the Gaussian that smooths the image, in pixels; 0
            for none.
        low: The low threshold of the hysteresis as a share of the high one; 1 for no
            hysteresis.
        largest: Gradient of the strength 1, in grey levels per pixel. Thresholds are
            spaced by the square root.
    """

    name: str
    sigma: float
    low: float
    largest: float

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """None: it takes no prompts."""
        return frozenset()

    def describe(self) -> Mapping[str, Any]:
        """Returns the name and the parameters."""
        return dataclasses.asdict(self)

    def detect_edges(
        self, image: UInt8[np.ndarray, "h w 3"], name: str = ""
    ) -> Float[np.ndarray, "h w"]:
        """Returns the strength of the edge at every pixel, from 0 to 1.

        Args:
            image: The image.
            name: Is not used.

        Raises:
            ImportError: OpenCV is missing.
        """
        cv2 = _cv2()
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        border = {"borderType": cv2.BORDER_REPLICATE}
        if self.sigma:
            grey = cv2.GaussianBlur(grey, (0, 0), self.sigma, **border)
        gradients = (
            np.rint(cv2.Sobel(grey, cv2.CV_32F, *order, **border) * (_UNITS / 8))
            for order in ((1, 0), (0, 1))
        )
        across, down = (gradient.astype(np.int16) for gradient in gradients)
        strengths = np.zeros(grey.shape, np.float32)
        for step in range(1, _STEPS + 1):
            high = _UNITS * self.largest * (step / 100) ** 2
            edges = cv2.Canny(across, down, self.low * high, high, L2gradient=True) > 0
            if not edges.any():
                break
            # Rounded up to 8 bits, and above levels that are equal to the threshold
            # step / 100, so that it includes the strength.
            strengths[edges] = np.ceil(255 * step / 100 + 1e-6) / 255
        return strengths


CANNY = GradientEdges(name="canny", sigma=2.0, low=0.4, largest=40.0)
"""Canny at the scale of 2 pixels, with the ratio of thresholds of MATLAB's `edge`."""

SOBEL = GradientEdges(name="sobel", sigma=0.0, low=1.0, largest=128.0)
"""The gradient of the 3 x 3 Sobel kernel, without smoothing or hysteresis."""

EDGE_DETECTORS: dict[str, EdgeDetector] = {"canny": CANNY, "sobel": SOBEL}
"""The detectors of `samjax evaluate --segmenter`."""


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "edge detection needs OpenCV: run pip install 'samjax[eval]'"
        ) from error
    return cv2

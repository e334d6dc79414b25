"""Detectors: boxes of what texts describe, for `segment_text`.

Any object with a method `detect` is one. OWLv2 (`owl`) is samjax's own; `fixed` has boxes
that were found elsewhere.
"""

from samjax.inference.detectors.detector import BoxDetector, Detections
from samjax.inference.detectors.fixed import FixedBoxes
from samjax.inference.detectors.owl import OwlDetector

__all__ = ["BoxDetector", "Detections", "FixedBoxes", "OwlDetector"]

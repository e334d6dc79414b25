"""The interface of `segment_anything` 1.0 over samjax: numpy in, numpy out.

Code written for the reference runs after its import line is changed:

    from samjax.compat import SamPredictor, sam_model_registry

    sam = sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")
    sam.to(device="cuda")
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    masks, scores, logits = predictor.predict(point_coords=points, point_labels=labels)

Differences: arrays are numpy, where the reference has tensors (arguments may be any
arrays that numpy can read, CPU tensors among them); JAX chooses the device; a wrong
argument is a `ValueError` with the expected form, and still an `AssertionError`. Prefer
`samjax.Predictor` in new code: it has no hidden state and predicts in batches.
"""

from samjax.compat.automatic import SamAutomaticMaskGenerator
from samjax.compat.model import (
    Sam,
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    sam_model_registry,
)
from samjax.compat.predictor import SamPredictor
from samjax.compat.transforms import ResizeLongestSide

__all__ = [
    "ResizeLongestSide",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]

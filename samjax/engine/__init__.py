"""The data engine: stages that make masks for models to be trained on (SAM, section 4).

There is the third stage in small, pseudo-labels: `pseudo_labels` has what becomes of one
photo, `labelling` the run over many.
"""

from samjax.engine.labelling import label_photos
from samjax.engine.photos import Photos, open_photos
from samjax.engine.pseudo_labels import PseudoLabelConfig, label_photo

__all__ = [
    "Photos",
    "PseudoLabelConfig",
    "label_photo",
    "label_photos",
    "open_photos",
]

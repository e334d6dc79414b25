"""The data engine (SAM, section 4): jobs over datasets, and stages that make masks.

`run` segments everything in many images into a folder, resumable and shared by processes;
`schedule` keeps several images in flight, and `run_folder` knows the results of earlier
runs. `annotations` stores the masks of the assisted-manual stage. The fully automatic
stage is there in small: `pseudo_labels` labels one photo, `labelling` many.
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

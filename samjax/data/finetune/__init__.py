"""Datasets of users, to fine-tune on: COCO files, folders of masks, MedSAM's npz files.

Each is an `ExampleSource` that gives SA-1B-like records, whatever the files are:

`CocoSource`: a COCO file of instances (polygons, run lengths; crowds are left out where
there are other masks), or a folder with one such file. Images lie beside it, in `images/` beside it or one folder
up, or one folder up in a folder called as the file without `instances_`, as in COCO
itself.

`FolderSource`: a folder with `images/` and `masks/`, paired by name:

    images/leaf.jpg   masks/leaf.png            a label map: 0 nothing, k object k;
                                                black and white is one object; in a
                                                colour image each colour is one
    images/leaf.jpg   masks/leaf_0.png, ...     an object each, what is bright
    images/leaf.jpg   masks/leaf/anything.png   the same in a folder of its own

`NpzSource`: a `.npz` file or a folder of them, each with `imgs` and `gts`: an image
(h, w) or (h, w, 3) and its label map (h, w), or a volume (d, h, w) and the labels of
its slices. A slice is an example.

Photos are turned upright by their EXIF orientation, as labelling tools show them, unless
their masks say, or their size tells, that these lie on the pixels as stored.

Images without masks are left out when a dataset is opened, since they teach nothing; of
a COCO file they can be asked for, and images can be left out by their licence.
What cannot be used is left out too and named in `problems`; a dataset of which nothing
can be used is a ValueError. Later nothing is raised: a file that has gone bad is None.
"""

import os
from collections.abc import Sequence
from typing import Literal

from samjax.data.finetune.coco import CocoSource
from samjax.data.finetune.folder import FolderSource
from samjax.data.finetune.npz import NpzSource
from samjax.data.finetune.split import Subset, split_examples

__all__ = [
    "CocoSource",
    "FolderSource",
    "NpzSource",
    "Subset",
    "UserFormat",
    "open_examples",
    "split_examples",
]

UserFormat = Literal["coco", "folder", "npz"]


def open_examples(
    path: str | os.PathLike,
    format: UserFormat,
    *,
    separate: bool = False,
    unlabelled: bool = False,
    crowds: bool = False,
    exclude_licences: Sequence[str] = (),
    images: str | os.PathLike | None = None,
) -> CocoSource | FolderSource | NpzSource:
    """Opens a dataset of a user.

    Args:
        path: Of the dataset.
        format: What it is.
        separate: Whether each connected region of a label is an object of its own: for
            label maps that say what a pixel is, not which thing it belongs to. COCO's
            files name each object and are not changed.
        unlabelled: Whether images without masks are kept; for COCO's files.
        crowds: Whether masks with `iscrowd` are kept; for COCO's files.
        exclude_licences: Licences whose images are left out; for COCO's files.
        images: Folder of the images of a COCO file; None looks for it.

    Raises:
        ValueError: It is no such dataset, or nothing of it can be used.
        OSError: It is not there or cannot be read.
    """
    if format == "coco":
        return CocoSource(
            path,
            images=images,
            unlabelled=unlabelled,
            crowds=crowds,
            exclude_licences=exclude_licences,
        )
    if format == "folder":
        return FolderSource(path, separate=separate)
    if format == "npz":
        return NpzSource(path, separate=separate)
    raise ValueError(f"got {format=}, expected 'coco', 'folder' or 'npz'")

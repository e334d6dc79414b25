"""Fine-tuning datasets: COCO files, folders of images and masks, MedSAM's npz files.

Each is an `ExampleSource` of records in SA-1B's form:

`CocoSource`: a COCO instances file (polygons or RLE; crowds are left out unless there
are no other masks), or a folder with one such file. The images are beside it, in
`images/` beside it or one folder up, or one folder up in a folder with the file's name
without `instances_`, as in COCO itself.

`FolderSource`: a folder with `images/` and `masks/`, paired by name:

    images/leaf.jpg   masks/leaf.png            a label map: 0 background, k object k;
                                                black and white is a single object; in a
                                                colour image each colour is an object
    images/leaf.jpg   masks/leaf_0.png, ...     an object each, its pixels bright
    images/leaf.jpg   masks/leaf/anything.png   the same in a folder of its own

`NpzSource`: a `.npz` file or a folder of them, each with `imgs` and `gts`: an image (h,
w) or (h, w, 3) and its label map (h, w), or a volume (d, h, w) and the label maps of
its slices. Each slice is an example.

Photos are turned upright by their EXIF orientation, as labelling tools show them,
unless the record declares, or the size of the masks implies, that the masks refer to
the pixels as stored.

Images without masks are left out when a dataset is opened, as training cannot use them;
a COCO file can be opened with them, and images can be excluded by licence. Unusable
files are left out too and listed in `problems`; a dataset without any usable file is a
ValueError. Reading an example raises nothing: a file that has been damaged since is
None.
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
    """Opens a fine-tuning dataset.

    Args:
        path: Path of the dataset.
        format: Format of the dataset.
        separate: Whether each connected region of a label is an object of its own, for
            semantic label maps. Has no effect on COCO files, which list objects.
        unlabelled: Whether to keep images without masks; for COCO files.
        crowds: Whether to keep masks with `iscrowd`; for COCO files.
        exclude_licences: Licences whose images are left out; for COCO files.
        images: Folder of the images of a COCO file; None searches for it.

    Raises:
        ValueError: It is not such a dataset, or no part of it can be used.
        OSError: The dataset does not exist or cannot be read.
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

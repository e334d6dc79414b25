"""Image embeddings and their on-disk format.

An embedding is worth storing: the encoder is nearly all of the work, and every prompt
starts from its output. With other weights it gives wrong masks without an error, so the
file has a fingerprint of the encoder, and a `Predictor` refuses any other.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import jax
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, Float

from samjax.files import json_object, json_text, replacing
from samjax.geometry.frame import Frame
from samjax.models.sam import SamConfig

FORMAT = "samjax image embedding"
VERSION = 1
# Files of samjax have headers of some 400 bytes.
MAX_HEADER = 2**16
MOST_PIXELS = 2**32 - 1  # COCO's tools hold run lengths in 32 bits.


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """Output of the image encoder for one image; made by `Predictor.embed`.

    Attributes:
        features: float32, one vector per patch of the padded model frame. It stays on
            the device that computed it.
        frame: the frame of the image, which maps prompts and masks.
        fingerprint: the image encoder's; see `fingerprint`.
    """

    features: Float[Array, "gh gw c"]
    frame: Frame
    fingerprint: str

    def save(self, path: str | os.PathLike) -> None:
        """Writes the embedding to one file (safetensors; 4 MiB for released models).

        The file is written under another name in the same folder and renamed, so that
        it is complete or absent.
        """
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "original_size": self.frame.original_size,
            "resized_size": self.frame.resized_size,
            "model_size": self.frame.model_size,
            "fingerprint": self.fingerprint,
        }
        features = np.ascontiguousarray(self.features, np.float32)
        header["crc32"] = _checksum(header, features)
        content = safetensors.numpy.save(
            {"features": features}, {"samjax": json_text(header)}
        )
        with replacing(path) as hidden:
            hidden.write_bytes(content)

    @classmethod
    def load(cls, path: str | os.PathLike) -> ImageEmbedding:
        """Reads an embedding that `save` wrote.

        The fingerprint is checked on use: `Predictor.predict` refuses an embedding of
        other weights.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is truncated, damaged, of another kind, or of another
                version.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"got {path}, which is not a file")
        try:
            _check_length(path)
            with safetensors.safe_open(path, framework="np") as file:
                header = _checked_header(file.metadata() or {}, path)
                dtype = file.get_slice("features").get_dtype()
                features = file.get_tensor("features") if dtype == "F32" else None
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"got {path}, which is damaged, cut off or no safetensors file "
                f"({error}): embed the image again, and save it"
            ) from error
        frame = None if features is None else _sound_frame(header, features)
        if features is None or frame is None:
            shape = None if features is None else features.shape
            raise ValueError(
                f"got {path}, whose contents contradict each other or their checksum "
                f"(features of {dtype} {shape}, {header!s:.500}): embed the image again"
            )
        return cls(jax.device_put(features), frame, header["fingerprint"])


def fingerprint(config: SamConfig, params: Mapping[str, Any]) -> str:
    """Returns a fingerprint of the image encoder.

    A SHA-256 over the encoder's sizes, and over the name, shape and content of each of
    its parameters. Prompt encoder and mask decoder are left out, since embeddings do
    not depend on them. A parameter's content enters as a strided sample of at most 4096
    numbers and as the 64-bit sum of all: any single change moves the sum, and an
    exchange that leaves the sum moves the sample. (Hashing every byte of the largest
    model would take seconds.) It detects mistakes, not forgery.
    """
    return _fingerprint(config, params["image_encoder"], left_out=_NOT_ENCODER)


def weights_fingerprint(config: SamConfig, params: Mapping[str, Any]) -> str:
    """Returns a fingerprint of a whole model: all of its sizes and parameters.

    As `fingerprint`, with the prompt encoder and the mask decoder: two models of one
    image encoder have equal embeddings and different masks.
    """
    return _fingerprint(config, params)


def _fingerprint(config: SamConfig, params: Any, left_out: tuple[str, ...] = ()) -> str:
    """Hashes parameters, and the sizes whose names do not start with `left_out`."""
    digest = hashlib.sha256()
    sizes = {
        name: size
        for name, size in config.as_fields().items()
        if name not in _NOT_SIZES and not name.startswith(left_out)
    }
    digest.update(json_text(sizes, sort_keys=True).encode())
    update_by_params(digest, params)
    return digest.hexdigest()


def update_by_params(digest: Any, params: Any) -> None:
    """Updates a hash with names, shapes and contents of parameters; see `fingerprint`."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in sorted(leaves, key=lambda item: jax.tree_util.keystr(item[0])):
        values = np.ascontiguousarray(_on_host(leaf), np.float32).reshape(-1)
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape}".encode())
        digest.update(values[:: max(1, len(values) // 4096)].tobytes())
        even = values[: len(values) // 2 * 2].view(np.uint64)
        digest.update(np.add.reduce(even, dtype=np.uint64).tobytes())
        digest.update(values[len(values) // 2 * 2 :].tobytes())


_NOT_SIZES = ("drop_path_rate", "remat", "scan")
_NOT_ENCODER = ("decoder_", "mask_in_chans", "num_multimask_outputs")


def _on_host(leaf: Any) -> np.ndarray:
    # Local devices: with several processes the first device of all may be another's.
    cpus = jax.local_devices(backend="cpu")
    if isinstance(leaf, jax.Array) and not leaf.devices() <= set(cpus):
        # Through a CPU array: numpy's own way leaves a second copy on the host for as
        # long as the device array lives.
        leaf = jax.device_put(leaf, cpus[0])
    return np.asarray(leaf)


def _checksum(header: Mapping[str, Any], features: np.ndarray) -> int:
    """Returns the CRC-32 of the features and of the header without its checksum."""
    fields = {name: value for name, value in header.items() if name != "crc32"}
    return zlib.crc32(
        features.data, zlib.crc32(json_text(fields, sort_keys=True).encode())
    )


def _check_length(path: Path) -> None:
    """Refuses a header longer than any of samjax's, which the library would read whole."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < length < path.stat().st_size:
        raise safetensors.SafetensorError(f"its header has {length} bytes")


def _sound_frame(header: Mapping[str, Any], features: np.ndarray) -> Frame | None:
    """Returns the frame of a header; None if it or the features are unsound."""
    original, resized = header.get("original_size"), header.get("resized_size")
    square, crc = [header.get("model_size")] * 2, header.get("crc32")
    if not (_is_size(original) and _is_size(resized) and _is_size(square)):
        return None
    model_size = square[0]
    # Not compared with `Frame.fit`: callers of `embed_resized` choose the resized size.
    is_sound = (
        max(resized) <= model_size
        and isinstance(header.get("fingerprint"), str)
        and features.ndim == 3
        and 0 < min(features.shape) <= max(features.shape[:2]) <= model_size
        and bool(np.isfinite(features).all())
        # Files of older versions have none.
        and crc in (None, _checksum(header, features))
    )
    if not is_sound:
        return None
    return Frame((original[0], original[1]), (resized[0], resized[1]), model_size)


def _is_size(value: Any) -> TypeGuard[Sequence[int]]:
    """Whether a value is the (h, w) of an image whose masks fit COCO's run lengths."""
    is_pair = isinstance(value, list) and len(value) == 2
    return (
        is_pair
        and all(type(side) is int and side > 0 for side in value)
        and value[0] * value[1] <= MOST_PIXELS
    )


def _checked_header(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        header = json_object(metadata.get("samjax", ""))
        kind, version = header["format"], header["version"]
    except (ValueError, KeyError):
        kind, version, header = None, None, {}
    if kind != FORMAT:
        raise ValueError(
            f"got {path}, which is no image embedding of samjax (a model's weights, "
            "perhaps): expected a file that ImageEmbedding.save wrote"
        )
    if version != VERSION:
        raise ValueError(
            f"got {path} of embedding version {version}, expected {VERSION}: embed the "
            "image again with this version of samjax, and save it"
        )
    return header

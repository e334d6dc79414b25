"""Image embeddings and their file format.

The image encoder is nearly all of the work, and every prompt starts from its output, so an
embedding is worth a file. With other weights it would give wrong masks without an error:
the file therefore names the encoder that made it, and a `Predictor` refuses any other.

A file is safetensors with one tensor, `features`, and a header in JSON under `samjax`.
`ImageEmbedding.save` writes float32 (gh, gw, c). With `"layout": "nchw"` in the header the
tensor is (1, c, gh, gw), as the exported decoders take it; it may be float16.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

import jax
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, Float

from samjax.files import json_object, json_text, replacing
from samjax.geometry.frame import Frame
from samjax.models.config import Architecture
from samjax.models.params import select_parts

FORMAT = "samjax image embedding"
VERSION = 1
# Servers of earlier versions sent the layout "nchw" under this name, without a checksum.
_EARLIER_NCHW = "samjax image embedding, channels first"
_DTYPES = ("F32", "F16")
# Files of samjax have headers of some 400 bytes.
MAX_HEADER = 2**16
MOST_PIXELS = 2**32 - 1  # COCO's tools hold run lengths in 32 bits.

Layout = Literal["hwc", "nchw"]
"""Order of the axes of `features` in a file."""


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """Output of the image encoder for one image; made by `Predictor.embed`.

    Attributes:
        features: float32 output of the image encoder, one vector per patch of the
            padded model frame. It stays on the device that computed it.
        frame: the frame of the image, which prompts and masks are mapped by.
        fingerprint: hash of the image encoder that made it; see `fingerprint`.
    """

    features: Float[Array, "gh gw c"]
    frame: Frame
    fingerprint: str

    def save(self, path: str | os.PathLike) -> None:
        """Writes the embedding to one file (safetensors; 4 MiB for released models).

        The file is written under another name in the same folder and renamed, so that
        it is complete or absent.
        """
        content = self.to_bytes()
        with replacing(path) as hidden:
            hidden.write_bytes(content)

    def to_bytes(
        self,
        *,
        layout: Layout = "hwc",
        dtype: Literal["float32", "float16"] = "float32",
    ) -> bytes:
        """Returns the content of a file that `load` reads.

        Args:
            layout: order of the axes: (gh, gw, c), or (1, c, gh, gw).
            dtype: of the features; float16 halves the file and rounds them.
        """
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "original_size": self.frame.original_size,
            "resized_size": self.frame.resized_size,
            "model_size": self.frame.model_size,
            "fingerprint": self.fingerprint,
        }
        features = np.asarray(self.features)
        if layout == "nchw":
            features = features.transpose(2, 0, 1)[None]
            # Left out of "hwc": earlier versions of samjax go on reading those files.
            header["layout"] = layout
        features = np.ascontiguousarray(features, np.dtype(dtype))
        header["crc32"] = _checksum(header, features)
        return safetensors.numpy.save(
            {"features": features}, {"samjax": json_text(header)}
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> ImageEmbedding:
        """Reads an embedding that `save` wrote, or that `samjax serve` sent.

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
                stored = file.get_tensor("features") if dtype in _DTYPES else None
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"got {path}, which is damaged, cut off or no safetensors file "
                f"({error}): embed the image again, and save it"
            ) from error
        features = None if stored is None else _checked_features(header, stored)
        frame = None if features is None else _checked_frame(header, features)
        if features is None or frame is None:
            shape = None if stored is None else stored.shape
            raise ValueError(
                f"got {path}, whose contents contradict each other or their checksum "
                f"(features of {dtype} {shape}, {header!s:.500}): embed the image again"
            )
        return cls(jax.device_put(features), frame, header["fingerprint"])


def fingerprint(config: Architecture, params: Mapping[str, Any]) -> str:
    """Returns a hash of the image encoder that a set of parameters makes.

    A SHA-256 over the encoder's sizes, and over the name, shape and content of each of
    its parameters. Prompt encoder and mask decoder are left out, since embeddings do
    not depend on them. A parameter's content enters as a strided sample of at most 4096
    numbers and as the 64-bit sum of all: any single change moves the sum, and an
    exchange that leaves the sum moves the sample. (Hashing every byte of the largest
    model would take seconds.) It detects mistakes, not forgery.
    """
    parts = select_parts(params, config.encoder_parts)
    # A single part is hashed without its name, as it was before there were others.
    tree = next(iter(parts.values())) if len(parts) == 1 else parts
    return _fingerprint(config.encoder_fields(), tree)


def weights_fingerprint(config: Architecture, params: Mapping[str, Any]) -> str:
    """Returns a hash of a whole model: a SHA-256 over all of its sizes and parameters.

    As `fingerprint`, with the prompt encoder and the mask decoder: two models of one
    image encoder have equal embeddings and different masks.
    """
    return _fingerprint(config.architecture.as_fields(), params)


def _fingerprint(sizes: Mapping[str, Any], params: Any) -> str:
    """Hashes sizes and parameters."""
    digest = hashlib.sha256()
    digest.update(json_text(sizes, sort_keys=True).encode())
    _update_by_params(digest, params)
    return digest.hexdigest()


def _update_by_params(digest: Any, params: Any) -> None:
    """Adds names, shapes and contents of parameters to a hash; see `fingerprint`."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in sorted(leaves, key=lambda item: jax.tree_util.keystr(item[0])):
        values = np.ascontiguousarray(_on_host(leaf), np.float32).reshape(-1)
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape}".encode())
        digest.update(values[:: max(1, len(values) // 4096)].tobytes())
        even = values[: len(values) // 2 * 2].view(np.uint64)
        digest.update(np.add.reduce(even, dtype=np.uint64).tobytes())
        digest.update(values[len(values) // 2 * 2 :].tobytes())


def _on_host(leaf: Any) -> np.ndarray:
    # Local devices: with several processes the first device of all may be another's.
    cpus = jax.local_devices(backend="cpu")
    if isinstance(leaf, jax.Array) and not leaf.devices() <= set(cpus):
        # Through a CPU array: numpy's own way leaves a second copy on the host for as
        # long as the device array lives.
        leaf = jax.device_put(leaf, cpus[0])
    return np.asarray(leaf)


def _checksum(header: Mapping[str, Any], features: np.ndarray) -> int:
    """Returns the CRC-32 of the stored features and of the rest of the header."""
    rest = {name: value for name, value in header.items() if name != "crc32"}
    return zlib.crc32(
        features.data, zlib.crc32(json_text(rest, sort_keys=True).encode())
    )


def _check_length(path: Path) -> None:
    """Refuses a header longer than any of samjax's, which the library would read whole."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < length < path.stat().st_size:
        raise safetensors.SafetensorError(f"its header has {length} bytes")


def _checked_features(
    header: Mapping[str, Any], stored: np.ndarray
) -> np.ndarray | None:
    """Returns a file's features as (gh, gw, c); None if they contradict the header."""
    # Files of older versions have no checksum.
    if header.get("crc32") not in (None, _checksum(header, stored)):
        return None
    layout = header.get("layout", "hwc")
    if layout == "nchw" and stored.ndim == 4 and stored.shape[0] == 1:
        stored = stored[0].transpose(1, 2, 0)
    elif layout != "hwc":
        return None
    return np.ascontiguousarray(stored, np.float32)


def _checked_frame(header: Mapping[str, Any], features: np.ndarray) -> Frame | None:
    """Returns the frame in a header; None if it or the features are impossible."""
    original, resized = header.get("original_size"), header.get("resized_size")
    square = [header.get("model_size")] * 2
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
    if kind == _EARLIER_NCHW:
        kind, header = FORMAT, header | {"layout": "nchw"}
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

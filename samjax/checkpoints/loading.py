"""Loads weights by name or path into a model and its parameters."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from samjax.checkpoints.download import download, locked
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.finite import not_finite, refuse_not_finite
from samjax.checkpoints.hub import fetch, is_repository
from samjax.checkpoints.mapped import fill
from samjax.checkpoints.reader import Checkpoint, open_checkpoint
from samjax.checkpoints.releases import Release, releases
from samjax.checkpoints.writer import write_checkpoint
from samjax.devices import find_devices
from samjax.files import cache_folder


def load(
    source: str | os.PathLike, *, dtype: DTypeLike | None = None
) -> tuple[Any, dict[str, Any]]:
    """Loads a model and its parameters.

    Does not need torch, and executes nothing that a file contains.

        model, params = samjax.load("small")
        model, params = samjax.load("medsam_vit_b.pth")

    Args:
        source: A released name ("small", "small_text", "tiny", "vit_b", "vit_l", "vit_h",
            or one of `clip_vit_b32` and its like): downloaded and verified once, then kept in the
            cache. Or a path: a `.pth` or `.safetensors` file, a Hugging Face folder of
            SAM or CLIP, an OpenCLIP folder, or samjax's own form. Or OWNER/NAME, a
            repository of the Hugging Face Hub ("facebook/sam-vit-base"), or
            OWNER/NAME/FILE in one, with the extra `hub`; with @REVISION after the name
            if not the newest. A path object, or a path that exists, is never taken for
            a name.
        dtype: Compute dtype of the model, float32 (the default) or bfloat16.

    Returns:
        The model (a `Clip` for weights of CLIP) and its parameters as a plain nested
        dict of float32 arrays, independent of the file's dtype and of the compute dtype.

    Raises:
        CheckpointError: If the weights cannot be had or do not fit, with everything
            that is wrong.
        ValueError: If samjax does not compute in the dtype.
    """
    requested = jnp.dtype(jnp.float32 if dtype is None else dtype)
    compute = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}.get(requested.name)
    if compute is None:
        raise ValueError(
            f"Got {dtype=}, expected float32 or bfloat16: float16 overflows in the "
            "released models, and float64 is not used on devices."
        )
    checkpoint = open_checkpoint(locate(source))
    model = checkpoint.family.model(checkpoint.config, dtype=compute)
    return model, read_params(checkpoint)


def locate(source: str | os.PathLike) -> Path:
    """Returns the file or folder of a name or path, downloading it if necessary.

    Raises:
        CheckpointError: If there is no such name and no such path, or a download fails.
    """
    named = releases()
    if isinstance(source, str) and source in named:
        return _released(named[source])
    path = Path(source).expanduser()
    if path.exists():
        return path
    if isinstance(source, str) and is_repository(source):
        return fetch(source)
    raise CheckpointError(
        f"Got {os.fspath(source)!r}, which is neither a released name "
        f"({', '.join(named)}) nor an existing file or folder."
    )


def read_params(checkpoint: Checkpoint) -> dict[str, Any]:
    """Reads all tensors into a nested dict of float32 arrays on the default device.

    Raises:
        CheckpointError: Values are not finite, or contradict their checksum; it names
            the tensors.
    """
    find_devices()
    params: dict[str, Any] = {}
    problems: list[str] = []
    for entry in checkpoint.entries():
        leaf = checkpoint.leaf(entry)
        # A copy, not an alias of the mapped file, which could change on disk.
        copy = _aligned(leaf.shape)
        fill(copy, leaf)
        problems += not_finite(checkpoint.name(entry), copy)
        checkpoint.tensors[entry.released].release()
        subtree = params
        for name in entry.path[:-1]:
            subtree = subtree.setdefault(name, {})
        subtree[entry.path[-1]] = jax.device_put(copy)
    refuse_not_finite(checkpoint.path, problems)
    return params


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Allocates memory that XLA on a CPU uses without another copy."""
    size = 4 * int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size].view(np.float32).reshape(shape)


def _released(release: Release) -> Path:
    path = release.path
    if release.bundled:
        if not path.is_file():
            raise CheckpointError(
                f"This copy of samjax comes without {path}, the bundled weights "
                f"{release.name!r}: install samjax again, or pass the path of others."
            )
        return path
    with locked(path):
        if not path.is_file():
            _obtain(release, path)
    return path


def _obtain(release: Release, path: Path) -> None:
    """Downloads, verifies and converts a release to samjax's own form."""
    if release.url is None or release.size is None or release.sha256 is None:
        raise ValueError(f"{release.name} has no address, size and hash.")
    file = cache_folder() / "downloads" / release.file
    download(release.url, file, size=release.size, sha256=release.sha256)
    metadata = {"release": release.name, "sha256": release.sha256}
    write_checkpoint(open_checkpoint(file), path, "samjax", metadata=metadata)
    # Converting back out gives the same tensors, so one copy is enough.
    file.unlink()


ALIGNMENT = 64

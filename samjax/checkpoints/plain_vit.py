"""Loads the encoder of a plain ViT into a model's image encoder.

Published ViTs have in common: blocks like those of SAM's image encoder without relative
positions, a position table of another size with a row for the class token, and patches
that may be of another size.

- The position table is resized by cubic interpolation, as ViTDet does.
- A patch kernel is resized to the kernel of least norm whose output for a resized patch
  is that of the old kernel for the patch (Beyer et al., "FlexiViT", 2022, section 3.4).
  Plain interpolation would scale the output.
- Relative positions start at zero, with which a block computes the same as before.
"""

import math
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float

from samjax.checkpoints.finite import not_finite, refuse_not_finite
from samjax.checkpoints.mapped import StoredTensor
from samjax.models import SamConfig
from samjax.models.params import RELATIVE_TABLES
from samjax.models.weight_map import Entry

POSITIONS = "image_encoder.pos_embed"
PATCHES = "image_encoder.patch_embed.proj.weight"


def put_into_encoder(
    params: Any, config: SamConfig, arrays: Iterable[tuple[Entry, np.ndarray]]
) -> Any:
    """Loads a ViT's arrays into the image encoder of a model.

    Args:
        params: The model's parameters; they are not changed.
        config: Its sizes.
        arrays: Entries of the model with their arrays in the release's shapes, but for
            the position table, "1 n*n+1 c" with the class token's row first, and the
            patch kernel, which may be of another size.

    Returns:
        The parameters with these arrays, and all relative positions at zero.

    Raises:
        CheckpointError: Values are not finite, or contradict their checksum.
    """
    flat: dict[Any, Any] = dict(flatten_dict(params))
    problems: list[str] = []
    for entry, array in arrays:
        problems += not_finite(entry.released, array)
        if entry.released == POSITIONS:
            array = resize_positions(array, config.grid_size)
        elif entry.released == PATCHES:
            array = resize_patches(array, config.patch_size)
        flat[entry.path] = jnp.array(entry.to_tree(array), jnp.float32)
    refuse_not_finite("The encoder", problems)
    for path, leaf in list(flat.items()):
        if path[-1] in RELATIVE_TABLES:
            flat[path] = jnp.zeros_like(leaf)
    return unflatten_dict(flat)


def misfits(
    name: str, tensor: StoredTensor, entry: Entry, shape: tuple[int, ...] | None = None
) -> list[str]:
    """Lists the reasons why a tensor does not fit an entry of the model, one line each.

    Args:
        name: Its name in the file.
        tensor: The tensor.
        entry: The entry that the tensor is loaded into.
        shape: The shape that it has to have, if not the entry's; a position table and
            a patch kernel may be of any size.
    """
    got, shape = tensor.shape, shape or entry.shape
    expected = "x".join(map(str, shape))
    if entry.released == POSITIONS:
        # The class token and a square of patches.
        width = shape[-1]
        side = math.isqrt(max(got[1] - 1, 0)) if len(got) == 3 else 0
        fits = side > 0 and got == (1, side**2 + 1, width)
        expected = f"1x(n*n+1)x{width}"
    elif entry.released == PATCHES:
        fits = len(got) == 4 and got == (*shape[:2], got[2], got[2]) and got[2] > 0
        expected = f"{shape[0]}x3xpxp"
    else:
        fits = got == shape
    problems = []
    if not fits:
        actual = "x".join(map(str, got))
        problems.append(f"{name} has shape {actual}, expected {expected}")
    if not tensor.dtype.startswith(("F", "BF")):
        problems.append(f"{name} is of {tensor.dtype}, expected floating point")
    return problems


def read_float32(tensor: StoredTensor) -> np.ndarray:
    """Copies a tensor out of its file, in the shape it has there."""
    array = np.array(tensor.array(), np.float32)
    tensor.release()
    return array


def resize_positions(
    table: Float[np.ndarray, "1 n c"], side: int
) -> Float[np.ndarray, "1 side side c"]:
    """Drops the class token's row, the first, and resizes the square of the others."""
    old = math.isqrt(table.shape[1] - 1)
    grid = table[0, 1:].reshape(old, old, -1)
    if old == side:
        return grid[None]
    matrix = cubic_matrix(old, side)
    return np.einsum("yi,xj,ijc->yxc", matrix, matrix, grid, optimize=True)[None]


def resize_patches(
    kernel: Float[np.ndarray, "d c p p"], size: int
) -> Float[np.ndarray, "d c size size"]:
    """Resizes the kernel of a patch embedding (FlexiViT)."""
    if kernel.shape[-1] == size:
        return kernel
    # With R enlarging a column of pixels: <R x, k'> = <x, R^T k'>, which is <x, k>.
    matrix = np.linalg.pinv(cubic_matrix(kernel.shape[-1], size).T)
    return np.einsum("yi,xj,dcij->dcyx", matrix, matrix, kernel, optimize=True)


def cubic_matrix(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Returns the matrix of cubic interpolation of `old` samples at `new` positions.

    With half-pixel centres, borders repeated and no antialiasing, as PyTorch's bicubic
    without aligned corners, whose cubic has a slope parameter of -0.75.
    """
    matrix = np.zeros((new, old))
    positions = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(positions).astype(int)
    for offset in (-1, 0, 1, 2):
        distance = np.abs(positions - (first + offset))
        near = (SLOPE + 2) * distance**3 - (SLOPE + 3) * distance**2 + 1
        far = SLOPE * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weight = np.where(distance <= 1, near, far)
        np.add.at(matrix, (np.arange(new), np.clip(first + offset, 0, old - 1)), weight)
    return matrix


SLOPE = -0.75

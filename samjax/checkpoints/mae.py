"""Starts the image encoder from a masked autoencoder (He et al., 2021), as SAM was.

The files that its authors publish, `mae_pretrain_vit_{base,large,huge}.pth`, hold the
encoder of a ViT of 224 pixels: its blocks are those of SAM's image encoder without
relative positions. What has no place in SAM, the class token and the final norm, is
dropped; relative positions start at zero, with which a block is what it was; neck,
prompt encoder and mask decoder stay as they are.

Two things have another size in SAM, and SAM's authors do not say how they changed it:

- The position table, 14 x 14 (16 x 16 for ViT-H), is enlarged by cubic interpolation,
  as ViTDet does for the same files.
- ViT-H's patches of 14 pixels become 16. The kernel is the one of least norm that makes
  of a patch enlarged to 16 pixels just what the old one made of the patch (Beyer et
  al., "FlexiViT", 2022, section 3.4). Simply resizing it would scale what it makes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import StoredTensor
from samjax.checkpoints.torch_file import read_torch_file
from samjax.checkpoints.weight_map import Entry, entries
from samjax.models import SamConfig


def load_mae_encoder(path: str | Path, params: Any, config: SamConfig) -> Any:
    """Puts a masked autoencoder's encoder into a model.

    Args:
        path: A file of the published layout, such as `mae_pretrain_vit_base.pth`.
        params: The model's parameters, freshly drawn.
        config: Its sizes.

    Returns:
        The parameters with the image encoder's patch embedding, position table and
        blocks from the file, and its relative positions at zero.

    Raises:
        CheckpointError: If the file cannot be read, is no masked autoencoder's, or one
            of another size; with everything that is wrong.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(
            f"There is no file {path}. The masked autoencoders that SAM starts from are "
            "mae_pretrain_vit_base.pth, _large.pth and _huge.pth, linked from "
            "https://github.com/facebookresearch/mae."
        )
    tensors = read_torch_file(path)
    wanted = {name: entry for entry in entries(config) if (name := _mae_name(entry))}
    _check(path, tensors, wanted, config)
    flat: dict[Any, Any] = dict(flatten_dict(params))
    for name, entry in wanted.items():
        array = _read(tensors[name])
        if name == POSITIONS:
            array = _resize_positions(array, config.grid_size)
        elif name == PATCHES:
            array = _resize_patches(array, config.patch_size)
        flat[entry.path] = jnp.array(entry.to_tree(array), jnp.float32)
    for place, leaf in list(flat.items()):
        if place[-1] in ("rel_pos_h", "rel_pos_w"):
            flat[place] = jnp.zeros_like(leaf)
    return unflatten_dict(flat)


def _mae_name(entry: Entry) -> str | None:
    """The name of an entry in the files; None for what they do not have."""
    part, _, name = entry.released.partition(".")
    if part != "image_encoder" or name.startswith("neck") or "rel_pos" in name:
        return None
    return name.replace("mlp.lin", "mlp.fc")


def _check(
    path: Path,
    tensors: Mapping[str, StoredTensor],
    wanted: Mapping[str, Entry],
    config: SamConfig,
) -> None:
    """Refuses files that are not what they should be."""
    if any(name.startswith("image_encoder.") for name in tensors):
        raise CheckpointError(
            f"{path} is a checkpoint of SAM, not of a masked autoencoder: load it as "
            "any weights, without mae:."
        )
    if POSITIONS not in tensors or PATCHES not in tensors:
        raise CheckpointError(
            f"{path} is no masked autoencoder of the published layout: it has no "
            f"{POSITIONS} or no {PATCHES} among its {len(tensors)} tensors."
        )
    width, depth = _width_and_depth(tensors)
    if (width, depth) != (config.embed_dim, config.depth):
        raise CheckpointError(
            f"{path} is an encoder of width {width} and {depth} blocks, expected the "
            f"model's {config.embed_dim} and {config.depth}: "
            "ViT-B is base, ViT-L large, ViT-H huge."
        )
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    for name, tensor in tensors.items():
        if name in wanted:
            problems += _misfits(name, tensor, wanted[name])
        elif not name.startswith(DROPPED):
            problems.append(f"{name} is not of a masked autoencoder's encoder")
    if problems:
        raise CheckpointError(
            f"{path} is no masked autoencoder of the published layout.", problems
        )


def _width_and_depth(tensors: Mapping[str, StoredTensor]) -> tuple[int, int]:
    numbers = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    shape = tensors[PATCHES].shape
    return shape[0] if shape else 0, len(numbers)


def _misfits(name: str, tensor: StoredTensor, entry: Entry) -> list[str]:
    shape, expected = tensor.shape, "x".join(map(str, entry.shape))
    if name == POSITIONS:
        # The class token and a square of patches.
        width = entry.shape[-1]
        side = math.isqrt(max(shape[1] - 1, 0)) if len(shape) == 3 else 0
        fits = side > 0 and shape == (1, side**2 + 1, width)
        expected = f"1x(n*n+1)x{width}"
    elif name == PATCHES:
        fits = len(shape) == 4 and shape == (*entry.shape[:2], shape[2], shape[2])
        expected = f"{entry.shape[0]}x3xpxp"
    else:
        fits = shape == entry.shape
    problems = []
    if not fits:
        got = "x".join(map(str, shape))
        problems.append(f"{name} has shape {got}, expected {expected}")
    if not tensor.dtype.startswith(("F", "BF")):
        problems.append(f"{name} is of {tensor.dtype}, expected floating point")
    return problems


def _read(tensor: StoredTensor) -> np.ndarray:
    array = np.array(tensor.array(), np.float32)
    tensor.release()
    return array


def _resize_positions(
    table: Float[np.ndarray, "1 n c"], side: int
) -> Float[np.ndarray, "1 side side c"]:
    old = math.isqrt(table.shape[1] - 1)
    grid = table[0, 1:].reshape(old, old, -1)
    matrix = cubic_matrix(old, side)
    return np.einsum("yi,xj,ijc->yxc", matrix, matrix, grid, optimize=True)[None]


def _resize_patches(
    kernel: Float[np.ndarray, "d c p p"], size: int
) -> Float[np.ndarray, "d c size size"]:
    if kernel.shape[-1] == size:
        return kernel
    # With R enlarging a column of pixels: <R x, k'> = <x, R^T k'>, which is <x, k>.
    matrix = np.linalg.pinv(cubic_matrix(kernel.shape[-1], size).T)
    return np.einsum("yi,xj,dcij->dcyx", matrix, matrix, kernel, optimize=True)


def cubic_matrix(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """The matrix of cubic interpolation of `old` samples at `new` places.

    With half-pixel centres, borders repeated and no antialiasing: what PyTorch calls
    bicubic without aligned corners, whose cubic has a slope parameter of -0.75.
    """
    matrix = np.zeros((new, old))
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(places).astype(int)
    for offset in (-1, 0, 1, 2):
        distance = np.abs(places - (first + offset))
        near = (SLOPE + 2) * distance**3 - (SLOPE + 3) * distance**2 + 1
        far = SLOPE * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weight = np.where(distance <= 1, near, far)
        np.add.at(matrix, (np.arange(new), np.clip(first + offset, 0, old - 1)), weight)
    return matrix


POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"
# The class token and the final norm; the decoder, where a file has it.
DROPPED = ("cls_token", "norm.", "mask_token", "decoder_")
SLOPE = -0.75

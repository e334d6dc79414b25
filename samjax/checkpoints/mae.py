"""Initial image encoders from masked autoencoders (He et al., 2021), as SAM's was.

The files that its authors publish, `mae_pretrain_vit_{base,large,huge}.pth`, hold the
encoder of a ViT of 224 pixels: its blocks are those of SAM's image encoder without
relative positions. SAM has no class token, which is dropped, and so is the
final norm, unless the model has one; neck, prompt encoder and mask decoder stay as they
are.

Two parameters have another size in SAM, and SAM's authors do not describe how they were
resized: the position table, 14 x 14 (16 x 16 for ViT-H), and ViT-H's patches of 14
pixels, which become 16. `plain_vit` describes how they are resized here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.families import SAM_NAMES
from samjax.checkpoints.mapped import StoredTensor
from samjax.checkpoints.plain_vit import misfits, put_into_encoder, read_float32
from samjax.checkpoints.state_dict import count_names, find_state_dict
from samjax.checkpoints.torch_file import read_torch_file
from samjax.models import SamConfig
from samjax.models.weight_map import Entry, entries


def load_mae_encoder(path: str | Path, params: Any, config: SamConfig) -> Any:
    """Loads a masked autoencoder's encoder into a model.

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
        problem = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise CheckpointError(
            f"{problem}. The masked autoencoders that SAM starts from are files: "
            "mae_pretrain_vit_base.pth, _large.pth and _huge.pth, linked from "
            "https://github.com/facebookresearch/mae."
        )
    groups = read_torch_file(path)
    if count_names(groups, SAM_NAMES):
        raise CheckpointError(
            f"{path} is a checkpoint of SAM, not of a masked autoencoder: load it as "
            "any weights, without mae:."
        )
    tensors = find_state_dict(path, groups, MAE_NAMES)
    expected = {name: entry for entry in entries(config) if (name := _mae_name(entry))}
    _check(path, tensors, expected, config)
    return put_into_encoder(
        params,
        config,
        ((entry, read_float32(tensors[name])) for name, entry in expected.items()),
    )


def _mae_name(entry: Entry) -> str | None:
    """Returns the name of an entry in the files; None for entries that they lack."""
    part, _, name = entry.released.partition(".")
    if part != "image_encoder" or name.startswith("neck") or "rel_pos" in name:
        return None
    return name.replace("mlp.lin", "mlp.fc")


def _check(
    path: Path,
    tensors: Mapping[str, StoredTensor],
    expected: Mapping[str, Entry],
    config: SamConfig,
) -> None:
    """Refuses files of another layout or size."""
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
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    for name, tensor in tensors.items():
        if name in expected:
            problems += misfits(name, tensor, expected[name])
        elif not name.startswith(DROPPED):
            problems.append(f"{name} is not of a masked autoencoder's encoder")
    if problems:
        raise CheckpointError(
            f"{path} is no masked autoencoder of the published layout.", problems
        )


def _width_and_depth(tensors: Mapping[str, StoredTensor]) -> tuple[int, int]:
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    shape = tensors[PATCHES].shape
    return shape[0] if shape else 0, len(blocks)


POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"
MAE_NAMES = r"pos_embed|patch_embed\.proj\.weight"
# The class token, and the final norm of a model without one; the decoder, where a file
# has it.
DROPPED = ("cls_token", "norm.", "mask_token", "decoder_")

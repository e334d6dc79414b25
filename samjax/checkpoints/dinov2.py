"""Initial image encoders from DINOv2 (Oquab et al., 2023), with or without registers.

The published forms are read: folders of Hugging Face (`facebook/dinov2-small`, `-base`,
`-large`, also `-with-registers`), a `.safetensors` file with the same names, and the
authors' own `dinov2_vit{s,b,l}14[_reg4]_pretrain.pth`. The blocks are those of SAM's
image encoder but for these:

- LayerScale, a factor on every channel that a block adds, becomes part of the
  projection before it, exactly.
- The norm after the last block goes into models that have one (`SamConfig.final_norm`)
  and is dropped for others.
- SAM has no class token and no registers (Darcet et al., 2023): they are dropped.
  Patches attended to them in every block, so that features are no longer those of
  DINOv2, and training has to compensate for it.
- The giant size is refused: its MLPs are SwiGLU.

All of DINOv2's blocks are global: in a model with windows they attend to less.
Positions, 37 x 37 for images of 518 pixels, and patches of 14 pixels are resized as
described in `plain_vit`. `Dinov2Model` of transformers interpolates positions for other
images in the same way; its model with registers does it with antialiasing, and the
authors' code with a grid that is a tenth of a patch larger.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samjax.checkpoints import hugging_face
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.families import SAM_NAMES
from samjax.checkpoints.mapped import StoredTensor
from samjax.checkpoints.plain_vit import misfits, put_into_encoder, read_float32
from samjax.checkpoints.reader import read_tensors
from samjax.checkpoints.state_dict import count_names, find_state_dict
from samjax.models import SamConfig
from samjax.models.weight_map import Entry, entries

Tensors = Mapping[str, StoredTensor]


def load_dinov2_encoder(path: str | Path, params: Any, config: SamConfig) -> Any:
    """Loads a DINOv2 encoder into a model.

    Args:
        path: A folder of Hugging Face, or a file of any of the published layouts.
        params: The model's parameters, freshly drawn.
        config: Its sizes.

    Returns:
        The parameters with the image encoder's patch embedding, position table, blocks
        and final norm, if it has one, from the file, and its relative positions at
        zero.

    Raises:
        CheckpointError: If the file cannot be read, is no DINOv2 encoder's, or one of
            another size; with everything that is wrong.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise CheckpointError(
            f"There is no file or folder {path}. DINOv2 is published as "
            "facebook/dinov2-small, -base and -large on Hugging Face, and as files "
            "linked from https://github.com/facebookresearch/dinov2."
        )
    files = hugging_face.weight_files(path) if path.is_dir() else [path]
    groups = read_tensors(files)
    if count_names(groups, SAM_NAMES):
        raise CheckpointError(
            f"{path} is a checkpoint of SAM, not of DINOv2: load it as any weights, "
            "without dinov2:."
        )
    tensors = _plain_names(find_state_dict(path, groups, DINOV2_NAMES))
    naming = _naming(path, tensors)
    sources = list(_sources(config, naming))
    stored = hugging_face.read_config(path, MODEL_TYPES) if path.is_dir() else {}
    _check(path, tensors, naming, sources, config, stored)
    arrays = ((source.entry, _read(source, tensors)) for source in sources)
    return put_into_encoder(params, config, arrays)


class Naming(NamedTuple):
    """Names of tensors in a published form.

    Attributes:
        block: Prefix of the names of a block's tensors, before its index.
        modules: Released name of a module, without its block, to the names of the
            modules that are concatenated to it along the first axis.
        scales: Released name of a module to the LayerScale that multiplies its result.
        dropped: Prefixes of tensors that SAM does not have.
    """

    block: str
    modules: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, str]
    dropped: tuple[str, ...]


class Source(NamedTuple):
    """Tensors from which an entry of the model is computed.

    Attributes:
        entry: The entry.
        names: Tensors that are concatenated along the first axis.
        scale: The LayerScale that multiplies its first axis, if there is one.
    """

    entry: Entry
    names: tuple[str, ...]
    scale: str | None


def _plain_names(tensors: Tensors) -> dict[str, StoredTensor]:
    """Renames tensors as the published files have them.

    Chunks of blocks come off (the authors' code can keep block 5 as `blocks.0.5`).
    transformers 5 has other names for attention in memory than in its folders.
    """
    plain = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)
        for old, new in IN_MEMORY.items():
            name = name.replace(old, new)
        plain[name] = tensor
    return plain


def _naming(path: Path, tensors: Tensors) -> Naming:
    """Returns the naming of a DINOv2 encoder; refuses other models, and names them."""
    for naming in (HUGGING_FACE, OFFICIAL):
        (positions,), (patches,) = (
            naming.modules[name] for name in ("pos_embed", "patch_embed.proj")
        )
        if positions in tensors and f"{patches}.weight" in tensors:
            break
    else:
        raise CheckpointError(
            f"{path} is no DINOv2 of a published layout: it has neither pos_embed and "
            "patch_embed.proj (the authors') nor embeddings.position_embeddings and "
            "embeddings.patch_embeddings.projection (Hugging Face) among its "
            f"{len(tensors)} tensors."
        )
    if any(re.search(r"\.mlp\.(w12|w3|weights_in|weights_out)\.", n) for n in tensors):
        raise CheckpointError(
            f"{path} is a DINOv2 with SwiGLU in its MLPs, as the giant has, which "
            "samjax's image encoder does not have: use small, base or large."
        )
    scales = tuple(naming.scales.values())
    if not any(name.endswith(scales) for name in tensors):
        raise CheckpointError(
            f"{path} is no DINOv2: it has no LayerScale ({scales[0]}). The file of a "
            "masked autoencoder goes by mae:."
        )
    return naming


def _sources(config: SamConfig, naming: Naming) -> Iterator[Source]:
    """Yields the source of every entry that a DINOv2 has."""
    for entry in entries(config):
        part, _, name = entry.released.partition(".")
        if part != "image_encoder" or name.startswith("neck") or "rel_pos" in name:
            continue
        block, leaf = "", ""
        if match := re.match(r"blocks\.(\d+)\.(.*)", name):
            block, name = f"{naming.block}{match[1]}.", match[2]
        if name.endswith((".weight", ".bias")):
            name, _, leaf = name.rpartition(".")
            leaf = f".{leaf}"
        scale = naming.scales.get(name)
        yield Source(
            entry,
            tuple(f"{block}{module}{leaf}" for module in naming.modules[name]),
            None if scale is None else f"{block}{scale}",
        )


def _check(
    path: Path,
    tensors: Tensors,
    naming: Naming,
    sources: list[Source],
    config: SamConfig,
    stored: Mapping[str, Any],
) -> None:
    """Refuses an encoder of another size, or one that is not whole.

    Args:
        path: The file, for the message.
        tensors: Its tensors.
        naming: Their naming.
        sources: Sources of the model's entries.
        config: The model's sizes.
        stored: The file's `config.json`; empty without one.
    """
    width, depth = _width_and_depth(tensors, naming)
    if (width, depth) != (config.embed_dim, config.depth):
        raise CheckpointError(
            f"{path} is an encoder of width {width} and {depth} blocks, expected the "
            f"model's {config.embed_dim} and {config.depth}: DINOv2's small has 384 and "
            "12, base 768 and 12, large 1024 and 24."
        )
    problems = _contradictions(stored, width, config)
    known: set[str] = set()
    for source in sources:
        rows, *others = source.entry.shape
        shape = (rows // len(source.names), *others)
        expected = [(name, shape) for name in source.names]
        if source.scale is not None and source.scale not in known:
            expected.append((source.scale, (rows,)))
        for name, shape in expected:
            known.add(name)
            if name not in tensors:
                problems.append(f"{name} is missing")
            else:
                problems += misfits(name, tensors[name], source.entry, shape)
    for name in sorted(tensors.keys() - known):
        if not name.startswith(naming.dropped):
            problems.append(f"{name} is not of a DINOv2 encoder")
    if problems:
        raise CheckpointError(f"{path} is no DINOv2 that fits the model.", problems)


def _contradictions(
    stored: Mapping[str, Any], width: int, config: SamConfig
) -> list[str]:
    """Lists where a `config.json`, or a published width, contradicts the model."""
    problems = []
    heads = stored.get("num_attention_heads", PUBLISHED_HEADS.get(width))
    if heads not in (None, config.num_heads):
        problems.append(
            f"it has {heads!r:.80} attention heads, expected the model's "
            f"{config.num_heads}"
        )
    for key, value in COMPUTED.items():
        if (got := stored.get(key, value)) != value:
            problems.append(
                f"{hugging_face.CONFIG_NAME} says {key} = {got!r:.80}, the image encoder "
                f"computes with {value!r}"
            )
    return problems


def _width_and_depth(tensors: Tensors, naming: Naming) -> tuple[int, int]:
    (patches,) = naming.modules["patch_embed.proj"]
    shape = tensors[f"{patches}.weight"].shape
    blocks = {
        name.removeprefix(naming.block).partition(".")[0]
        for name in tensors
        if name.startswith(naming.block)
    }
    return shape[0] if shape else 0, len(blocks)


def _read(source: Source, tensors: Tensors) -> np.ndarray:
    """Reads the array of an entry, in the release's layout."""
    parts = [read_float32(tensors[name]) for name in source.names]
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if source.scale is None:
        return array
    scale = read_float32(tensors[source.scale])
    return array * scale.reshape(-1, *(1,) * (array.ndim - 1))


OFFICIAL = Naming(
    block="blocks.",
    modules={
        "pos_embed": ("pos_embed",),
        "patch_embed.proj": ("patch_embed.proj",),
        "norm": ("norm",),
        "norm1": ("norm1",),
        "attn.qkv": ("attn.qkv",),
        "attn.proj": ("attn.proj",),
        "norm2": ("norm2",),
        "mlp.lin1": ("mlp.fc1",),
        "mlp.lin2": ("mlp.fc2",),
    },
    scales={"attn.proj": "ls1.gamma", "mlp.lin2": "ls2.gamma"},
    dropped=("cls_token", "register_tokens", "mask_token", "norm."),
)
HUGGING_FACE = Naming(
    block="encoder.layer.",
    modules={
        "pos_embed": ("embeddings.position_embeddings",),
        "patch_embed.proj": ("embeddings.patch_embeddings.projection",),
        "norm": ("layernorm",),
        "norm1": ("norm1",),
        "attn.qkv": (
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
        ),
        "attn.proj": ("attention.output.dense",),
        "norm2": ("norm2",),
        "mlp.lin1": ("mlp.fc1",),
        "mlp.lin2": ("mlp.fc2",),
    },
    scales={"attn.proj": "layer_scale1.lambda1", "mlp.lin2": "layer_scale2.lambda1"},
    dropped=(
        "embeddings.cls_token",
        "embeddings.register_tokens",
        "embeddings.mask_token",
        "layernorm.",
    ),
)
DINOV2_NAMES = (
    r"embeddings\.(?:position_embeddings|patch_embeddings\.projection\.weight)"
    r"|pos_embed|patch_embed\.proj\.weight"
)
# transformers 5 to its folders.
IN_MEMORY = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
}
MODEL_TYPES = ("dinov2", "dinov2_with_registers")
# Of the published sizes, by width: no shape shows them.
PUBLISHED_HEADS = {384: 6, 768: 12, 1024: 16}
# Options of a config.json that the image encoder has fixed.
COMPUTED = {"hidden_act": "gelu", "layer_norm_eps": 1e-6}

"""Configs from the shapes of tensors, and as JSON.

Released files carry no config, so the sizes of the model are read from the shapes of its
tensors. Several tensors show each size and the majority decides: a wrong tensor is then
reported as one tensor, and not as hundreds of others that do not fit it.

Sizes that no shape shows are taken to be as released: the decoder's number of attention
heads (8, unless Hugging Face's `config.json` or samjax's own form has it), and the side
of the windows where every block is global. Compute options belong to a training run and
are not read.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from samjax.checkpoints.errors import CheckpointError
from samjax.files import json_object, json_text
from samjax.models import VIT_B, SamConfig
from samjax.models.config import MAX_SIZE, Architecture, ComputeOptions
from samjax.models.family import Shapes


def config_from_shapes(shapes: Shapes, *, decoder_num_heads: int = 8) -> SamConfig:
    """Reads the sizes of a model from the shapes of its tensors.

    Args:
        shapes: Released name to shape in the release's layout. Other names are ignored.
        decoder_num_heads: Attention heads of the decoder, which no shape shows.

    Returns:
        The config that most of the tensors agree with.

    Raises:
        CheckpointError: If no config could have such tensors, with every reason.
    """
    config, problems = guess_config(shapes, decoder_num_heads)
    if problems:
        raise CheckpointError("The shapes fit no Segment Anything model.", problems)
    return config


def guess_config(shapes: Shapes, heads: int = 8) -> tuple[SamConfig, list[str]]:
    """Returns the config of the majority, and the contradictions to it."""
    depth, decoder_depth, masks = count_modules(shapes)
    problems = []
    sizes = {}
    for size, sources in EVIDENCE.items():
        votes = Counter(_evidence(shapes, sources, max(depth, decoder_depth)))
        if votes:
            sizes[size] = votes.most_common(1)[0][0]
        else:
            problems.append(f"no tensor shows {size}")
            sizes[size] = FALLBACK[size]
    grid, window, global_blocks = _windows(shapes, depth)
    embed_dim, head_dim = sizes["embed_dim"], sizes["head_dim"]
    if embed_dim % head_dim:
        problems.append(f"embed_dim {embed_dim} is no multiple of head_dim {head_dim}")
    config = SamConfig(
        image_size=grid * sizes["patch_size"],
        patch_size=sizes["patch_size"],
        embed_dim=embed_dim,
        depth=depth,
        num_heads=max(1, embed_dim // head_dim),
        global_attention_blocks=global_blocks,
        window_size=window,
        mlp_ratio=_ratio(sizes["mlp_dim"], embed_dim),
        prompt_embed_dim=sizes["prompt_embed_dim"],
        mask_in_chans=sizes["mask_in_chans"],
        decoder_depth=decoder_depth,
        decoder_num_heads=heads,
        decoder_mlp_dim=sizes["decoder_mlp_dim"],
        num_multimask_outputs=masks - 1,
        final_norm=any(name in shapes for name in FINAL_NORM),
    )
    return config, problems or config.problems()


def _evidence(
    shapes: Shapes, sources: tuple[tuple[str, int], ...], modules: int
) -> Iterator[int]:
    """Yields the sizes that these axes of tensors have."""
    for template, axis in sources:
        for i in range(modules if "{i}" in template else 1):
            shape = shapes.get(template.format(i=i), ())
            if len(shape) > axis and 0 < shape[axis] <= MAX_SIZE:
                yield shape[axis]


def count_modules(shapes: Shapes) -> tuple[int, int, int]:
    """Counts encoder blocks, decoder layers and mask tokens by their names.

    In the release's naming or in Hugging Face's. Counts are bounded by the number of
    names, so that an absurd index in a name cannot make the table expand without end.
    """

    def count(pattern: str) -> int:
        matches = (re.match(pattern, name) for name in shapes)
        indices = {int(match[1]) for match in matches if match}
        return max((i + 1 for i in indices if i < len(shapes)), default=0)

    return (
        count(r"(?:image_encoder\.blocks|vision_encoder\.layers)\.(\d{1,6})\."),
        count(r"mask_decoder\.transformer\.layers\.(\d{1,6})\."),
        max(1, count(r"mask_decoder\.output_hypernetworks_mlps\.(\d{1,6})\.")),
    )


def _windows(shapes: Shapes, depth: int) -> tuple[int, int, tuple[int, ...]]:
    """Returns the side of the grid, that of the windows, and the global blocks.

    A block's relative tables have 2 * side - 1 rows, where the side is the window's or,
    in a global block, the grid's.
    """
    sides: dict[int, list[int]] = {
        block: [
            (shapes[name][0] + 1) // 2
            for axis in "hw"
            if len(shapes.get(name := _table(block, axis), ())) == 2
            and 0 < shapes[name][0] <= 2 * MAX_SIZE
        ]
        for block in range(depth)
    }
    position = shapes.get("image_encoder.pos_embed", ())
    position = position if len(position) == 4 else ()
    seen = Counter(side for block in sides.values() for side in block)
    votes = Counter(side for side in position[1:3] if 0 < side <= MAX_SIZE)
    if len(seen) > 1 or not votes:
        largest = max(seen, default=VIT_B.grid_size)
        votes[largest] += seen.get(largest, 1)
    grid = votes.most_common(1)[0][0]
    windowed = Counter({side: n for side, n in seen.items() if side != grid})
    window = windowed.most_common(1)[0][0] if windowed else VIT_B.window_size
    global_blocks = tuple(i for i in range(depth) if sides[i] and grid in sides[i])
    return grid, window, global_blocks


def _table(block: int, axis: str) -> str:
    return f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"


def _ratio(hidden: int, width: int) -> float:
    """Returns the ratio for which the model's `int(width * ratio)` is `hidden`."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def config_to_json(config: Architecture) -> str:
    """Returns the architecture of a config as one line of JSON."""
    return json_text(config.architecture.as_fields())


def config_from_json(text: str, kind: type[Architecture] = SamConfig) -> Any:
    """Reads JSON that `config_to_json` wrote, trusting none of it.

    Args:
        text: The JSON. Versions until 0.1 wrote compute options too; they are checked,
            and dropped.
        kind: Class of the config.

    Returns:
        A config of that class, with compute options at their defaults.

    Raises:
        CheckpointError: With every field that is unknown, missing or of a wrong type.
    """
    try:
        values = json_object(text)
    except ValueError as error:
        raise CheckpointError(f"Its config is no JSON object: {error}.") from error
    fields = {field.name: field for field in dataclasses.fields(kind)}
    problems = [
        f"its config has an unknown field {name!r}: update samjax"
        for name in sorted(set(values) - set(fields))
    ]
    read = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is dataclasses.MISSING:
                problems.append(f"its config has no {name}")
        elif _is_of(field.type, values[name]):
            of = {int: int, float: float, bool: bool, str: str}.get(field.type, tuple)
            read[name] = of(values[name])
        else:
            problems.append(f"its config has {values[name]!r:.80} for {name}")
    if not problems:
        problems = kind(**read).problems()
    if problems:
        raise CheckpointError("Its config is not one of a model.", problems)
    options = {field.name for field in dataclasses.fields(ComputeOptions)}
    return kind(**{name: read[name] for name in read.keys() - options})


def _is_of(kind: Any, value: Any) -> bool:
    """Returns whether a value of JSON fits a field of this type, and is not too large."""
    if kind is float:
        # Before the conversion: an integer of JSON may be larger than any float.
        return type(value) in (int, float) and abs(value) <= MAX_SIZE
    if kind in (int, bool, str):
        return type(value) is kind
    item_type = get_args(kind)[0]
    return isinstance(value, list) and all(type(item) is item_type for item in value)


# Size -> (tensor, axis of its shape) of all tensors that have it; `{i}` is an index.
_BLOCK, _LAYER = "image_encoder.blocks.{i}", "mask_decoder.transformer.layers.{i}"
EVIDENCE = {
    "embed_dim": (
        ("image_encoder.pos_embed", 3),
        ("image_encoder.patch_embed.proj.bias", 0),
        (_BLOCK + ".norm1.weight", 0),
    ),
    "head_dim": ((_BLOCK + ".attn.rel_pos_h", 1), (_BLOCK + ".attn.rel_pos_w", 1)),
    "mlp_dim": ((_BLOCK + ".mlp.lin1.bias", 0),),
    "patch_size": (
        ("image_encoder.patch_embed.proj.weight", 2),
        ("image_encoder.patch_embed.proj.weight", 3),
    ),
    "prompt_embed_dim": (
        ("image_encoder.neck.3.weight", 0),
        ("prompt_encoder.no_mask_embed.weight", 1),
        ("mask_decoder.iou_token.weight", 1),
    ),
    "mask_in_chans": (
        ("prompt_encoder.mask_downscaling.3.bias", 0),
        ("prompt_encoder.mask_downscaling.4.weight", 0),
        ("prompt_encoder.mask_downscaling.6.weight", 1),
    ),
    "decoder_mlp_dim": ((_LAYER + ".mlp.lin1.bias", 0),),
}
# Their presence shows that the encoder has a final norm.
FINAL_NORM = ("image_encoder.norm.weight", "image_encoder.norm.bias")
# ViT-B's sizes, to go on comparing where no tensor shows a size.
FALLBACK = {
    "embed_dim": 768,
    "head_dim": 64,
    "mlp_dim": 3072,
    "patch_size": 16,
    "prompt_embed_dim": 256,
    "mask_in_chans": 16,
    "decoder_mlp_dim": 2048,
}

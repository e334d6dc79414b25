"""How much a training step computes, counted by hand, and how much a device can.

The throughput of a run says little by itself; the share of what its devices could do
(model-FLOPs utilisation) says how much is left to gain. Counted are the products of
matrices that the model itself is made of, padded windows included, in the order in
which samjax multiplies them; not counted is what only costs elsewhere: norms, softmax,
losses, resizing of masks, the optimizer, and what is computed twice to save memory.

A multiply-add is two FLOPs. The gradient of a product is two products of its size.
"""

import re
from typing import Literal

from samjax.models.attention.token_attention import (
    image_to_token_costs,
    token_to_image_costs,
)
from samjax.models.sam import SamConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

EncoderTraining = Literal["trained", "adapted", "neck", "frozen"]


def step_flops(
    model: SamConfig,
    image_size: int,
    batch_size: int,
    masks_per_image: int,
    prompts: PromptSimulationConfig,
    *,
    encoder: EncoderTraining = "trained",
    recompute: bool = False,
) -> float:
    """Counts the floating-point operations of one step over the whole batch.

    Args:
        model: Sizes of the model.
        image_size: Side of the square input in pixels.
        batch_size: Images of the step, on all devices together.
        masks_per_image: Target masks per image, empty slots included.
        prompts: The rounds of prompts.
        encoder: Extent of the image encoder's backward pass: gradients of
            everything (`"trained"`), of activations only, as for adapters beside
            frozen weights (`"adapted"`, whose own small cost is left out), of the
            neck's parameters only (`"neck"`), or nothing (`"frozen"`).
        recompute: Also count what the backward pass computes again: blocks of the
            encoder where `model.remat`, rounds of prompts where `prompts.remat`. That
            is what a device really does; utilisation is without.

    Returns:
        FLOPs. Divided by the step's seconds and by the peak of all devices, without
        `recompute`, they are the model-FLOPs utilisation.
    """
    in_encoder = encoder_multiply_adds(model, image_size)
    in_prompts = rounds_multiply_adds(model, image_size, masks_per_image, prompts)
    total = ENCODER_PASSES[encoder] * in_encoder + 3 * in_prompts
    if encoder == "neck":
        total += 2 * _neck_multiply_adds(model, image_size)
    if recompute and model.remat and encoder in ("trained", "adapted"):
        total += in_encoder
    if recompute and prompts.remat:
        total += in_prompts
    return 2.0 * batch_size * total


def encoder_multiply_adds(model: SamConfig, image_size: int) -> int:
    """Counts the multiply-adds of the image encoder for one image.

    At 1024 pixels 486, 1493 and 2981 billion for ViT-B, L and H.

    Args:
        model: Sizes of the model.
        image_size: Side of the square input in pixels.
    """
    grid, width = image_size // model.patch_size, model.embed_dim
    tokens = grid**2
    padded = -(-grid // model.window_size) * model.window_size
    total = tokens * (3 * model.patch_size**2) * width
    for block in range(model.depth):
        is_global = block in model.global_attention_blocks
        side = grid if is_global else model.window_size
        attending = tokens if is_global else padded**2
        projections = 4 * width
        # Logits and weighted values, and the relative positions of rows and columns.
        attention = 2 * side**2 + 2 * side
        total += attending * width * (projections + attention)
        total += tokens * 2 * width * int(width * model.mlp_ratio)
    return total + _neck_multiply_adds(model, image_size)


def rounds_multiply_adds(
    model: SamConfig,
    image_size: int,
    masks_per_image: int,
    prompts: PromptSimulationConfig,
) -> int:
    """Counts the multiply-adds of all rounds of prompts for one image, forward.

    Args:
        model: Sizes of the model.
        image_size: Side of the square input in pixels.
        masks_per_image: Target masks, each with prompts of its own.
        prompts: The rounds. Every later one has a slot for every correction.
    """
    first = prompt_multiply_adds(model, image_size, masks_per_image, 2, has_mask=False)
    later = prompt_multiply_adds(
        model,
        image_size,
        masks_per_image,
        2 + prompts.correction_points,
        has_mask=True,
    )
    return first + (prompts.num_rounds - 1) * later


def prompt_multiply_adds(
    model: SamConfig, image_size: int, sets: int, points: int, *, has_mask: bool
) -> int:
    """Counts the multiply-adds of prompt encoder and mask decoder for one image.

    Args:
        model: Sizes of the model.
        image_size: Side of the square input in pixels.
        sets: Prompt sets, each of which is answered on its own.
        points: Points of a set, tokens of boxes and empty slots included.
        has_mask: Whether sets have mask prompts: these are encoded, and no two sets
            share the image side, not even in the first layer.
    """
    channels, hidden = model.prompt_embed_dim, model.mask_in_chans
    positions = (image_size // model.patch_size) ** 2
    masks = model.num_multimask_outputs + 1
    tokens = 1 + masks + points
    images = sets if has_mask else 1
    total = 0
    for _ in range(model.decoder_depth):
        total += sets * _tokens_alone(model, tokens)
        total += _tokens_to_image(model, images, sets, tokens, positions)
        total += _image_to_tokens(model, images, sets, tokens, positions)
        # From here on every set has changed the image side in its own way.
        images = sets
    total += _tokens_to_image(model, images, sets, tokens, positions)

    total += sets * (positions * channels**2 + _masks_and_scores(model, positions))
    if has_mask:
        # 2 x 2, then 2 x 2, then one by one, down from 16 pixels a position.
        downscaling = (
            16 * (hidden // 4) + 4 * (hidden // 4) * hidden + hidden * channels
        )
        total += sets * positions * downscaling
    return total


def _neck_multiply_adds(model: SamConfig, image_size: int) -> int:
    tokens, channels = (image_size // model.patch_size) ** 2, model.prompt_embed_dim
    return tokens * channels * (model.embed_dim + 9 * channels)


def _tokens_alone(model: SamConfig, tokens: int) -> int:
    """Counts a layer's multiply-adds on the tokens of a prompt set, without the image."""
    channels = model.prompt_embed_dim
    self_attention = 4 * tokens * channels**2 + 2 * tokens**2 * channels
    return self_attention + 2 * tokens * channels * model.decoder_mlp_dim


def _masks_and_scores(model: SamConfig, positions: int) -> int:
    """Counts a prompt set's upscaling after its first layer, and its predicted IoUs."""
    channels, masks = model.prompt_embed_dim, model.num_multimask_outputs + 1
    # The second upscaling by two, then 16 pixels a position for every mask.
    upscaling = positions * (channels**2 // 2)
    drawing = 16 * positions * masks * (channels // 8)
    heads = masks * (2 * channels**2 + channels * (channels // 8))
    scores = 2 * channels**2 + channels * masks
    return upscaling + drawing + heads + scores


def _tokens_to_image(
    model: SamConfig, images: int, sets: int, tokens: int, positions: int
) -> int:
    """Counts attention from tokens to the image, in the order that the model takes."""
    channels = model.prompt_embed_dim
    inner, queries = channels // 2, sets * tokens // images
    folding, projecting = token_to_image_costs(
        channels, inner, model.decoder_num_heads, queries
    )
    total = 2 * sets * tokens * channels * inner
    if folding < projecting:
        total += 2 * sets * tokens * channels * inner
    return total + images * positions * min(folding, projecting)


def _image_to_tokens(
    model: SamConfig, images: int, sets: int, tokens: int, positions: int
) -> int:
    """Counts attention from the image to the tokens, in the order that the model takes."""
    channels = model.prompt_embed_dim
    inner = channels // 2
    folding, projecting = image_to_token_costs(
        channels, inner, model.decoder_num_heads, images, sets, tokens
    )
    total = 2 * sets * tokens * channels * inner
    if folding < projecting:
        total += 2 * sets * tokens * channels * inner
    return total + positions * min(folding, projecting)


def peak_flops(device_kind: str, dtype: Literal["float32", "bfloat16"]) -> float | None:
    """Returns what one device of a kind can do at most, in FLOPs per second.

    Args:
        device_kind: As `jax.Device.device_kind` has it.
        dtype: Compute dtype, at JAX's default precision: products of float32 are
            taken in bfloat16 on a TPU, and in TF32 on a GPU.

    Returns:
        The makers' figure for dense products; None for devices that are not known.
    """
    for kind, bfloat16, float32 in PEAKS:
        if re.fullmatch(kind, device_kind):
            return (bfloat16 if dtype == "bfloat16" else float32) * 1e12
    return None


# Products in forward and backward pass for each one of the forward pass.
ENCODER_PASSES = {"trained": 3, "adapted": 2, "neck": 1, "frozen": 1}

# (pattern of the device's kind, TFLOPs in bfloat16, in float32). Kinds that are not here
# have no figure rather than a wrong one: cards of one name differ by form.
# TPUs: the tables of cloud.google.com/tpu/docs for v4, v5e, v5p, v6e and tpu7x, "peak
# compute per chip (bf16)". A chip is one device, but two on the last.
# GPUs: NVIDIA's data sheets of the A100, H100 and H200, dense: without the factor of
# two for sparsity. All forms of the A100 have one figure; H100 and H200 are on SXM.
PEAKS = (
    ("TPU v4", 275.0, 275.0),
    ("TPU v5 lite|TPU v5e", 197.0, 197.0),
    ("TPU v5|TPU v5p", 459.0, 459.0),
    ("TPU v6 lite|TPU v6e", 918.0, 918.0),
    ("TPU7x", 2307.0 / 2, 2307.0 / 2),
    (r"NVIDIA A100[- ](SXM4-|PCIE-)?\d+GB( PCIe)?", 312.0, 156.0),
    ("NVIDIA H100 80GB HBM3", 989.4, 494.7),
    ("NVIDIA H100 PCIe", 756.4, 378.2),
    ("NVIDIA H200", 989.4, 494.7),
)

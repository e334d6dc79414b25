"""Floating-point operations of the programs, counted by hand.

The counts of the model come from samjax; here are the differences of the devices' work
from them: rematerialization, the wider vectors of the attention kernel, and the
amortized image side, which saves work.
"""

from typing import NamedTuple

from aot.programs import POINTS

from samjax.models.amortized import cost
from samjax.models.attention.splash import padded_width
from samjax.training.config import Stage, TrainConfig
from samjax.training.runtime.flops import (
    encoder_multiply_adds,
    prompt_multiply_adds,
    rounds_multiply_adds,
)
from samjax.training.runtime.program import stage_flops


def model_flops(program: str, config: TrainConfig, stage: Stage) -> float:
    """Returns the FLOPs of the model itself, on all devices together."""
    if program == "encoder":
        return (
            2.0
            * stage.batch_size
            * encoder_multiply_adds(config.model, stage.image_size)
        )
    if program == "everything":
        return 2.0 * prompt_multiply_adds(
            config.model, config.model.image_size, POINTS, 2, has_mask=False
        )
    return stage_flops(config, stage)


def device_flops(
    program: str, config: TrainConfig, stage: Stage, *, splash: bool
) -> float:
    """Returns the FLOPs that the devices execute, all together."""
    if program == "everything":
        # Points of one image are decoded over the prepared image.
        return 2.0 * cost.prompt_multiply_adds(
            config.model, config.model.image_size, POINTS, 2
        )
    total = model_flops(program, config, stage)
    kernel = _kernel(config, stage) if splash else Kernel(0.0, 0.0, 0.0)
    total += kernel.wider_forward
    if program == "encoder":
        return total
    recomputed = 0
    if stage.prompts.remat:
        recomputed += rounds_multiply_adds(
            config.model, stage.image_size, stage.masks_per_image, stage.prompts
        )
    if config.encoder_training != "frozen":
        total += kernel.wider_backward
        if config.model.remat:
            recomputed += encoder_multiply_adds(config.model, stage.image_size)
            # The kernel's results are saved, not recomputed.
            total -= kernel.model_forward
    return total + 2.0 * stage.batch_size * recomputed


class Kernel(NamedTuple):
    """The work of the attention kernel in all global blocks of a batch, in FLOPs.

    Attributes:
        model_forward: The forward FLOPs in the model's count.
        wider_forward: The forward FLOPs beyond that count.
        wider_backward: The backward FLOPs beyond that count.
    """

    model_forward: float
    wider_forward: float
    wider_backward: float


def _kernel(config: TrainConfig, stage: Stage) -> Kernel:
    """Counts the FLOPs of the kernel.

    Per pair of tokens, the forward pass multiplies vectors of w lanes and values of d,
    the width of a head, instead of d twice; the two kernels of the backward pass
    together multiply 4 w + 3 d instead of 4 d.
    """
    model = config.model
    grid = stage.image_size // model.patch_size
    size = model.embed_dim // model.num_heads
    width = padded_width(size, grid, grid)
    pairs = stage.batch_size * model.num_heads * grid**4
    unit = 2.0 * len(model.global_attention_blocks) * pairs
    return Kernel(unit * 2 * size, unit * (width - size), unit * (4 * width - size))

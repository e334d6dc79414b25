"""Floating-point operations of the programs, counted by hand.

The counts of a model are `samjax.training.runtime.flops`; here is what a device does beyond
them (what is computed twice, the wider vectors of the attention kernel), or less.
"""

from typing import NamedTuple

from aot.programs import POINTS

from samjax.models.splash import padded_width
from samjax.training.config import Stage, TrainConfig
from samjax.training.runtime.flops import (
    encoder_multiply_adds,
    prompt_multiply_adds,
    rounds_multiply_adds,
    shared_prompt_multiply_adds,
)
from samjax.training.runtime.program import stage_flops


def model_flops(program: str, config: TrainConfig, stage: Stage) -> float:
    """What the model itself costs, on all devices together."""
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
    """What the devices do, all together."""
    if program == "everything":
        # Points of one image are answered from what they share.
        return 2.0 * shared_prompt_multiply_adds(
            config.model, config.model.image_size, POINTS, 2
        )
    total = model_flops(program, config, stage)
    kernel = _kernel(config, stage) if splash else Kernel(0.0, 0.0, 0.0)
    total += kernel.wider_forward
    if program == "encoder":
        return total
    twice = 0
    if stage.prompts.remat:
        twice += rounds_multiply_adds(
            config.model, stage.image_size, stage.masks_per_image, stage.prompts
        )
    if config.encoder_training != "frozen":
        total += kernel.wider_backward
        if config.model.remat:
            twice += encoder_multiply_adds(config.model, stage.image_size)
            # What the kernel found is kept.
            total -= kernel.model_forward
    return total + 2.0 * stage.batch_size * twice


class Kernel(NamedTuple):
    """The work of the attention kernel in all global blocks of a batch, in FLOPs.

    Attributes:
        model_forward: What the count has for it, forward.
        wider_forward: What it does beyond that, forward.
        wider_backward: The same, backward.
    """

    model_forward: float
    wider_forward: float
    wider_backward: float


def _kernel(config: TrainConfig, stage: Stage) -> Kernel:
    """Counts what the kernel does.

    Forward it multiplies vectors of w lanes, and values of the d of a head, instead of
    d twice; backward two kernels together multiply 4 w + 3 d instead of 4 d.
    """
    model = config.model
    grid = stage.image_size // model.patch_size
    size = model.embed_dim // model.num_heads
    width = padded_width(size, grid, grid)
    pairs = stage.batch_size * model.num_heads * grid**4
    unit = 2.0 * len(model.global_attention_blocks) * pairs
    return Kernel(unit * 2 * size, unit * (width - size), unit * (4 * width - size))

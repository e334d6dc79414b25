"""Group sizes and blocks of the compiled work on a chunk of points, by device."""

from __future__ import annotations

from typing import NamedTuple

from samjax.geometry.frame import Frame
from samjax.geometry.stripes import Blocks, upscaling_blocks
from samjax.inference.automatic.device import GroupSizes
from samjax.inference.grouping import PARALLEL_ON_CPU, PROMPTS_ON_CPU

CPU_GROUPS = GroupSizes(points=PROMPTS_ON_CPU, masks=1, num_parallel=PARALLEL_ON_CPU)
STRIPE = 64
# The smallest class of sides of images, in pixels.
SMALLEST_CLASS = 64


class Schedule(NamedTuple):
    """How the work on a chunk of points is divided.

    Attributes:
        down: blocks of the crop's rows; a block is a stripe.
        across: blocks of its columns.
        group_sizes: points and masks that are computed together.
    """

    down: Blocks
    across: Blocks
    group_sizes: GroupSizes


def make_schedule(
    frame: Frame, low_res_size: int, chunk: int, *, on_cpu: bool
) -> Schedule:
    """Divides the work on chunks of points of a crop, for a kind of device.

    Args:
        frame: of the crop.
        low_res_size: side of the decoder's masks.
        chunk: points of a call.
        on_cpu: whether the device is a CPU or an accelerator.
    """

    def blocks(axis: int, size: int) -> Blocks:
        original = frame.original_size[axis]
        sizes = (low_res_size, frame.model_size, frame.resized_size[axis], original)
        padded = -(-size_class(original) // size) * size
        # Sizes of the smallest class are upscaled by very different factors: with blocks
        # that read all low-res pixels they share compiled code, for a small product.
        return upscaling_blocks(sizes, padded, size, read_all=padded <= SMALLEST_CLASS)

    return Schedule(
        down=blocks(0, STRIPE if on_cpu else 8 * STRIPE),
        across=blocks(1, 16),
        group_sizes=CPU_GROUPS if on_cpu else GroupSizes(chunk, 16, num_parallel=1),
    )


def size_class(side: int) -> int:
    """Rounds a side up to one of few sizes, by at most an eighth above 512 pixels.

    Images of about one size share compiled code, for little padding.
    """
    step = max(SMALLEST_CLASS, 1 << max(0, (side - 1).bit_length() - 4))
    return -(-side // step) * step

"""The batch of a training step: images with several target masks each."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array


class Batch(NamedTuple):
    """Images in the frame of the model's input, with their target masks.

    Attributes:
        images: Float or UInt8 "b h w 3", RGB on the 0 to 255 scale, padded at the
            bottom and right; `h w` is the model's input size of this stage.
        sizes: Int "b 2", height and width of the part of each image that is not
            padding, in pixels.
        masks: Bool "b k h w", the target masks, False in the padding.
        valid: Bool "b k", False where the slot holds no mask.
    """

    images: Array
    sizes: Array
    masks: Array
    valid: Array


@runtime_checkable
class Source(Protocol):
    """Where batches come from.

    The batch of a step depends on the step and on nothing that happened before, so a
    resumed run reads what it would have read.
    """

    def batch(self, step: int) -> Batch:
        """Returns the batch of one step."""
        ...

"""The batch of a training step: images with several target masks each."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32


class Batch(NamedTuple):
    """Images in the frame of the model's input, with their target masks.

    Attributes:
        images: Float or UInt8 "b h w 3", RGB on the 0 to 255 scale, padded at the
            bottom and right; `h w` is the model's input size of this stage.
        sizes: Int "b 2", height and width of the part of each image that is not
            padding, in pixels.
        masks: Bool "b k h w", the target masks, False in the padding.
        valid: Bool "b k", False where the slot holds no mask.
        text: Float "b k e", a vector for each mask in place of a text; None without.
    """

    images: Array
    sizes: Array
    masks: Array
    valid: Array
    text: Array | None = None


class RunBatch(NamedTuple):
    """A batch of a dataset, its masks as run boundaries.

    They take half a megabyte for the 64 masks of an image of 1024 x 1024 pixels, dense
    masks 67; `dense_batch` decodes them on the device.

    Attributes:
        images: UInt8 "b h h 3", as in `Batch`.
        sizes: Int32 "b 2", as in `Batch`.
        runs: Int32 "b k l", boundaries of the masks (`samjax.data.runs`).
        valid: Bool "b k", as in `Batch`.
        status: Int32 "b", `samjax.data.examples.Status` of each example: above 0 it is
            damaged and has no valid mask, below 0 it is sound but has none either.
        bad_masks: Int32 "b", number of damaged masks of each example.
        index: Int64 "b", index of each example in its dataset.
        embeddings: Float "b gh gw c", image embeddings of a frozen encoder; None if the
            step has to compute them.
        weights: Float32 "b", factor of the losses of each example's masks; None for 1.
        part: Int32 "b", the part of a mixture that each example belongs to, with
            `index` counted within it; None without a mixture.
        text: Float "b k e", as in `Batch`.
    """

    images: Array
    sizes: Array
    runs: Array
    valid: Array
    status: Array
    bad_masks: Array
    index: Array
    embeddings: Array | None = None
    weights: Array | None = None
    part: Array | None = None
    text: Array | None = None


@runtime_checkable
class Source(Protocol):
    """A source of batches with random access by step.

    The batch of a step is a function of the step alone, so a resumed run reads the same
    batches as one that was never interrupted.
    """

    def batch(self, step: int) -> Batch | RunBatch:
        """Returns the batch of one step."""
        ...


@runtime_checkable
class ReaderSource(Source, Protocol):
    """A source that reads ahead, in threads or processes that have to be ended."""

    @property
    def position(self) -> dict[str, int]:
        """Position after the last batch, as a checkpoint keeps it."""
        ...

    def close(self) -> None:
        """Ends threads and processes."""
        ...


@runtime_checkable
class DatasetReader(ReaderSource, Protocol):
    """A source that reads files, of which some may be damaged."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems found when the dataset was opened, one line each."""
        ...

    @property
    def num_examples(self) -> int | None:
        """Examples of the dataset; None for a mixture, which has no single number."""
        ...

    def damage(self) -> list[str]:
        """Returns one line for each of the first damaged examples of all batches."""
        ...


def dense_batch(batch: Batch | RunBatch) -> Batch:
    """Returns a batch with dense masks; call it inside the jitted step.

    A `Batch` is returned unchanged.
    """
    if isinstance(batch, Batch):
        return batch
    masks = decode_runs(batch.runs, batch.sizes, batch.images.shape[1])
    return Batch(
        images=batch.images,
        sizes=batch.sizes,
        masks=masks & batch.valid[:, :, None, None],
        valid=batch.valid,
        text=batch.text,
    )


def decode_runs(
    runs: Int32[Array, "*batch k l"], sizes: Int32[Array, "*batch 2"], side: int
) -> Bool[Array, "*batch k {side} {side}"]:
    """Returns the dense masks of run boundaries, on the device.

    A pixel is in a mask if an odd number of boundaries lies at or before it.

    Args:
        runs: Rows written by `samjax.data.runs.pack_boundaries`.
        sizes: h, w of the part of each image that is not padding; masks are False in
            the padding.
        side: Side of the frame in pixels.
    """
    pixel = jnp.arange(side)

    def draw(positions, size):
        # int8 may overflow in the sums: only parity is used, and wrapping keeps it.
        # Padding positions, side * side, are out of range and dropped.
        changes = jnp.zeros(side * side, jnp.int8).at[positions].add(1, mode="drop")
        # Two short sums, within columns and over them, in place of one over all pixels.
        within = jnp.cumsum(changes.reshape(side, side), axis=1, dtype=jnp.int8)
        before = jnp.cumsum(within[:, -1], dtype=jnp.int8) - within[:, -1]
        inside = (pixel[:, None] < size[1]) & (pixel[None, :] < size[0])
        return ((((within + before[:, None]) & 1) == 1) & inside).T

    draw_all = jax.vmap(draw, in_axes=(0, None))
    for _ in runs.shape[:-2]:
        draw_all = jax.vmap(draw_all)
    return draw_all(runs, sizes)

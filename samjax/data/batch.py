"""The batch of a training step: images with several target masks each."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array

from samjax.data.drawing import decode_runs


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


class RunBatch(NamedTuple):
    """A batch of a dataset: its masks are the places where they change.

    That is half a megabyte for the 64 masks of an image of 1024 pixels instead of 67;
    `dense_batch` decodes them on the device.

    Attributes:
        images: UInt8 "b h h 3", as in `Batch`.
        sizes: Int32 "b 2", as in `Batch`.
        runs: Int32 "b k l", boundaries of the masks (`samjax.data.runs`).
        valid: Bool "b k", as in `Batch`.
        status: Int32 "b", `samjax.data.prepare.Status` of each example: above 0 it is
            damaged and has no valid mask, below 0 it is sound but has none either.
        bad_masks: Int32 "b", masks of each example that were damaged.
        index: Int64 "b", place of each example in its dataset.
        embeddings: Float "b gh gw c", image embeddings that were computed before; None
            where the images are still to be encoded.
        weights: Float32 "b", what the losses of each example's masks are multiplied by;
            None for 1.
        part: Int32 "b", which part of a mixture each example is of, and `index` its
            place in that; None without a mixture.
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


@runtime_checkable
class Source(Protocol):
    """A source of batches.

    The batch of a step depends on the step alone, so that a resumed run reads the
    batches that it would have read.
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
    """Returns a batch with masks of pixels; call it inside the jitted step.

    A `Batch` passes as it is.
    """
    if isinstance(batch, Batch):
        return batch
    masks = decode_runs(batch.runs, batch.sizes, batch.images.shape[1])
    return Batch(
        images=batch.images,
        sizes=batch.sizes,
        masks=masks & batch.valid[:, :, None, None],
        valid=batch.valid,
    )

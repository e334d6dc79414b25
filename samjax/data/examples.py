"""Examples: raw, as the bytes of an image file and the record of its masks, and prepared.

Raw examples are the interface between file formats and training: every format implements
`ExampleSource`, and `samjax.data.prepare` turns a raw example into arrays.
"""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from samjax.data.decode import ImageFile
from samjax.data.orientation import declared_frame
from samjax.geometry.frame import Frame


class RawExample(NamedTuple):
    """An image and its masks, unchecked; either may be missing or damaged.

    Attributes:
        name: Name of the example in reports; unique in its dataset.
        image: The bytes of an image file, or None if it is missing.
        record: A record in SA-1B's form, as the bytes of a JSON file or parsed
            (`samjax.data.schema.Record`), or None if it is missing. The size in
            `record["image"]` is that of the masks; the image file may be a smaller
            copy. The field `frame` beside it states whether the masks refer to the
            image turned upright by its EXIF orientation; without the field they refer
            to the pixels as stored, as in SA-1B.
        problem: Why a part is missing; None if the reason is unknown.
    """

    name: str
    image: bytes | None
    record: bytes | Mapping[str, Any] | None
    problem: str | None = None


@runtime_checkable
class ExampleSource(Protocol):
    """A dataset of raw examples with random access.

    It can be pickled and read by many threads and processes at once. Damaged data
    raises nothing here: a part that cannot be read is None, with the reason in
    `problem`, or the damaged bytes themselves, which `samjax.data.prepare` detects.
    """

    def __len__(self) -> int:
        """Returns the number of examples."""
        ...

    def __getitem__(self, index: int, /) -> RawExample:
        """Returns one example, `0 <= index < len(self)`."""
        ...


class Status(enum.IntEnum):
    """Status of a prepared example: above 0 it is damaged, below 0 it is sound but has
    no mask."""

    NO_MASK = -1
    """Sound, but without masks: it has none, or they are empty in the frame."""
    FINE = 0
    MISSING_IMAGE = 1
    MISSING_RECORD = 2
    BAD_IMAGE = 3
    """The image is truncated, corrupt, too large, or of no known format."""
    BAD_RECORD = 4
    """The record is not JSON, or not in SA-1B's form."""
    SIZE_MISMATCH = 5
    """The image has neither the size of its record nor that of a smaller copy."""
    BAD_MASKS = 6
    """No usable mask, and some of the masks are damaged."""


class Example(NamedTuple):
    """A prepared example; a batch of them is a `samjax.data.batch.RunBatch`.

    Attributes:
        image: UInt8 "s s 3", RGB, zero in the padding at the bottom and right.
        size: Int32 "2", h, w of the part that is not padding; (s, s) if the example is
            damaged.
        runs: Int32 "k l", boundaries of the masks in the frame (`samjax.data.runs`).
        valid: Bool "k", False where the slot holds no mask.
        status: Int32 "", a `Status`.
        bad_masks: Int32 "", number of masks read and found damaged.
        index: Int64 "", index of the example in its dataset.
    """

    image: np.ndarray
    size: np.ndarray
    runs: np.ndarray
    valid: np.ndarray
    status: np.ndarray
    bad_masks: np.ndarray
    index: np.ndarray


def open_image_file(image: bytes, info: Mapping[str, Any]) -> ImageFile:
    """Opens the image of an example in the frame of its masks.

    Args:
        image: The bytes of the image file.
        info: The field `image` of the record.

    Raises:
        BadImage: The bytes are not an image, or the image is too large.
    """
    return ImageFile(image, declared_frame(info) or "stored")


def smaller_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Returns the size (h, w) of a copy of an image, at most `long_side` on its longer side.

    Readers check with it that an image file belongs to its record.
    """
    return Frame.fit(size, min(long_side, max(size))).resized_size


def locate_in_parts(index: int, stops: Int[np.ndarray, " parts"]) -> tuple[int, int]:
    """Finds the part (such as a file) of a dataset that holds an example.

    Args:
        index: Index of the example in the dataset.
        stops: For each part, the index after its last example.

    Returns:
        The index of the part, and the index of the example within it.

    Raises:
        IndexError: There is no such example.
    """
    count = int(stops[-1]) if len(stops) else 0
    if not 0 <= index < count:
        raise IndexError(f"got index {index}, expected 0 to {count - 1}")
    part = int(np.searchsorted(stops, index, side="right"))
    return part, index - (int(stops[part - 1]) if part else 0)

"""Examples as a dataset stores them: the bytes of an image, and the record of its masks.

All formats meet here: a source gives raw examples by index, `samjax.data.prepare` makes
training examples of them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from samjax.data.decode import ImageFile
from samjax.data.orientation import declared_frame
from samjax.geometry.frame import Frame


class RawExample(NamedTuple):
    """An image and its masks, not looked at yet; either may be missing or damaged.

    Attributes:
        name: What to call it in a report; unique in its dataset.
        image: The bytes of an image file, or None where it is missing.
        record: The bytes of a JSON file in SA-1B's form, the same parsed
            (`samjax.data.schema.Record`), or None where it is missing. Its image's
            size is that of its masks; the image file may be a smaller copy. Its image's
            `frame` says whether that file is turned upright by its EXIF orientation;
            without one it is taken as it is stored, as SA-1B's files are.
        problem: Why a part is missing, in words; None where nothing is known.
    """

    name: str
    image: bytes | None
    record: bytes | Mapping[str, Any] | None
    problem: str | None = None


@runtime_checkable
class ExampleSource(Protocol):
    """A dataset of raw examples with random access.

    It can be pickled and read by many threads and processes at once. What is wrong with
    the data is never raised: a part that cannot be read is None, with `problem` saying
    why, or whatever bytes are there, and whoever prepares the example finds out.
    """

    def __len__(self) -> int:
        """Returns the number of examples."""
        ...

    def __getitem__(self, index: int, /) -> RawExample:
        """Returns one example, `0 <= index < len(self)`."""
        ...


def open_image_file(image: bytes, info: Mapping[str, Any]) -> ImageFile:
    """Opens the image of an example in the frame that its masks are in.

    Args:
        image: The bytes of its file.
        info: The `image` of its record.

    Raises:
        BadImage: The bytes are no image, or too large.
    """
    return ImageFile(image, declared_frame(info) or "stored")


def smaller_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Returns the size (h, w) of a copy of an image, at most `long_side` on its longer side.

    By this, readers know whether an image file is of its record.
    """
    return Frame.fit(size, min(long_side, max(size))).resized_size


def place_in_parts(index: int, stops: Int[np.ndarray, " parts"]) -> tuple[int, int]:
    """Finds an example of a dataset that is in parts, such as files.

    Args:
        index: Of the example in the dataset.
        stops: Of each part, the index after its last example.

    Returns:
        The number of the part, and the place of the example in it.

    Raises:
        IndexError: There is no such example.
    """
    count = int(stops[-1]) if len(stops) else 0
    if not 0 <= index < count:
        raise IndexError(f"got index {index}, expected 0 to {count - 1}")
    number = int(np.searchsorted(stops, index, side="right"))
    return number, index - (int(stops[number - 1]) if number else 0)

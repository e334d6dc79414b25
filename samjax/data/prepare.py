"""Preparation of an example: from the bytes of its files to arrays of fixed shapes.

The training frame is the model's input: the image resized so that its longest side is
`image_size` (rounded as in `samjax.geometry.Frame`), padded with zeros at the bottom
and right. Masks are resized to the same padded square with nearest-neighbour
interpolation.

`prepare` never raises and never drops an example: a damaged one is returned with a
status and without masks. A process that skipped it would be one batch short, and the
other processes of the run would wait for it in a collective operation for ever.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from samjax.data.decode import BadImage, ImageFile
from samjax.data.examples import (
    Example,
    RawExample,
    Status,
    open_image_file,
    smaller_size,
)
from samjax.data.rle_parsing import read_boundaries
from samjax.data.runs import (
    Boundaries,
    Window,
    drop_short_runs,
    mask_areas,
    move_boundaries,
    nearest,
    pack_boundaries,
)
from samjax.geometry.frame import Frame


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Shapes, mask selection and augmentation of the prepared examples.

    Attributes:
        image_size: Side of the training frame in pixels.
        masks_per_image: Number of mask slots of an example. If an image has more
            masks, a random subset is taken.
        boundaries_per_mask: Largest number of run boundaries per mask. A mask with more
            keeps its longest runs; if these cover less than 99 % of it, it counts as
            bad.
        largest_mask: Fraction of the image area above which a mask is left out, as it
            selects no particular object; None keeps all.
        smallest_mask: Area in pixels of the frame below which a mask is left out; None
            keeps all that are not empty.
        flip: Whether to mirror images left to right with probability 0.5.
        jitter: Bounds of the scale by which an image is resized relative to the size
            that fits the frame, drawn uniformly per image; an image that becomes larger
            than the frame is cropped at random (large-scale jitter, Ghiasi et al.
            2021). None resizes to fit.
        copy_paste: Probability that objects of another example are pasted on an image
            (`samjax.data.copy_paste`).
        colour_jitter: Strength of the jitter of brightness, contrast and saturation, 0
            to 1 (`samjax.data.colour`).
        greyscale: Probability that an image is converted to grey.
    """

    image_size: int
    masks_per_image: int
    boundaries_per_mask: int = 2048
    largest_mask: float | None = None
    smallest_mask: int | None = None
    flip: bool = False
    jitter: tuple[float, float] | None = None
    copy_paste: float = 0.0
    colour_jitter: float = 0.0
    greyscale: float = 0.0

    def __post_init__(self):
        problems = []
        if not 1 <= self.image_size <= 16384:
            problems.append(f"image_size={self.image_size}: use 1 to 16384")
        if self.masks_per_image < 1:
            problems.append(f"masks_per_image={self.masks_per_image}: use at least 1")
        if self.boundaries_per_mask < 2 or self.boundaries_per_mask % 2:
            problems.append(
                f"boundaries_per_mask={self.boundaries_per_mask}: use an even number"
            )
        if self.largest_mask is not None and not 0 < self.largest_mask <= 1:
            problems.append(f"largest_mask={self.largest_mask}: use a fraction, 0 to 1")
        if self.smallest_mask is not None and self.smallest_mask < 1:
            problems.append(f"smallest_mask={self.smallest_mask}: use at least 1")
        for name in ("copy_paste", "colour_jitter", "greyscale"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name}={getattr(self, name)}: use 0 to 1")
        if self.jitter is not None and not 0 < self.jitter[0] <= self.jitter[1] <= 8:
            problems.append(f"jitter={self.jitter}: use 0 < low <= high <= 8")
        if problems:
            raise ValueError("PrepareConfig: " + "; ".join(problems))


def prepare(
    raw: RawExample,
    config: PrepareConfig,
    rng: np.random.Generator,
    index: int = -1,
) -> Example:
    """Prepares a raw example, sound or damaged.

    Args:
        raw: An element of an `ExampleSource`.
        config: Shapes and augmentation.
        rng: Source of randomness for flip, scale, crop and choice of masks; the same
            state gives the same example.
        index: Index of the example in its dataset.
    """
    status, side = Status.FINE, config.image_size
    image = np.zeros((side, side, 3), np.uint8)
    shape = (config.masks_per_image, config.boundaries_per_mask)
    # side * side is past the last pixel: the padding of rows of boundaries, which the
    # decoder drops.
    runs = np.full(shape, side * side, np.int32)
    visible, masks, bad_masks = (side, side), 0, 0
    try:
        visible, masks, bad_masks = _prepare(raw, config, rng, image, runs)
        if not masks:
            status = Status.BAD_MASKS if bad_masks else Status.NO_MASK
    except _Damaged as damage:
        # The decoder may have written a part of the image before it failed.
        status, image = damage.status, np.zeros_like(image)
    return Example(
        image=image,
        size=np.array(visible, np.int32),
        runs=runs,
        valid=np.arange(config.masks_per_image) < masks,
        status=np.array(status, np.int32),
        bad_masks=np.array(bad_masks, np.int32),
        index=np.array(index, np.int64),
    )


def diagnose(raw: RawExample, config: PrepareConfig) -> str | None:
    """Returns a description of the damage of an example, None if it is sound.

    Args:
        raw: An element of an `ExampleSource`.
        config: As for training; `masks_per_image` bounds how many masks are read.
    """
    shape = (config.masks_per_image, config.boundaries_per_mask)
    image = np.zeros((config.image_size, config.image_size, 3), np.uint8)
    rng = np.random.default_rng(0)
    try:
        _, masks, bad = _prepare(raw, config, rng, image, np.zeros(shape, np.int32))
    except _Damaged as damage:
        return f"{raw.name}: {damage}"
    if bad:
        return f"{raw.name}: {bad} of {masks + bad} masks are damaged"
    return None


class _Damaged(Exception):
    """An example cannot be used."""

    def __init__(self, status: Status, reason: object):
        super().__init__(str(reason).partition("\n")[0])
        self.status = status


def _prepare(
    raw: RawExample,
    config: PrepareConfig,
    rng: np.random.Generator,
    frame: np.ndarray,
    runs: np.ndarray,
) -> tuple[tuple[int, int], int, int]:
    """Writes the image into `frame` and the boundaries of its masks into `runs`.

    Returns:
        The size that is not padding, the number of masks and that of damaged ones.
    """
    if raw.image is None:
        raise _Damaged(Status.MISSING_IMAGE, raw.problem or "its image is missing")
    if raw.record is None:
        raise _Damaged(Status.MISSING_RECORD, raw.problem or "its masks are missing")
    info, size, texts, bad_masks = _read_record(raw.record)
    try:
        file = open_image_file(raw.image, info)
        # A smaller copy of the image has its masks at the original's size.
        if file.size != smaller_size(size, max(file.size)):
            raise _Damaged(
                Status.SIZE_MISMATCH,
                f"its image is of {file.size}, its masks of {size} (height, width)",
            )
        view = _draw_view(size, config, rng)
        _fill(frame, file, view)
    except BadImage as error:
        raise _Damaged(Status.BAD_IMAGE, f"its image: {error}") from error
    masks, more_bad = _choose_masks(texts, view.window(size), config, rng, runs)
    return view.visible, masks, bad_masks + more_bad


def _fill(frame: np.ndarray, file: ImageFile, view: "_View") -> None:
    (top, left), (height, width) = view.corner, view.visible
    if view.visible == view.resized and not view.flip:
        file.read_into(frame[:height, :width])
        return
    crop = file.read(view.resized)[top : top + height, left : left + width]
    frame[:height, :width] = crop[:, ::-1] if view.flip else crop


class _View(NamedTuple):
    """Transform from an image to the frame: resize, crop, then mirror."""

    resized: tuple[int, int]
    corner: tuple[int, int]
    visible: tuple[int, int]
    flip: bool

    def window(self, size: tuple[int, int]) -> Window:
        rows, columns = (
            nearest(length, resized, start, start + visible)
            for length, resized, start, visible in zip(
                size, self.resized, self.corner, self.visible, strict=True
            )
        )
        return Window(size, rows, columns[::-1] if self.flip else columns)


def _draw_view(
    size: tuple[int, int], config: PrepareConfig, rng: np.random.Generator
) -> _View:
    side = config.image_size
    resized_side = side
    if config.jitter is not None:
        resized_side = max(1, round(side * rng.uniform(*config.jitter)))
    resized = Frame.fit(size, resized_side).resized_size
    visible = min(resized[0], side), min(resized[1], side)
    corner = tuple(
        int(rng.integers(whole - part + 1)) if whole > part else 0
        for whole, part in zip(resized, visible, strict=True)
    )
    flip = bool(config.flip and rng.random() < 0.5)
    return _View(resized, (corner[0], corner[1]), visible, flip)


def _read_record(
    record: bytes | Mapping[str, Any],
) -> tuple[Any, tuple[int, int], list[bytes], int]:
    """Returns the record's image, its size, the masks' RLE strings and the number without.

    Only the fields that training uses are checked, and a malformed mask loses that mask
    alone.
    """
    try:
        content = json.loads(record) if isinstance(record, bytes) else record
        image, annotations = content["image"], content["annotations"]
        size = (image["height"], image["width"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise _Damaged(Status.BAD_RECORD, f"its record: {error!r:.200}") from error
    # TFDS datasets have NumPy's integers.
    if not isinstance(annotations, list | tuple) or not all(
        isinstance(side, int | np.integer) and not isinstance(side, bool) and side > 0
        for side in size
    ):
        raise _Damaged(
            Status.BAD_RECORD,
            f"its record has a size of {size!r:.60} and {type(annotations).__name__} of "
            "annotations, expected two positive integers and a list",
        )
    size = (int(size[0]), int(size[1]))
    if size[0] * size[1] >= _MOST_PIXELS:
        raise _Damaged(Status.BAD_RECORD, f"its record has a size of {size}")
    texts = [_text(annotation, size) for annotation in annotations]
    readable = [text for text in texts if text is not None]
    return image, size, readable, len(texts) - len(readable)


# COCO counts pixels in 32 bits, and boundaries are int32 positions.
_MOST_PIXELS = 1 << 31


def _text(annotation: Any, size: tuple[int, int]) -> bytes | None:
    try:
        mask = annotation["segmentation"]
        height, width = mask["size"]
        text = mask["counts"]
        if (height, width) != size:
            return None
        text = text.encode("ascii") if isinstance(text, str) else text
        return text if isinstance(text, bytes) else None
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _choose_masks(
    texts: list[bytes],
    window: Window,
    config: PrepareConfig,
    rng: np.random.Generator,
    runs: np.ndarray,
) -> tuple[int, int]:
    """Draws up to K usable masks without replacement and writes their boundaries to `runs`.

    Masks that cannot be used are replaced by further draws until none are left.

    Returns:
        The number of masks written, and the number of damaged ones among those drawn.
    """
    order = rng.permutation(len(texts))
    masks, bad_masks, start = 0, 0, 0
    while masks < len(runs) and start < len(order):
        drawn = order[start : start + len(runs) - masks]
        start += len(drawn)
        boundaries, usable, bad = _read_masks([texts[i] for i in drawn], window, config)
        pack_boundaries(boundaries, usable, runs[masks : masks + len(usable)])
        masks += len(usable)
        bad_masks += bad
    return masks, bad_masks


def _read_masks(
    texts: list[bytes], window: Window, config: PrepareConfig
) -> tuple[Boundaries, np.ndarray, int]:
    """Returns boundaries in the frame, the usable masks and the number of damaged ones."""
    side = config.image_size
    visible = (len(window.rows), len(window.columns))
    read = read_boundaries(texts, window.size)
    boundaries = move_boundaries(read, window, side)
    boundaries, usable, too_coarse = choose_usable(boundaries, visible, config)
    bad = int(np.sum(~boundaries.good) + np.sum(too_coarse))
    return boundaries, usable, bad


def choose_usable(
    boundaries: Boundaries, visible: tuple[int, int], config: PrepareConfig
) -> tuple[Boundaries, Int[np.ndarray, " n"], Bool[np.ndarray, " m"]]:
    """Selects the masks that can be trained on.

    Args:
        boundaries: Boundaries in the frame.
        visible: h, w of the part of the frame that is not padding.
        config: Bounds on area and on the number of boundaries.

    Returns:
        Boundaries shortened to the rows of an example, the indices of the usable masks,
        and for each mask whether shortening lost more than 1 % of it.
    """
    areas = mask_areas(boundaries, visible, config.image_size)
    boundaries, lost = drop_short_runs(
        boundaries, config.boundaries_per_mask, visible, config.image_size
    )
    too_coarse = lost > 0.01 * areas
    usable = (areas > 0) & ~too_coarse
    if config.largest_mask is not None:
        usable &= areas <= config.largest_mask * visible[0] * visible[1]
    if config.smallest_mask is not None:
        usable &= areas >= config.smallest_mask
    return boundaries, np.flatnonzero(usable), too_coarse

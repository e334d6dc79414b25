"""Copy-paste augmentation: objects of one image pasted on another as further targets.

Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance
segmentation" (2021). Some complete masks of another example are resized, mirrored at
random and pasted at a random position; the masks below lose the covered pixels.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from samjax.data.examples import Example, Status
from samjax.data.prepare import PrepareConfig, choose_usable
from samjax.data.runs import (
    Boundaries,
    boundaries_of_masks,
    cut_boundaries,
    mask_areas,
    pack_boundaries,
)

# Largest number of pasted objects, and the bounds of their scale relative to the donor
# image resized to fit the frame.
MOST_PASTED = 3
SCALES = (0.4, 1.0)
# Bounds on the donor masks: a background would cover everything (fraction of the
# image), and a few pixels are not an object (pixels).
_LARGEST, _SMALLEST = 0.3, 16
# Fraction of a mask that has to stay visible for it to remain a target.
_LEAST_LEFT = 0.5


def donor_config(config: PrepareConfig) -> PrepareConfig:
    """Returns the preparation of examples from which objects are taken."""
    return dataclasses.replace(
        config,
        masks_per_image=MOST_PASTED,
        largest_mask=min(config.largest_mask or 1.0, _LARGEST),
        smallest_mask=max(config.smallest_mask or 0, _SMALLEST),
        flip=True,
        jitter=SCALES,
    )


def paste_objects(
    example: Example, donor: Example, config: PrepareConfig, rng: np.random.Generator
) -> Example:
    """Pastes some of the objects of one example on another.

    Pixels inside a pasted mask are copied from the donor, blended over about one pixel
    on both sides of the edge. If there are not enough slots, pasted masks replace the
    example's last ones.

    Args:
        example: The example to paste on; a damaged one is returned unchanged.
        donor: The example to take objects from, prepared with `donor_config`.
        config: Shapes and bounds on masks.
        rng: Source of randomness for the number of objects and their positions.
    """
    if example.status > 0 or not donor.valid.any():
        return example
    side, slots = config.image_size, config.masks_per_image
    visible = (int(example.size[0]), int(example.size[1]))
    # At most half of the slots, to keep room for the example's own masks.
    most = min(int(donor.valid.sum()), max(1, slots // 2))
    count = int(rng.integers(1, most + 1))
    canvas = _Canvas(example.image.copy(), np.zeros((side, side), np.uint8))
    areas = []
    for index in range(count):
        mask, corner = _draw(donor.runs[index], donor.size, side)
        area = _paste(canvas, mask, corner, donor, visible, len(areas) + 1, rng)
        if area:
            areas.append(area)
    if not areas:
        return example
    boundaries, kept = _cut(example, canvas.layers, areas, visible, side)
    boundaries, usable, _ = choose_usable(boundaries, visible, config)
    usable = usable[kept[usable]][:slots]
    runs = np.full_like(example.runs, side * side)
    pack_boundaries(boundaries, usable, runs[: len(usable)])
    status = Status.FINE if len(usable) else Status.NO_MASK
    return example._replace(
        image=canvas.image,
        runs=runs,
        valid=np.arange(slots) < len(usable),
        status=np.array(status, np.int32),
    )


class _Canvas(NamedTuple):
    """An image, and for each pixel the label of the topmost pasted object, 0 for none."""

    image: UInt8[np.ndarray, "s s 3"]
    layers: UInt8[np.ndarray, "s s"]


def _paste(
    canvas: _Canvas,
    mask: Bool[np.ndarray, "y x"],
    corner: tuple[int, int],
    donor: Example,
    visible: tuple[int, int],
    label: int,
    rng: np.random.Generator,
) -> int:
    """Pastes an object at a random position; returns its area, 0 if it is too large."""
    import cv2

    (height, width), (top, left) = mask.shape, corner
    free = visible[0] - height, visible[1] - width
    if min(free) < 0:
        return 0
    y, x = (int(rng.integers(space + 1)) for space in free)
    canvas.layers[y : y + height, x : x + width][mask] = label
    # One more pixel on each side for the soft edge, if both images have one there.
    above, before = min(1, top, y), min(1, left, x)
    below = min(1, int(donor.size[0]) - top - height, free[0] - y)
    after = min(1, int(donor.size[1]) - left - width, free[1] - x)
    rows = slice(top - above, top + height + below)
    columns = slice(left - before, left + width + after)
    target = canvas.image[
        y - above : y + height + below, x - before : x + width + after
    ]
    # Alpha in ninths: how many of the 3 x 3 pixels around each are in the mask. uint16
    # holds 255 * 9.
    count = cv2.boxFilter(
        np.pad(mask.astype(np.uint8), ((above, below), (before, after))),
        -1,
        (3, 3),
        normalize=False,
        borderType=cv2.BORDER_REPLICATE,
    ).astype(np.uint16)[..., None]
    target[...] = (donor.image[rows, columns] * count + target * (9 - count) + 4) // 9
    return int(mask.sum())


def _cut(
    example: Example,
    layers: UInt8[np.ndarray, "s s"],
    areas: list[int],
    visible: tuple[int, int],
    side: int,
) -> tuple[Boundaries, Bool[np.ndarray, " m"]]:
    """Returns the pasted masks followed by the example's own, and which are visible enough."""
    # Only the columns with pasted pixels are searched for boundaries.
    columns = np.flatnonzero(layers.any(axis=0))
    left, strip = int(columns[0]), layers[:, columns[0] : columns[-1] + 1]
    pasted = boundaries_of_masks(
        np.stack([strip == i + 1 for i in range(len(areas))]), left, visible
    )
    covered = boundaries_of_masks((strip > 0)[None], left, visible).position
    own = _boundaries_of(example.runs[example.valid], side)
    rest = cut_boundaries(own, covered)
    both = Boundaries(
        mask=np.concatenate([pasted.mask, rest.mask + np.int32(len(areas))]),
        position=np.concatenate([pasted.position, rest.position]),
        good=np.concatenate([pasted.good, rest.good]),
    )
    uncut_areas = np.concatenate([areas, mask_areas(own, visible, side)])
    return both, mask_areas(both, visible, side) >= _LEAST_LEFT * uncut_areas


def _boundaries_of(runs: Int[np.ndarray, "m l"], side: int) -> Boundaries:
    mask, column = np.nonzero(runs < side * side)
    return Boundaries(
        mask.astype(np.int32), runs[mask, column], np.ones(len(runs), bool)
    )


def _draw(
    runs: Int[np.ndarray, " l"], size: Int[np.ndarray, "2"], side: int
) -> tuple[Bool[np.ndarray, "y x"], tuple[int, int]]:
    """Decodes one mask, cropped to its box, and returns the box's (top, left) with it.

    `samjax.data.batch.decode_runs` decodes many masks on a device.
    """
    positions = runs[runs < side * side]
    # An odd number of boundaries: the last run extends to the end of the image.
    stop = positions[-1] // side + 1 if len(positions) % 2 == 0 else int(size[1])
    first = int(positions[0]) // side
    changes = np.zeros((int(stop) - first) * side, bool)
    changes[positions - first * side] = True
    columns = np.logical_xor.accumulate(changes).reshape(-1, side)[:, : size[0]]
    ((left, right), (top, bottom)) = (
        (inside[0], inside[-1] + 1)
        for inside in (np.flatnonzero(columns.any(axis=axis)) for axis in (1, 0))
    )
    mask = columns[left:right, top:bottom].T.copy()
    return mask, (int(top), first + int(left))

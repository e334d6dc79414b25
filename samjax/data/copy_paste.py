"""Copy-paste: objects of one image on another, as targets of their own.

Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance
segmentation" (2021). Some whole masks of another example are resized, mirrored at random
and put where they fit; what they cover is cut from the masks below.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from samjax.data.prepare import Example, PrepareConfig, Status, choose_usable
from samjax.data.runs import (
    Boundaries,
    boundaries_of_masks,
    cut_boundaries,
    mask_areas,
    pack_boundaries,
)

# Objects that are pasted, at most, and their scale against that of their image when it
# fits into the frame.
MOST_PASTED = 3
SCALES = (0.4, 1.0)
# A background that is pasted over everything is no object, a few pixels are none either.
_LARGEST, _SMALLEST = 0.3, 16
# A mask of which less than this is left is no target any more.
_LEAST_LEFT = 0.5


def donor_config(config: PrepareConfig) -> PrepareConfig:
    """Returns what becomes of an example that objects are taken from."""
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
    """Pastes some of the masks of one example on another.

    Inside a pasted mask pixels are those of its image, but for a soft edge of about a
    pixel to both sides. Pasted masks take the place of the example's last ones where
    there is no room for all.

    Args:
        example: What is pasted on; a damaged one stays as it is.
        donor: Where objects come from, prepared as `donor_config` says.
        config: What is asked of a mask, and the shapes.
        rng: Decides how many objects are pasted, and where.
    """
    if example.status > 0 or not donor.valid.any():
        return example
    side, slots = config.image_size, config.masks_per_image
    visible = (int(example.size[0]), int(example.size[1]))
    most = min(int(donor.valid.sum()), max(1, slots // 2))
    wanted = int(rng.integers(1, most + 1))
    canvas = _Canvas(example.image.copy(), np.zeros((side, side), np.uint8))
    areas = []
    for number in range(wanted):
        mask, corner = _draw(donor.runs[number], donor.size, side)
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
    """What is pasted on, and the number of the object on top of each pixel, 0 for none."""

    image: UInt8[np.ndarray, "s s 3"]
    layers: UInt8[np.ndarray, "s s"]


def _paste(
    canvas: _Canvas,
    mask: Bool[np.ndarray, "y x"],
    corner: tuple[int, int],
    donor: Example,
    visible: tuple[int, int],
    number: int,
    rng: np.random.Generator,
) -> int:
    """Pastes an object where it fits; returns its pixels, 0 if it fits nowhere."""
    import cv2

    (height, width), (top, left) = mask.shape, corner
    free = visible[0] - height, visible[1] - width
    if min(free) < 0:
        return 0
    y, x = (int(rng.integers(space + 1)) for space in free)
    canvas.layers[y : y + height, x : x + width][mask] = number
    # A pixel more to each side, where both images have one, for the soft edge.
    above, before = min(1, top, y), min(1, left, x)
    below = min(1, int(donor.size[0]) - top - height, free[0] - y)
    after = min(1, int(donor.size[1]) - left - width, free[1] - x)
    rows = slice(top - above, top + height + below)
    columns = slice(left - before, left + width + after)
    place = canvas.image[y - above : y + height + below, x - before : x + width + after]
    # How many of the nine pixels around each are in the mask.
    count = cv2.boxFilter(
        np.pad(mask.astype(np.uint8), ((above, below), (before, after))),
        -1,
        (3, 3),
        normalize=False,
        borderType=cv2.BORDER_REPLICATE,
    ).astype(np.uint16)[..., None]
    place[...] = (donor.image[rows, columns] * count + place * (9 - count) + 4) // 9
    return int(mask.sum())


def _cut(
    example: Example,
    layers: UInt8[np.ndarray, "s s"],
    areas: list[int],
    visible: tuple[int, int],
    side: int,
) -> tuple[Boundaries, Bool[np.ndarray, " m"]]:
    """The pasted masks, then the example's own, and of which enough is to be seen."""
    columns = np.flatnonzero(layers.any(axis=0))
    left, some = int(columns[0]), layers[:, columns[0] : columns[-1] + 1]
    pasted = boundaries_of_masks(
        np.stack([some == i + 1 for i in range(len(areas))]), left, visible
    )
    covered = boundaries_of_masks((some > 0)[None], left, visible).position
    own = _boundaries_of(example.runs[example.valid], side)
    rest = cut_boundaries(own, covered)
    both = Boundaries(
        mask=np.concatenate([pasted.mask, rest.mask + np.int32(len(areas))]),
        position=np.concatenate([pasted.position, rest.position]),
        good=np.concatenate([pasted.good, rest.good]),
    )
    whole = np.concatenate([areas, mask_areas(own, visible, side)])
    return both, mask_areas(both, visible, side) >= _LEAST_LEFT * whole


def _boundaries_of(runs: Int[np.ndarray, "m l"], side: int) -> Boundaries:
    mask, place = np.nonzero(runs < side * side)
    return Boundaries(
        mask.astype(np.int32), runs[mask, place], np.ones(len(runs), bool)
    )


def _draw(
    runs: Int[np.ndarray, " l"], size: Int[np.ndarray, "2"], side: int
) -> tuple[Bool[np.ndarray, "y x"], tuple[int, int]]:
    """A mask within its own bounds, and the row and column of their corner.

    `samjax.data.drawing` draws many masks on a device.
    """
    places = runs[runs < side * side]
    # Without a last boundary a mask goes on to the end of the image.
    stop = places[-1] // side + 1 if len(places) % 2 == 0 else int(size[1])
    first = int(places[0]) // side
    changes = np.zeros((int(stop) - first) * side, bool)
    changes[places - first * side] = True
    columns = np.logical_xor.accumulate(changes).reshape(-1, side)[:, : size[0]]
    ((left, right), (top, bottom)) = (
        (found[0], found[-1] + 1)
        for found in (np.flatnonzero(columns.any(axis=axis)) for axis in (1, 0))
    )
    mask = columns[left:right, top:bottom].T.copy()
    return mask, (int(top), first + int(left))

"""Pasted objects become masks of the image and cover the masks below them."""

import dataclasses

import jax
import numpy as np
import pytest
import simplejpeg

from samjax.data.batch import decode_runs
from samjax.data.copy_paste import MOST_PASTED, donor_config, paste_objects
from samjax.data.datasets import DatasetConfig, DatasetSource
from samjax.data.examples import RawExample
from samjax.data.prepare import Example, PrepareConfig, Status, prepare
from samjax.geometry.masks import encode_rle

SIDE = 48
CONFIG = PrepareConfig(
    image_size=SIDE, masks_per_image=6, boundaries_per_mask=128, copy_paste=1.0
)
draw = jax.jit(decode_runs, static_argnums=2)


def raw(size: tuple[int, int], masks: np.ndarray, bright: int) -> RawExample:
    """An image of noise, dark or bright, so that the origin of pixels is known."""
    rng = np.random.default_rng(bright)
    pixels = rng.integers(bright, bright + 60, (*size, 3)).astype(np.uint8)
    record = {
        "image": {"height": size[0], "width": size[1]},
        "annotations": [{"segmentation": encode_rle(mask)} for mask in masks],
    }
    return RawExample("a", simplejpeg.encode_jpeg(pixels, quality=100), record)


def disjoint(size: tuple[int, int]) -> np.ndarray:
    """Masks side by side that fill the image, each touching its borders."""
    masks = np.zeros((6, *size), bool)
    for number, columns in enumerate(np.array_split(np.arange(size[1]), 6)):
        masks[number][:, columns] = True
    return masks


def blobs(size: tuple[int, int]) -> np.ndarray:
    """Three objects of odd outlines, one with a hole."""
    y, x = np.mgrid[: size[0], : size[1]]
    disc = np.hypot(y - 15, x - 14) < 10
    ring = disc & (np.hypot(y - 15, x - 14) > 4)
    wedge = (y > 20) & (x > 25) & (y - 20 < x - 25)
    return np.stack([ring, wedge, np.roll(disc, (14, 20), (0, 1))])


def pair(seed: int, size=(40, 48)) -> tuple[Example, Example]:
    rng = np.random.default_rng(seed)
    base = prepare(raw(size, disjoint(size), 20), CONFIG, rng, 0)
    donor = prepare(raw((44, 40), blobs((44, 40)), 160), donor_config(CONFIG), rng, 1)
    assert base.status == donor.status == Status.FINE
    return base, donor


def masks_of(example: Example) -> np.ndarray:
    drawn = np.asarray(draw(example.runs, example.size, SIDE))
    return drawn[example.valid]


@pytest.mark.parametrize("size", [(40, 48), (48, 30), (48, 48)])
def test_disjoint_masks_stay_disjoint_and_lose_only_covered_pixels(size):
    pasted_at_all = 0
    for seed in range(20):
        base, donor = pair(seed, size)
        before = masks_of(base)
        made = paste_objects(base, donor, CONFIG, np.random.default_rng(seed))
        after = masks_of(made)
        assert after.sum(axis=0).max() <= 1
        # Bright pixels are the donor's.
        bright = made.image.min(axis=-1) > 120
        own = [mask for mask in after if bright[mask].mean() < 0.4]
        pasted = [mask for mask in after if bright[mask].mean() >= 0.4]
        assert len(after) <= CONFIG.masks_per_image
        if not pasted:
            continue
        pasted_at_all += 1
        assert bright[np.any([eroded(mask) for mask in pasted], axis=0)].all()
        for mask in own:
            assert not bright[eroded(mask)].any()
            (source,) = [b for b in before if not (mask & ~b).any()]
            assert mask.sum() >= 0.5 * source.sum()
    assert pasted_at_all > 10


def eroded(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask whose neighbours are all in the mask."""
    padded = np.pad(mask, 1)
    shifts = [
        padded[y : y + mask.shape[0], x : x + mask.shape[1]]
        for y in range(3)
        for x in range(3)
    ]
    return np.all(shifts, axis=0)


def test_pixels_inside_a_pasted_mask_are_those_of_its_image():
    found = 0
    for seed in range(20):
        base, donor = pair(seed)
        one = donor._replace(valid=np.array([True, False, False]))
        made = paste_objects(base, one, CONFIG, np.random.default_rng(seed))
        (source,) = masks_of(one)
        (moved,) = [m for m in masks_of(made) if m.sum() == source.sum()]
        corner = [np.argwhere(mask).min(axis=0) for mask in (source, moved)]
        shift = tuple(corner[1] - corner[0])
        np.testing.assert_array_equal(np.roll(source, shift, (0, 1)), moved)
        expected = np.roll(donor.image, shift, (0, 1))
        inside = eroded(moved)
        np.testing.assert_array_equal(made.image[inside], expected[inside])
        outside = eroded(~moved)
        np.testing.assert_array_equal(made.image[outside], base.image[outside])
        # The edge is of both.
        edge = ~inside & ~outside
        assert (made.image[edge] != expected[edge]).any()
        found += inside.any()
    assert found > 10


def test_a_mostly_covered_mask_is_no_longer_a_target():
    size = (48, 48)
    small, large = np.zeros((2, *size), bool)
    small[20:24, 20:24] = True
    large[:, 10:40] = True
    rng = np.random.default_rng(0)
    base = prepare(raw(size, np.stack([small, large]), 20), CONFIG, rng, 0)
    cover = np.zeros((1, *size), bool)
    cover[0, :15, :15] = True
    config = dataclasses.replace(donor_config(CONFIG), jitter=None)
    donor = prepare(raw(size, cover, 160), config, rng, 1)
    assert donor.valid.sum() == 1
    counts = set()
    for seed in range(200):
        made = paste_objects(base, donor, CONFIG, np.random.default_rng(seed))
        masks = masks_of(made)
        bright = made.image.min(axis=-1) > 120
        left = (small & ~bright).sum()
        has_small = any(not (mask & ~small).any() for mask in masks)
        # Soft edges make some of the bright pixels' number uncertain.
        if left > small.sum() * 0.8 or left < small.sum() * 0.3:
            assert has_small == (left > small.sum() * 0.5)
        counts.add(has_small)
    assert counts == {True, False}


def test_pasted_masks_replace_others_if_all_slots_are_used():
    config = dataclasses.replace(CONFIG, masks_per_image=2)
    base, donor = pair(0)
    base = prepare(
        raw((40, 48), disjoint((40, 48)), 20), config, np.random.default_rng(0)
    )
    made = paste_objects(base, donor, config, np.random.default_rng(0))
    assert made.runs.shape == base.runs.shape and made.valid.all()
    assert not np.array_equal(made.runs[0], base.runs[0])


def test_damaged_examples_are_unchanged_and_damaged_donors_unused():
    base, donor = pair(0)
    rng = np.random.default_rng(0)
    bad = base._replace(status=np.array(Status.BAD_IMAGE, np.int32))
    assert paste_objects(bad, donor, CONFIG, rng) is bad
    nothing = donor._replace(valid=np.zeros(MOST_PASTED, bool))
    assert paste_objects(base, nothing, CONFIG, rng) is base


class Images:
    """A dataset of two kinds of images."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int, /) -> RawExample:
        if index % 2:
            return raw((44, 40), blobs((44, 40)), 160 + index)
        return raw((40, 48), disjoint((40, 48)), 20 + index)


def test_augmented_batches_are_a_function_of_the_step():
    config = DatasetConfig(
        path="none",
        copy_paste=0.5,
        colour_jitter=0.4,
        greyscale=0.2,
        boundaries_per_mask=128,
    ).preparation(image_size=SIDE, masks_per_image=6)
    plain = dataclasses.replace(config, copy_paste=0.0)

    def batches(config, **options):
        source = DatasetSource(Images(), config, batch_size=4, seed=0, **options)
        found = [source.batch(step) for step in (0, 1, 2, 5)]
        source.close()
        return found

    first = batches(config)
    for again in (batches(config, prefetch=4), batches(config, workers=1)):
        for one, other in zip(first, again, strict=True):
            for field, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(field, same)
    changed = [
        not np.array_equal(a, b)
        for one, other in zip(first, batches(plain), strict=True)
        for a, b in zip(one.runs, other.runs, strict=True)
    ]
    assert 2 < sum(changed) < 14

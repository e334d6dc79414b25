"""Scenes textured with photos keep their boundaries."""

import io

import numpy as np
from PIL import Image

from samjax.data.examples import RawExample
from samjax.data.prepare import Status
from samjax.data.scene_examples import SceneExamples
from samjax.data.synthetic.config import SceneConfig
from samjax.data.textures import draw_photos, fill_regions

SIDE = 32
CONFIG = SceneConfig(size=SIDE, num_objects=3, min_objects=1, num_masks=4, camera=False)


class Photos:
    """Photos of two halves in memory; those in `bad` are damaged."""

    def __init__(self, bad: tuple[int, ...] = ()):
        self.bad = bad

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int, /) -> RawExample:
        if index in self.bad:
            return RawExample(str(index), None, None)
        pixels = np.random.default_rng(index).integers(0, 256, (30, 50, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return RawExample(str(index), file.getvalue(), None)


def nested() -> np.ndarray:
    """A square, another in it, and one beside both."""
    masks = np.zeros((3, SIDE, SIDE), bool)
    masks[0, 10:14, 10:14] = True
    masks[1, 4:20, 4:20] = True
    masks[2, 22:30, 5:28] = True
    return masks


def flat(value: int) -> np.ndarray:
    return np.full((40, 60, 3), value, np.uint8)


def test_every_region_is_filled_with_one_photo_up_to_a_soft_edge():
    masks = nested()
    photos = [flat(value) for value in (60, 120, 180)]
    regions = [masks[0], masks[1] & ~masks[0], masks[2], ~masks.any(axis=0)]
    seen, apart = set(), 0
    for seed in range(10):
        picture = fill_regions(masks, photos, np.random.default_rng(seed))
        filled = []
        for region in regions:
            inside = np.all(
                [np.roll(region, shift, (0, 1)) for shift in np.ndindex(3, 3)], axis=0
            )
            inside = np.roll(inside, (-1, -1), (0, 1))
            # A half may be rounded up or down.
            values = picture[inside].astype(int)
            assert np.ptp(values) <= 1
            filled.append(int(values.min()))
        seen |= set(filled)
        apart += len(set(filled)) == len(filled)
    assert len(seen) > 10 and apart > 5


def test_masks_are_those_of_the_scene_and_pixels_are_not():
    plain = SceneExamples(CONFIG, 256, seed=1)
    worn = SceneExamples(CONFIG, 256, seed=1, textures=Photos())
    for number in range(3):
        drawn, filled = plain[number], worn[number]
        np.testing.assert_array_equal(drawn.runs, filled.runs)
        np.testing.assert_array_equal(drawn.valid, filled.valid)
        assert not np.array_equal(drawn.image, filled.image)
        np.testing.assert_array_equal(filled.image, worn[number].image)


def test_photos_cover_the_scene_and_damaged_ones_are_skipped():
    for seed in range(5):
        photos = draw_photos(Photos(bad=(0, 2)), SIDE, np.random.default_rng(seed))
        assert len(photos) == 4
        assert all(min(photo.shape[:2]) >= SIDE for photo in photos)


def test_a_scene_without_any_photo_is_damaged():
    made = SceneExamples(CONFIG, 256, seed=1, textures=Photos(bad=(0, 1, 2, 3)))[0]
    assert made.status == Status.BAD_IMAGE and not made.valid.any()


def test_a_scene_without_masks_is_one_photo():
    masks = np.zeros((0, SIDE, SIDE), bool)
    picture = fill_regions(masks, [flat(90)], np.random.default_rng(0))
    assert np.ptp(picture.astype(int)) <= 1

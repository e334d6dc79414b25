"""Crops of masks as in the paper's text prompts: growth, squares, borders, zeroing, patches."""

import numpy as np
import pytest

from samjax.data.mask_crops import CropConfig, crop_mask, draw_crop, square_around

CONFIG = CropConfig(side=28, patch=7)


def image_of(height, width):
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


def mask_of(shape, left, top, right, bottom):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    "box, growth, square",
    [
        ((10, 20, 30, 40), 1, (10, 20, 30, 40)),
        ((10, 20, 30, 40), 2, (0, 10, 40, 50)),
        # The longer side decides, and the centre stays.
        ((10, 20, 30, 24), 1, (10, 12, 30, 32)),
        ((10, 20, 15, 24), 1.5, (8.75, 18.25, 16.25, 25.75)),
        # Beyond the border.
        ((0, 0, 60, 10), 1, (0, -25, 60, 35)),
    ],
)
def test_the_box_is_grown_and_made_a_square(box, growth, square):
    assert square_around(mask_of((60, 60), *box), float(growth)).tolist() == list(
        square
    )


def test_a_crop_of_the_model_s_size_has_the_pixels_of_the_image():
    image, mask = image_of(60, 80), mask_of((60, 80), 20, 10, 48, 38)
    crop = crop_mask(image, mask, 1.0, False, CONFIG)
    np.testing.assert_array_equal(crop.pixels, image[10:38, 20:48])
    assert crop.inside.all() and crop.box.tolist() == [20, 10, 48, 38]


def test_what_is_beyond_the_image_is_black_and_outside():
    image, mask = image_of(60, 80), mask_of((60, 80), 0, 0, 28, 28)
    crop = crop_mask(image, mask, 2.0, False, CONFIG)
    # Half of the crop's sides are before the image's first row and column.
    assert not crop.pixels[:6].any() and not crop.pixels[:, :6].any()
    assert crop.pixels[8:].any()
    assert crop.inside.tolist() == [
        [False] * 4,
        [False, True, True, False],
        [False, True, True, False],
        [False] * 4,
    ]


@pytest.mark.parametrize(
    "background, fill", [("black", (0, 0, 0)), ("mean", (123, 117, 104))]
)
def test_zeroing_replaces_what_is_outside_of_the_mask_alone(background, fill):
    config = CropConfig(side=28, patch=7, background=background)
    image, mask = image_of(60, 80), mask_of((60, 80), 20, 10, 48, 38)
    mask[10:24, 20:34] = False
    crop = crop_mask(image, mask, 1.0, True, config)
    assert (crop.pixels[:14, :14] == fill).all()
    np.testing.assert_array_equal(crop.pixels[14:], image[24:38, 20:48])
    # The image of the caller stays.
    assert (image > 0).all()


def test_a_patch_is_inside_if_half_of_it_is():
    image, mask = image_of(28, 28), np.zeros((28, 28), bool)
    mask[0, 0] = mask[27, 27] = True
    mask[7:14, 7:11] = True  # 4 of 7 columns
    mask[7:14, 14:17] = True  # 3 of 7
    crop = crop_mask(image, mask, 1.0, False, CONFIG)
    assert np.argwhere(crop.inside).tolist() == [[1, 1]]


def test_pixels_behind_the_last_whole_patch_are_in_none():
    # 30 pixels in patches of 7: 4 patches are 28 pixels.
    config = CropConfig(side=30, patch=7)
    mask = mask_of((30, 30), 0, 0, 30, 30)
    mask[:, 14:28] = False
    crop = crop_mask(image_of(30, 30), mask, 1.0, False, config)
    assert crop.pixels.shape == (30, 30, 3)
    np.testing.assert_array_equal(crop.inside, [[True, True, False, False]] * 4)


def test_of_a_thin_mask_the_best_patch_is_inside():
    mask = np.zeros((56, 56), bool)
    mask[10:40, 20] = True
    crop = crop_mask(image_of(56, 56), mask, 1.0, False, CONFIG)
    assert crop.inside.any() and crop.inside.sum() <= 8
    assert set(np.argwhere(crop.inside)[:, 1].tolist()) <= {1, 2}


def test_drawn_crops_have_the_share_and_the_growth_of_the_config():
    image, mask = image_of(40, 40), mask_of((40, 40), 10, 10, 20, 20)
    mask[10, 10] = False
    generator = np.random.default_rng(0)
    sides, zeroed = [], 0
    for _ in range(300):
        crop = draw_crop(generator, image, mask, CONFIG)
        sides.append(crop.box[2] - crop.box[0])
        zeroed += int(np.median(crop.pixels[0]) == 0)
    assert 10 <= min(sides) < 10.5 and 19.5 < max(sides) <= 20
    assert 110 < zeroed < 190


@pytest.mark.parametrize(
    "change",
    [{"side": 6}, {"growth": (0.5, 2.0)}, {"growth": (2.0, 1.0)}, {"zeroed": 2.0}],
)
def test_configs_that_make_no_crops_are_refused(change):
    fields = {"side": 28, "patch": 7, **change}
    with pytest.raises(ValueError, match="CropConfig"):
        CropConfig(**fields)


def test_empty_masks_and_masks_of_other_sizes_are_refused():
    for mask in (np.zeros((40, 40), bool), np.ones((40, 41), bool)):
        with pytest.raises(ValueError, match="expected some of"):
            crop_mask(image_of(40, 40), mask, 1.0, False, CONFIG)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from samjax.models import (
    ABSENT,
    BACKGROUND,
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    FOREGROUND,
    NOT_A_POINT,
)
from samjax.training.prompt_draws import (
    BoxNoise,
    draw_box_prompt,
    draw_correction,
    draw_pixel,
    draw_point_prompt,
    tight_box,
)
from samjax.training.targets import make_targets


def ragged_masks(seed=0, number=6, height=12, width=20):
    return jnp.asarray(
        np.random.default_rng(seed).random((2, number, height, width)) < 0.2
    )


def targets_of(masks, sizes=None):
    batch, number, height, width = masks.shape
    if sizes is None:
        sizes = jnp.tile(jnp.array([[height, width]]), (batch, 1))
    valid = jnp.ones((batch, number), bool)
    return make_targets(masks, valid, sizes, "image", (height, width))


def keys_of(seed, masks):
    return jax.random.split(jax.random.key(seed), masks.shape[:2])


def rectangle(top, left, bottom, right, height, width):
    return jnp.zeros((height, width), bool).at[top:bottom, left:right].set(True)


def test_a_drawn_pixel_is_in_its_region():
    regions = ragged_masks()
    for seed in range(20):
        pixel, found = draw_pixel(keys_of(seed, regions), regions)
        for image in range(2):
            for mask in range(6):
                x, y = pixel[image, mask]
                assert found[image, mask] and regions[image, mask, y, x]


def test_pixels_are_drawn_uniformly():
    region = np.random.default_rng(1).random((9, 7)) < 0.4
    region[3] = False  # A row without pixels must never be drawn.
    number = 20_000
    regions = jnp.broadcast_to(jnp.asarray(region), (1, number, 9, 7))
    pixel, found = draw_pixel(keys_of(0, regions), regions)
    assert found.all()
    counts = np.zeros((9, 7), int)
    np.add.at(counts, (pixel[0, :, 1], pixel[0, :, 0]), 1)
    assert (counts[~region] == 0).all()
    assert stats.chisquare(counts[region]).pvalue > 1e-3


def test_an_empty_region_has_no_pixel():
    masks = jnp.zeros((1, 1, 4, 4), bool)
    _, found = draw_pixel(keys_of(0, masks), masks)
    assert not found.any()


def test_the_first_point_is_in_the_mask_and_brings_the_token_of_no_box():
    targets = targets_of(ragged_masks())
    points, labels = draw_point_prompt(keys_of(0, targets.masks), targets)
    assert (labels[..., 0] == FOREGROUND).all()
    assert (labels[..., 1] == NOT_A_POINT).all()
    for image in range(2):
        for mask in range(6):
            x, y = points[image, mask, 0].astype(int)
            assert targets.masks[image, mask, y, x]


def test_the_first_point_is_anywhere_in_the_mask_with_equal_chance():
    mask = np.random.default_rng(2).random((9, 7)) < 0.4
    masks = jnp.broadcast_to(jnp.asarray(mask), (1, 20_000, 9, 7))
    points, _ = draw_point_prompt(keys_of(3, masks), targets_of(masks))
    x, y = np.asarray(points[0, :, 0]).astype(int).T
    counts = np.zeros((9, 7), int)
    np.add.at(counts, (y, x), 1)
    assert counts.sum() == counts[mask].sum()
    assert stats.chisquare(counts[mask]).pvalue > 1e-3


def test_a_slot_without_a_mask_gets_no_prompt_at_all():
    masks = ragged_masks().at[:, 2].set(False)
    targets = targets_of(masks)
    for labels in (
        draw_point_prompt(keys_of(0, masks), targets)[1],
        draw_box_prompt(keys_of(0, masks), targets, BoxNoise())[1],
    ):
        assert (labels[:, 2] == ABSENT).all() and (labels[:, :2] != ABSENT).all()
    for fallback in ("background", "foreground", "none"):
        predicted = jnp.ones_like(masks)
        _, label = draw_correction(keys_of(0, masks), predicted, targets, fallback)
        assert (label[:, 2] == ABSENT).all() and (label[:, :2] != ABSENT).all()


def test_the_tight_box_is_the_outermost_pixels():
    masks = rectangle(3, 5, 10, 21, 32, 32)[None, None]
    low, high, found = tight_box(masks)
    assert low.tolist() == [[[5, 3]]] and high.tolist() == [[[20, 9]]] and found.all()


def boxes_with(noise, size, number=4000):
    mask = rectangle(64 - size, 64 - size, 64 + size, 64 + size, 128, 128)
    masks = jnp.broadcast_to(mask, (1, number, 128, 128))
    corners, labels = draw_box_prompt(keys_of(0, masks), targets_of(masks), noise)
    assert (labels[..., 0] == BOX_TOP_LEFT).all()
    assert (labels[..., 1] == BOX_BOTTOM_RIGHT).all()
    low, high, _ = tight_box(masks[:, :1])
    tight = np.concatenate([low[0, 0], high[0, 0]])
    return np.asarray(corners[0]).reshape(number, 4) - tight


@pytest.mark.parametrize(
    ("size", "sigma"),
    [(10, 1.9), (50, 2.5)],
    ids=["a tenth of the side", "at most 20 pixels of a frame of 1024"],
)
def test_gaussian_box_noise_has_the_standard_deviation_of_the_paper(size, sigma):
    noise = boxes_with(BoxNoise(), size)
    np.testing.assert_allclose(noise.std(0), sigma, rtol=0.05)
    np.testing.assert_allclose(noise.mean(0), 0, atol=4 * sigma / np.sqrt(4000))
    assert stats.kstest(noise[:, 0] / sigma, "norm").pvalue > 1e-3
    off_diagonal = np.corrcoef(noise.T) - np.eye(4)
    assert np.abs(off_diagonal).max() < 0.08


@pytest.mark.parametrize(
    ("height", "width", "sigma"),
    [(21, 11, (1.0, 2.0)), (11, 101, (2.5, 1.0)), (101, 111, (2.5, 2.5))],
    ids=["a tenth of each side", "only the long side is limited", "both are"],
)
def test_width_and_height_have_noise_of_their_own(height, width, sigma):
    mask = rectangle(10, 8, 10 + height, 8 + width, 128, 128)
    masks = jnp.broadcast_to(mask, (1, 4000, 128, 128))
    corners, _ = draw_box_prompt(keys_of(1, masks), targets_of(masks), BoxNoise())
    tight = np.array([[8, 10], [8 + width - 1, 10 + height - 1]])
    noise = np.asarray(corners[0]) - tight
    np.testing.assert_allclose(noise.std(0), np.tile(sigma, (2, 1)), rtol=0.05)


def test_the_limit_of_box_noise_is_twenty_pixels_at_the_size_of_the_paper():
    mask = rectangle(300, 300, 801, 801, 1024, 1024)
    masks = jnp.broadcast_to(mask, (1, 64, 1024, 1024))
    corners, _ = draw_box_prompt(keys_of(2, masks), targets_of(masks), BoxNoise())
    noise = (np.asarray(corners[0]) - np.array([[300], [800]])).ravel()
    # A variance of n draws has a chi-square law: these are its 0.1 and 99.9 percent.
    low, high = stats.chi2.ppf([1e-3, 1 - 1e-3], noise.size)
    assert low < np.sum((noise / 20) ** 2) < high


def test_uniform_box_noise_has_that_half_width():
    noise = boxes_with(BoxNoise(law="uniform"), 10)
    assert np.abs(noise).max() <= 1.9 and np.abs(noise).max() > 1.88
    np.testing.assert_allclose(noise.std(0), 1.9 / np.sqrt(3), rtol=0.05)


def test_a_jittered_box_stays_inside_the_image():
    masks = jnp.ones((1, 500, 32, 32), bool)
    sizes = jnp.array([[24, 32]])
    corners, _ = draw_box_prompt(
        keys_of(0, masks), targets_of(masks, sizes), BoxNoise(ratio=0.5, limit=1e4)
    )
    assert (corners >= 0).all()
    assert (corners[..., 0] <= 31).all() and (corners[..., 1] <= 23).all()
    assert (corners[..., 1] == 23).any()


def test_a_correction_is_drawn_uniformly_from_the_error_with_the_right_label():
    target, predicted = rectangle(2, 2, 8, 8, 10, 10), rectangle(4, 4, 10, 10, 10, 10)
    number = 20_000
    masks = jnp.broadcast_to(target, (1, number, 10, 10))
    points, labels = draw_correction(
        keys_of(0, masks),
        jnp.broadcast_to(predicted, masks.shape),
        targets_of(masks),
        "background",
    )
    error = np.asarray(target ^ predicted)
    x, y = np.asarray(points[0]).astype(int).T
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, x), 1)
    assert (counts[~error] == 0).all()
    assert stats.chisquare(counts[error]).pvalue > 1e-3
    np.testing.assert_array_equal(
        labels[0], np.where(np.asarray(target)[y, x], FOREGROUND, BACKGROUND)
    )


def test_no_correction_is_drawn_in_the_padding():
    masks = jnp.broadcast_to(rectangle(0, 0, 4, 4, 10, 10), (1, 200, 10, 10))
    targets = targets_of(masks, jnp.array([[6, 5]]))
    points, labels = draw_correction(
        keys_of(0, masks), jnp.ones_like(masks), targets, "background"
    )
    assert (labels == BACKGROUND).all()
    assert (points[..., 0] < 5).all() and (points[..., 1] < 6).all()


@pytest.mark.parametrize(
    ("rule", "label"),
    [("background", BACKGROUND), ("foreground", FOREGROUND), ("none", ABSENT)],
)
def test_a_mask_that_is_right_is_corrected_by_the_chosen_rule(rule, label):
    masks = ragged_masks()
    _, labels = draw_correction(keys_of(0, masks), masks, targets_of(masks), rule)
    assert (labels == label).all()


def test_prompts_of_coarse_targets_are_at_the_centres_of_their_pixels():
    mask = rectangle(8, 4, 12, 8, 16, 16)[None, None]
    targets = make_targets(
        mask, jnp.ones((1, 1), bool), jnp.array([[16, 16]]), "logits", (4, 4)
    )
    points, _ = draw_point_prompt(keys_of(0, mask), targets)
    # The model adds half a pixel: (5.5, 9.5) is the middle of columns 4 to 7.
    assert points[0, 0, 0].tolist() == [5.5, 9.5]

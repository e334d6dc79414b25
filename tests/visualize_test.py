"""Overlays: drawn where they should be, and nowhere else."""

import numpy as np
import pytest

from samjax.visualize import (
    BACKGROUND_COLOR,
    BOX_COLOR,
    FOREGROUND_COLOR,
    contact_sheet,
    draw_boxes,
    draw_masks,
    draw_points,
    mask_color,
)


@pytest.fixture
def image(rng) -> np.ndarray:
    return rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((60, 90), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_masks_are_filled_with_alpha_and_nothing_outside_them_changes(image):
    mask = square(10, 20, 30)
    kept = image.copy()
    drawn = draw_masks(image, mask[None], colors=[(255, 0, 0)], alpha=0.4, outline=0)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(drawn[~mask], image[~mask])
    expected = np.round(0.6 * image[mask] + 0.4 * np.array([255, 0, 0]))
    np.testing.assert_array_equal(drawn[mask], expected)


def test_outlines_lie_inside_the_edge(image):
    mask = square(10, 20, 30)
    drawn = draw_masks(image, mask[None], colors=[(1, 2, 3)], alpha=0.0, outline=2)
    core = square(12, 22, 26)
    np.testing.assert_array_equal(drawn[core], image[core])
    np.testing.assert_array_equal(drawn[~mask], image[~mask])
    assert (drawn[mask & ~core] == (1, 2, 3)).all()


def test_outlines_follow_masks_to_the_border_of_the_image(image):
    mask = np.ones((60, 90), bool)
    drawn = draw_masks(image, mask[None], colors=[(1, 2, 3)], alpha=0.0, outline=1)
    assert (drawn[0] == (1, 2, 3)).all() and (drawn[:, -1] == (1, 2, 3)).all()


def test_parts_stay_visible_on_wholes(image):
    whole, part = square(5, 5, 40), square(15, 15, 10)
    colors = [(255, 0, 0), (0, 0, 255)]
    for masks, order in (([part, whole], colors[::-1]), ([whole, part], colors)):
        drawn = draw_masks(image, np.stack(masks), colors=order, alpha=1.0, outline=0)
        assert (drawn[part] == (0, 0, 255)).all()
        assert (drawn[whole & ~part] == (255, 0, 0)).all()


def test_empty_masks_and_no_masks_draw_nothing(image):
    nothing = draw_masks(image, np.zeros((2, 60, 90), bool))
    np.testing.assert_array_equal(nothing, image)
    np.testing.assert_array_equal(draw_masks(image, np.zeros((0, 60, 90), bool)), image)


def test_colors_are_stable_and_differ():
    colors = [mask_color(index) for index in range(24)]
    assert colors == [mask_color(index) for index in range(24)]
    assert len(set(colors)) == 24
    distances = np.abs(np.diff(np.array(colors), axis=0)).sum(axis=1)
    assert distances.min() > 100


def test_the_color_of_a_mask_is_that_of_its_index(image):
    masks = np.stack([square(0, 0, 5), square(10, 10, 40)])
    drawn = draw_masks(image, masks, alpha=1.0, outline=0)
    assert (drawn[masks[0]] == mask_color(0)).all()
    assert (drawn[masks[1]] == mask_color(1)).all()


def test_points_are_discs_with_a_white_edge_around_their_pixel(image):
    points, labels = np.array([[20, 30], [70, 10]]), np.array([1, 0])
    drawn = draw_points(image, points, labels, radius=8.0)
    assert (drawn[30, 20] == FOREGROUND_COLOR).all()
    assert (drawn[10, 70] == BACKGROUND_COLOR).all()
    for dx, dy in ((7, 0), (-7, 0), (0, 7), (0, -7)):
        assert (drawn[30 + dy, 20 + dx] == 255).all()
    y, x = np.mgrid[:60, :90]
    far = ((x - 20) ** 2 + (y - 30) ** 2 > 100) & ((x - 70) ** 2 + (y - 10) ** 2 > 100)
    np.testing.assert_array_equal(drawn[far], image[far])
    # The half pixel: a disc at a pixel is symmetric around it.
    disc = draw_points(image * 0, points[:1], radius=8.0).max(axis=2)[20:41, 10:31]
    np.testing.assert_array_equal(disc, disc[::-1])
    np.testing.assert_array_equal(disc, disc.T)


def test_points_at_and_beyond_the_border_are_clipped(image):
    drawn = draw_points(image, np.array([[0, 0], [-500, 20], [89, 59]]))
    assert (drawn[0, 0] == FOREGROUND_COLOR).all()
    assert (drawn[59, 89] == FOREGROUND_COLOR).all()
    np.testing.assert_array_equal(drawn[20:40, :40], image[20:40, :40])


def test_boxes_are_frames_around_their_pixels(image):
    drawn = draw_boxes(image, np.array([[20, 10, 60, 40]]), width=2)
    np.testing.assert_array_equal(drawn[11:40, 21:60], image[11:40, 21:60])
    for y, x in ((9, 40), (41, 40), (25, 19), (25, 61)):
        assert (drawn[y, x] == BOX_COLOR).all()
    np.testing.assert_array_equal(drawn[:6], image[:6])
    outside = draw_boxes(image, np.array([[-50, -50, 200, 200]]))
    np.testing.assert_array_equal(outside, image)


def test_several_boxes_may_have_their_own_colors(image):
    boxes = np.array([[10, 10, 20, 20], [50, 30, 70, 50]])
    drawn = draw_boxes(image, boxes, colors=[(1, 2, 3), (4, 5, 6)], width=1)
    assert (drawn[15, 9] == (1, 2, 3)).all() and (drawn[40, 49] == (4, 5, 6)).all()


def test_marks_grow_with_the_image():
    small, large = (
        draw_points(np.zeros((side, side, 3), np.uint8), np.array([[side // 2] * 2]))
        for side in (200, 2000)
    )
    assert 5 < (large > 0).any(2).sum() / (small > 0).any(2).sum() < 30


def test_contact_sheets_show_every_image_in_its_own_proportions(image):
    tall = np.full((80, 20, 3), (0, 0, 255), np.uint8)
    red = np.full((40, 80, 3), (255, 0, 0), np.uint8)
    sheet = contact_sheet([red, tall, red], ["one", "two", "three"], cell_size=100)
    assert sheet.dtype == np.uint8 and sheet.shape[1] < 240
    assert ((sheet == (255, 0, 0)).all(2)).sum() == 2 * 50 * 100
    assert ((sheet == (0, 0, 255)).all(2)).sum() == 25 * 100
    ink = (sheet.max(axis=2) < 120).any(axis=1)
    assert ink[110:135].any(), "the captions of the first row"
    bare = contact_sheet([red], cell_size=100)
    assert bare.shape[0] < 70


def test_long_captions_stay_in_their_cell(image):
    sheet = contact_sheet([image * 0 + 255], ["w" * 200], cell_size=100)
    columns = np.flatnonzero((sheet < 120).any(axis=(0, 2)))
    assert columns[0] >= 4 and columns[-1] < sheet.shape[1] - 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda i: draw_masks(i, np.ones((1, 5, 5), bool)),
            r"\(1, 5, 5\) for an image",
        ),
        (
            lambda i: draw_masks(i, np.ones((2, 60, 90), bool), colors=[(1, 2, 3)]),
            "1 colors for 2 masks",
        ),
        (
            lambda i: draw_points(i, np.zeros((2, 2)), np.ones(1)),
            "1 labels for 2 points",
        ),
        (lambda i: draw_boxes(i, np.zeros((2, 4)), colors=[]), "0 colors for 2 boxes"),
        (lambda i: contact_sheet([]), "no images for a contact sheet"),
        (lambda i: contact_sheet([i], ["a", "b"]), "2 captions for 1 images"),
    ],
)
def test_mistakes_are_reported(image, call, message):
    with pytest.raises(ValueError, match=message):
        call(image)

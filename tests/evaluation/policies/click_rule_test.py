import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from samjax.evaluation.policies.click_rule import Click, interior_distance, next_click

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


def square(top, left, bottom, right, size=20):
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


@settings(max_examples=50)
@given(arrays.arrays(bool, (7, 9)))
def test_distances_are_those_to_the_nearest_pixel_outside(region):
    ours = interior_distance(region)
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded) - 1
    for y, x in np.ndindex(region.shape):
        nearest = np.hypot(outside[:, 0] - y, outside[:, 1] - x).min()
        assert ours[y, x] == pytest.approx(nearest, rel=1e-5)


def test_the_first_click_is_the_pixel_farthest_from_the_boundary():
    assert next_click(square(2, 4, 9, 11)) == Click(x=7, y=5, label=1)


def test_the_border_of_the_image_is_a_boundary():
    # Without it, the deepest pixel of a half disc would lie on the border.
    assert next_click(square(0, 0, 9, 9)) == Click(x=4, y=4, label=1)


def test_the_next_click_is_in_the_deeper_error():
    target = square(2, 2, 9, 9)
    missing = target & ~square(2, 2, 9, 5)
    assert next_click(target, missing) == Click(x=3, y=3, label=1)
    excess = target | square(11, 11, 18, 18)
    assert next_click(target, excess) == Click(x=14, y=14, label=0)
    both = missing | square(11, 11, 18, 18)
    assert next_click(target, both).label == 0


def test_a_tie_is_a_background_click():
    target, predicted = square(2, 2, 7, 7), square(11, 11, 16, 16)
    assert next_click(target, predicted).label == 0


def test_no_pixel_is_clicked_twice():
    target = square(2, 2, 9, 9)
    clicked = np.zeros_like(target)
    seen = set()
    for _ in range(5):
        click = next_click(target, np.zeros_like(target), clicked)
        seen.add((click.x, click.y))
        clicked[click.y, click.x] = True
    assert len(seen) == 5


def test_nothing_is_clicked_when_the_mask_is_right():
    target = square(2, 2, 9, 9)
    assert next_click(target, target) is None
    one = square(3, 3, 4, 4)
    assert next_click(one, np.zeros_like(one), one) is None


def plain_click(target, predicted, clicked):
    """The rule in plain words, with SciPy's exact distances and loops."""
    best = {}
    for label, error in ((1, target & ~predicted), (0, predicted & ~target)):
        distance = scipy.ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        best[label] = (0.0, 0, 0)
        for y in range(target.shape[0]):
            for x in range(target.shape[1]):
                if not clicked[y, x] and distance[y, x] > best[label][0]:
                    best[label] = (distance[y, x], y, x)
    label = 1 if best[1][0] > best[0][0] else 0
    distance, y, x = best[label]
    return None if distance == 0 else Click(x=x, y=y, label=label)


def shapes(rng, size=24):
    """Masks with ties (even sides, twins), holes, rings, borders and noise."""
    rows, columns = np.indices((size, size))
    radius = np.hypot(rows - rng.integers(4, 20), columns - rng.integers(4, 20))
    ring = (radius < rng.integers(5, 12)) & (radius >= rng.integers(1, 5))
    twins = square(2, 2, 8, 8, size) | square(12, 12, 18, 18, size)
    holes = square(1, 1, 20, 22, size) & ~square(6, 6, 10, 10, size)
    border = square(0, 0, rng.integers(1, size), rng.integers(1, size), size)
    noise = rng.random((size, size)) < rng.random()
    return [ring, twins, holes, border, noise, ring ^ holes, twins ^ border]


def test_clicks_are_those_of_a_plain_version_with_ties_holes_rings_and_ignored_pixels():
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(12):
        masks = shapes(rng)
        for target in masks:
            predicted = masks[rng.integers(len(masks))]
            ignored = rng.random(target.shape) < rng.choice([0, 0.1])
            target, predicted = target & ~ignored, predicted & ~ignored
            clicked = rng.random(target.shape) < rng.choice([0, 0.05])
            expected = plain_click(target, predicted, clicked)
            assert next_click(target, predicted, clicked) == expected
            first = plain_click(target, np.zeros_like(target), np.zeros_like(target))
            assert next_click(target) == first
            compared += 1
    assert compared == 84

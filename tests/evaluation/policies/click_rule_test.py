import numpy as np
import pytest
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

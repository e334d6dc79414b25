"""Frames: the arithmetic of the reference, and maps that undo each other."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samjax.geometry.frame import PIXEL_MEAN, PIXEL_STD, Frame, normalize

sides = st.integers(1, 6000)


@given(sides, sides, st.sampled_from([64, 512, 1024]))
def test_target_size_is_floor_of_scaled_plus_half_in_float64(height, width, model_size):
    """Trap 4a: Python's round (halves to even) and float32 both differ."""
    frame = Frame.fit((height, width), model_size)
    scale = model_size * 1.0 / max(height, width)
    expected = [max(1, int(side * scale + 0.5)) for side in (height, width)]
    assert list(frame.resized_size) == expected
    assert max(frame.resized_size) == model_size


def test_a_half_rounds_up_where_python_rounds_to_even():
    """Trap 4a: 1024 * 5 / 2048 is 2.5, which `round` makes 2."""
    assert Frame.fit((5, 2048), 1024).resized_size == (3, 1024)
    assert round(5 * 1024 / 2048) == 2


def test_a_frame_never_has_an_empty_side():
    frame = Frame.fit((1, 5000), 1024)
    assert frame.resized_size == (1, 1024)
    pixels = np.full((1, 5000, 3), 7, np.uint8)
    assert frame.resize_image(pixels).shape == (1, 1024, 3)


def test_one_pixel_images_have_a_frame():
    frame = Frame.fit((1, 1), 64)
    resized = frame.resize_image(np.full((1, 1, 3), 9, np.uint8))
    assert resized.shape == (64, 64, 3) and (resized == 9).all()


def test_empty_images_have_none():
    with pytest.raises(ValueError, match="expected sides of at least 1 pixel"):
        Frame.fit((0, 10), 1024)


def test_points_scale_per_axis_in_float64_and_are_cast_once(rng):
    """Trap 4a: one factor for both axes drifts; float32 arithmetic drifts."""
    frame = Frame.fit((1201, 1799), 1024)
    assert frame.scale[0] != frame.scale[1]
    points = rng.uniform(0, 1800, (1000, 2))
    (height, width), (resized_height, resized_width) = (
        frame.original_size,
        frame.resized_size,
    )
    expected = np.stack(
        [
            points[:, 0] * (resized_width / width),
            points[:, 1] * (resized_height / height),
        ],
        axis=1,
    ).astype(np.float32)
    mapped = frame.points_to_model(points)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, expected)


def test_no_half_pixel_is_added_on_the_host():
    """Trap 4c: the prompt encoder adds the 0.5; twice would be a pixel off."""
    frame = Frame.fit((1024, 1024), 1024)
    points = np.array([[0.0, 0.0], [10.0, 20.0]])
    np.testing.assert_array_equal(frame.points_to_model(points), points)
    np.testing.assert_array_equal(
        frame.boxes_to_model(np.array([1.0, 2.0, 3.0, 4.0])), [1, 2, 3, 4]
    )


@given(
    st.tuples(sides, sides),
    st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
)
def test_boxes_and_points_return_from_the_model(size, box):
    frame = Frame.fit(size, 1024)
    box = np.array(box)
    back = frame.boxes_to_original(frame.boxes_to_model(box))
    np.testing.assert_allclose(back, box, rtol=1e-6, atol=1e-3)
    points = box.reshape(2, 2)
    back = frame.points_to_original(frame.points_to_model(points))
    np.testing.assert_allclose(back, points, rtol=1e-6, atol=1e-3)


def test_boxes_are_two_points():
    frame = Frame.fit((300, 500), 1024)
    boxes = np.array([[10.0, 20.0, 30.0, 40.0], [-5.0, 0.0, 600.0, 301.0]])
    corners = frame.points_to_model(boxes.reshape(2, 2, 2))
    np.testing.assert_array_equal(frame.boxes_to_model(boxes), corners.reshape(2, 4))


def test_images_are_resized_by_pillow_bilinear_on_eight_bits(rng):
    """Trap 4a: antialiased when it shrinks, rounded to 8 bits before normalizing."""
    image = rng.integers(0, 256, (90, 130, 3), dtype=np.uint8)
    frame = Frame.fit(image.shape[:2], 64)
    expected = Image.fromarray(image).resize(
        (frame.resized_size[1], frame.resized_size[0]), Image.Resampling.BILINEAR
    )
    resized = frame.resize_image(image)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.asarray(expected))
    # A resize without antialiasing would pick pixels and keep the noise's deviation.
    assert resized.std() < 0.7 * image.std()


def test_resize_takes_a_view_with_any_strides(rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    frame = Frame.fit((20, 30), 64)
    flipped = frame.resize_image(image[:, :, ::-1])
    np.testing.assert_array_equal(flipped, frame.resize_image(image)[:, :, ::-1])


def test_resize_refuses_an_image_of_another_size():
    frame = Frame.fit((20, 30), 64)
    with pytest.raises(ValueError, match=r"\(30, 20\) for a frame of \(20, 30\)"):
        frame.resize_image(np.zeros((30, 20, 3), np.uint8))


def test_padding_is_right_and_bottom(rng):
    frame = Frame.fit((20, 40), 64)
    image = rng.integers(1, 256, (32, 64, 3), dtype=np.uint8)
    padded = frame.pad(image)
    np.testing.assert_array_equal(padded[:32], image)
    assert not padded[32:].any()
    with pytest.raises(ValueError, match="call resize_image first"):
        frame.pad(image[:, :50])


@settings(max_examples=10)
@given(st.integers(1, 16), st.integers(1, 16))
def test_padding_is_zero_after_normalizing(height, width):
    """Trap 4a: padding first would make it black instead of the mean colour."""
    pixels = np.full((2, 16, 16, 3), 200, np.uint8)
    normalized = np.asarray(
        normalize(jnp.asarray(pixels), np.array([[height, width]] * 2))
    )
    expected = ((200 - np.array(PIXEL_MEAN)) / np.array(PIXEL_STD)).astype(np.float32)
    assert normalized.dtype == np.float32
    inside = normalized[:, :height, :width]
    np.testing.assert_allclose(
        inside, np.broadcast_to(expected, inside.shape), rtol=1e-6
    )
    assert not normalized[:, height:].any() and not normalized[:, :, width:].any()


def test_each_image_has_its_own_valid_size():
    pixels = jnp.zeros((2, 4, 4, 3))
    normalized = np.asarray(normalize(pixels, jnp.array([[1, 4], [4, 2]])))
    present = (normalized != 0).all(-1)
    assert present[0].sum() == 4 and present[0, 0].all()
    assert present[1].sum() == 8 and present[1, :, :2].all()

"""Views: what is found in them comes back to the photo's frame exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inference.scenes import proposals

from samjax.engine.views import View
from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import counts_to_mask
from samjax.inference import Predictor

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(MASKS.filter(np.any))
def test_a_mask_of_the_mirror_image_is_the_mask_of_the_photo(mask):
    height, width = mask.shape
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8)
    shown = View(mirrored=True).of_image(image)[:, :, 0] == 1
    (found,) = proposals([shown], (0, 0, width, height))
    back = View(mirrored=True).to_photo(found, mask.shape)
    np.testing.assert_array_equal(counts_to_mask(back.counts, mask.shape), mask)
    assert list(back.box) == boxes_from_masks(mask[None])[0].tolist()
    # The point of a proposal here is its first pixel, whose left edge has become right.
    x, y = back.point
    assert mask[int(y), int(x) - 1]
    assert back.crop_box == (0, 0, width, height)
    assert View().to_photo(found, mask.shape) == found


@given(
    left=st.integers(0, 5), width=st.integers(1, 5), view=st.sampled_from([True, False])
)
def test_a_crop_of_a_view_is_the_same_part_of_the_photo(left, width, view):
    view, size = View(mirrored=view), (4, 10)
    columns = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None], (4, 10, 3))
    (found,) = proposals([np.ones(size, bool)], (0, 0, 10, 4))
    shown = view.of_image(columns)[:, left : left + width]
    crop = found._replace(crop_box=(left, 0, left + width, 4))
    first, _, last, _ = view.to_photo(crop, size).crop_box
    assert sorted(set(shown.ravel())) == list(range(first, last))


@pytest.mark.parametrize("scale", [0.5, 0.75, 0.01])
def test_a_photo_at_a_scale_fills_so_much_of_the_model_s_frame(tiny_model, rng, scale):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 256, (20, 40, 3), np.uint8)
    frame = View(scale=scale).embed(predictor, image).frame
    assert frame.model_size == 64 and frame.original_size == (20, 40)
    assert frame.resized_size[1] == max(1, round(64 * scale))


def test_an_embedding_at_full_scale_is_the_predictor_s(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 256, (20, 40, 3), np.uint8)
    embedding = View(mirrored=True).embed(predictor, image)
    np.testing.assert_array_equal(embedding.features, predictor.embed(image).features)


def test_an_embedding_at_a_scale_is_that_of_the_smaller_photo(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    image = rng.integers(0, 256, (20, 40, 3), np.uint8)
    embedding = View(scale=0.5).embed(predictor, image)
    (expected,) = predictor.embed_resized(
        [(embedding.frame.resize_image(image), embedding.frame)]
    )
    np.testing.assert_array_equal(embedding.features, expected.features)
    assert not np.allclose(embedding.features, predictor.embed(image).features)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, np.nan])
def test_a_scale_that_does_not_fit_the_frame_is_refused(scale):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        View(scale=scale)

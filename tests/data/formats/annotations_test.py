"""Boxes, areas and pixels computed from RLE agree with those of the mask."""

import numpy as np
import pytest
from data.formats.small_records import annotation, record
from hypothesis import example, given
from hypothesis.extra import numpy as hnp

from samjax.data.formats.annotations import (
    box_of_counts,
    columns_of_counts,
    counts_of,
    make_annotation,
)
from samjax.geometry.masks import mask_to_counts

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(masks)
@example(np.zeros((3, 4), bool))
@example(np.ones((3, 4), bool))
@example(np.eye(4, dtype=bool))
def test_a_bare_annotation_has_the_box_and_area_of_its_mask(mask):
    bare = make_annotation(mask_to_counts(mask), mask.shape, 7)
    full = annotation(mask, 7)
    for field in ("bbox", "area", "segmentation", "id", "crop_box"):
        assert bare[field] == full[field]


def test_runs_of_no_length_have_no_box():
    """Other tools write runs of length 0: 2 zeros, 0 ones, 1 zero, 1 one, 2 zeros."""
    counts = np.array([2, 0, 1, 1, 2])
    assert box_of_counts(counts, 2) == [1.0, 1.0, 0.0, 0.0]
    left, columns = columns_of_counts(counts, 2)
    assert left == 1
    assert columns.tolist() == [[False, True]]


@given(masks)
@example(np.zeros((3, 4), bool))
def test_only_columns_with_pixels_are_decoded(mask):
    left, columns = columns_of_counts(mask_to_counts(mask), len(mask))
    again = np.zeros_like(mask)
    again[:, left : left + len(columns)] = columns.T
    np.testing.assert_array_equal(again, mask)
    if mask.any():
        assert columns[0].any() and columns[-1].any()


@pytest.mark.parametrize("counts", ["", "5", "zzz", "0", "1000000000", "m~"])
def test_damaged_run_lengths_are_refused_with_the_annotations_id(counts):
    one = record([np.ones((2, 3), bool)], image_id=4, first_id=31)
    one["annotations"][0]["segmentation"]["counts"] = counts
    with pytest.raises(ValueError, match="annotation 31 of image 4"):
        counts_of(one["annotations"][0], one["image"])


def test_a_mask_of_another_size_than_its_image_is_refused():
    one = record([np.ones((2, 3), bool)])
    one["image"]["width"], one["image"]["height"] = 2, 3
    with pytest.raises(ValueError, match=r"\[2, 3\], expected the image's \[3, 2\]"):
        counts_of(one["annotations"][0], one["image"])

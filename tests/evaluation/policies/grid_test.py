"""A grid of points as prompts."""

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, rounds_of, sample_of

from samjax.evaluation.policies.grid import Grid


def test_every_cell_of_the_image_is_prompted_at_its_centre_by_itself():
    rounds = rounds_of(Grid(points_per_side=5), ColorSegmenter(), sample_of(TWO))
    responses = [response for of_round in rounds for response in of_round.responses]
    points = np.concatenate([response.prompt.points for response in responses])
    expected = [[16 * x + 8, 12 * y + 6] for y in range(5) for x in range(5)]
    np.testing.assert_allclose(points, expected)
    assert all(response.index is None for response in responses)
    assert all(len(of_round.responses) <= 16 for of_round in rounds)


def test_responses_to_no_object_have_masks_and_no_iou():
    first, *_ = rounds_of(Grid(points_per_side=1), ColorSegmenter(), sample_of(TWO))
    (response,) = first.responses
    assert response.mask.any() and response.predicted_iou == 0.8
    with pytest.raises(ValueError, match="no object"):
        _ = response.iou


def test_a_grid_of_no_points_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Grid(points_per_side=0)

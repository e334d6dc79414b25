"""Edge maps of a promptable model: from the masks of a grid, after NMS."""

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, rounds_of, sample_of

from samjax.evaluation.edge_detectors import SOBEL
from samjax.evaluation.policies.edge_maps import EdgeMaps

pytest.importorskip("scipy.ndimage", reason="edges of masks need the extra `eval`")


def test_the_edges_of_all_masks_of_the_grid_are_found():
    segmenter = ColorSegmenter()
    (round,) = rounds_of(EdgeMaps(edge_nms="none"), segmenter, sample_of(TWO))
    prompts = [prompt for call in segmenter.prompts for prompt in call]
    assert len(prompts) == 256 and all(len(prompt.points) == 1 for prompt in prompts)
    assert not round.responses and not round.is_scored
    # One pixel outside of each square, and one inside: the boundary of the ground.
    for mask in TWO:
        rows, columns = np.nonzero(mask)
        top, left, right = rows.min(), columns.min(), columns.max()
        middle = (left + right) // 2
        assert (round.edges[[top - 1, top], middle] > 0).all()
        assert not round.edges[[top - 2, top + 1], middle].any()
    thinned = rounds_of(EdgeMaps(), ColorSegmenter(), sample_of(TWO))[0].edges
    assert 0 < np.count_nonzero(thinned) <= np.count_nonzero(round.edges)


def test_a_mask_that_a_better_one_covers_is_dropped():
    class Shifting(ColorSegmenter):
        """Gives each mask a worse twin that has a column more."""

        def masks(self, image, prompt):
            single, three = super().masks(image, prompt)
            wider = np.roll(three.masks[1], 1, axis=1) | three.masks[1]
            three.masks[0] = wider
            return type(super().masks(image, prompt))(single, three)

    policies = (EdgeMaps(edge_nms="none"), EdgeMaps(edge_nms="none", nms=1.0))
    some, every = (
        rounds_of(policy, Shifting(), sample_of(TWO[:1]))[0].edges
        for policy in policies
    )
    right = np.nonzero(TWO[0])[1].max()
    assert not some[15, right + 2] and every[15, right + 2]


def test_a_detector_gives_its_own_map_and_a_box_model_none():
    pytest.importorskip("cv2")
    sample = sample_of(TWO)
    (round,) = rounds_of(EdgeMaps(edge_nms="none"), SOBEL, sample)
    assert np.array_equal(round.edges, SOBEL.detect_edges(sample.image))
    segmenter = ColorSegmenter()
    segmenter.prompt_kinds = frozenset(("box",))
    with pytest.raises(ValueError, match=r"takes \['box'\] alone"):
        rounds_of(EdgeMaps(), segmenter, sample)
    with pytest.raises(ValueError, match="nms=1.5"):
        EdgeMaps(nms=1.5)

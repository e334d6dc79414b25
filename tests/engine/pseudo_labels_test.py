"""Labels are the masks that come back in other views, each once."""

import dataclasses

import numpy as np
import pytest
from engine.shown_things import PHOTO, SIZE, TWO, both, colored, find_left_half
from inference.scenes import box, mask_of, proposals

from samjax.engine import PseudoLabelConfig, label_photo
from samjax.engine.pseudo_labels import EVERYTHING, agreements, find_in_views
from samjax.geometry.masks import (
    counts_to_mask,
    mask_iou,
    mask_to_counts,
    run_lengths,
)
from samjax.inference import Predictor
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import propose

MIRROR = PseudoLabelConfig(scales=())
ALL = (0, 0, SIZE[1], SIZE[0])


@pytest.fixture(scope="module")
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)


def labels(predictor, propose, config=MIRROR, image=PHOTO):
    return label_photo(predictor, image, config, propose=propose)


@pytest.mark.parametrize("config", [MIRROR, PseudoLabelConfig()])
def test_a_mask_that_all_views_have_is_a_label(predictor, config):
    found = labels(predictor, both, config)
    expected = TWO if config.mirror else [*TWO, box(SIZE, 0, 0, 60, 40)]
    assert [one.get("agreement", 0) for one in found] == [1.0] * len(expected)
    assert {mask_of(one).tobytes() for one in found} == {m.tobytes() for m in expected}


def test_a_mask_that_the_mirror_image_moves_is_none(predictor):
    assert labels(predictor, find_left_half) == []
    # Another scale alone would not have told.
    config = PseudoLabelConfig(mirror=False)
    assert len(labels(predictor, find_left_half, config)) == 1


def test_nothing_found_asks_no_other_view(predictor):
    asked = []

    def find_nothing(predictor, image, config):
        asked.append(image)
        return []

    assert labels(predictor, find_nothing) == [] and len(asked) == 1


def test_every_view_is_shown_as_it_says_and_keeps_doubles(predictor):
    shown = []

    def find(predictor, image, config):
        shown.append((image, getattr(predictor, "view_scale", 1.0), config))
        return proposals(colored(image), ALL)

    config = PseudoLabelConfig(scales=(0.75, 0.5))
    found = find_in_views(predictor, PHOTO, config, find)
    assert [scale for _, scale, _ in shown] == [1.0, 1.0, 0.75, 0.5]
    np.testing.assert_array_equal(shown[1][0], PHOTO[:, ::-1])
    for image, _, options in [shown[0], *shown[2:]]:
        np.testing.assert_array_equal(image, PHOTO)
    for _, _, options in shown:
        assert options.box_nms_thresh == 1 and options.mask_nms_thresh is None
        assert options.pred_iou_thresh == EVERYTHING.pred_iou_thresh
    assert len(found.others) == 3
    # A thing's first pixel is its point here.
    points = [[5 / 80, 5 / 60], [45 / 80, 30 / 60]]
    mirrored = [[75 / 80, 5 / 60], [35 / 80, 30 / 60]]
    assert shown[0][2].points_per_side == EVERYTHING.points_per_side
    for (_, _, options), expected in zip(shown[1:], (mirrored, points, points)):
        np.testing.assert_allclose(options.point_grids[0], expected, rtol=1e-12)


def test_with_crops_views_are_asked_as_the_photo_is(predictor):
    asked = []

    def find(predictor, image, config):
        asked.append(config)
        return proposals(colored(image), ALL)

    everything = dataclasses.replace(EVERYTHING, crop_n_layers=1)
    labels(predictor, find, dataclasses.replace(MIRROR, everything=everything))
    assert asked[0] == asked[1]


def counts(*masks):
    return [mask_to_counts(mask) for mask in masks]


WHOLE, HALF = box((4, 8), 0, 0, 4, 8), box((4, 8), 0, 0, 4, 4)
THREE_QUARTERS = box((4, 8), 0, 0, 4, 6)


@pytest.mark.parametrize(
    ("least_views", "expected"), [(None, 0.5), (2, 0.5), (1, 0.75)]
)
def test_agreement_is_the_least_iou_of_the_views_that_count(least_views, expected):
    others = [counts(HALF, THREE_QUARTERS, ~WHOLE), counts(HALF)]
    found = agreements(counts(WHOLE), others, (4, 8), least_views)
    assert found.tolist() == [expected]


def test_a_view_without_masks_agrees_with_none():
    assert agreements(counts(WHOLE, HALF), [[]], (4, 8)).tolist() == [0, 0]
    assert agreements([], [counts(WHOLE)], (4, 8)).tolist() == []


def test_agreement_is_of_any_pairs_the_iou_of_pixels(rng):
    masks, others = rng.random((2, 5, 6, 7)) < 0.5
    expected = mask_iou(masks, others).max(axis=1)
    found = agreements(counts(*masks), [counts(*others)], (6, 7))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_mask_that_views_refuse_suppresses_none_that_they_agree_on(predictor):
    """A wrong double with a higher score would win where doubles went first."""
    wrong = TWO[1].copy()
    wrong[:, 64:] = False

    def find(predictor, image, config):
        right = proposals(colored(image), ALL)
        is_photo = np.array_equal(image, PHOTO)
        return right + (proposals([wrong], ALL, [0.99]) if is_photo else [])

    assert mask_iou(wrong[None], TWO[1][None])[0, 0] > EVERYTHING.box_nms_thresh
    found = labels(predictor, find)
    assert {mask_of(one).tobytes() for one in found} == {m.tobytes() for m in TWO}


@pytest.mark.parametrize("crops", [0, 1])
def test_doubles_are_dropped_as_in_everything_mode(predictor, crops):
    """Within a crop the most confident stays, between crops that of the smaller crop."""
    small = (40, 20, 80, 60)

    def find(predictor, image, config):
        if not np.array_equal(image, PHOTO):
            return proposals(colored(image), ALL)
        first = proposals(TWO, ALL, [0.9, 0.8])
        again = proposals(TWO, ALL, [0.7, 0.95])
        (of_crop,) = proposals([TWO[1]], ALL, [0.6])
        return [*first, *again, of_crop._replace(crop_box=small)]

    everything = dataclasses.replace(EVERYTHING, crop_n_layers=crops)
    config = dataclasses.replace(MIRROR, everything=everything)
    found = labels(predictor, find, config)
    scores = sorted(one["predicted_iou"] for one in found)
    assert scores == ([0.6, 0.9] if crops else [0.9, 0.95])


def test_what_is_too_small_is_no_label(predictor):
    small = TWO[0].sum() / (SIZE[0] * SIZE[1])
    for share, number in ((small, 2), (small * 1.01, 1), (0.9, 0)):
        config = dataclasses.replace(MIRROR, smallest=share)
        assert len(labels(predictor, both, config)) == number


def test_agreement_is_that_of_the_mask_after_its_cleaning(predictor):
    pytest.importorskip("cv2")
    speck = np.zeros(SIZE, bool)
    speck[2, 70] = True

    def find(predictor, image, config):
        assert config.min_mask_region_area == 0
        shown = speck if np.array_equal(image, PHOTO) else speck & False
        return proposals([TWO[1] | shown], ALL) + proposals([TWO[0]], ALL)

    everything = dataclasses.replace(EVERYTHING, min_mask_region_area=10)
    config = PseudoLabelConfig(mirror=False, everything=everything, agreement=0.9)
    found = labels(predictor, find, config, PHOTO)
    assert {mask_of(one).tobytes() for one in found} == {m.tobytes() for m in TWO}
    assert all(0.99 < one.get("agreement", 0) <= 1 for one in found)


def test_labels_of_a_model_are_masks_of_everything_mode(predictor, rng):
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    everything = AutomaticConfig(
        points_per_side=3,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        box_nms_thresh=0.9,
    )
    config = PseudoLabelConfig(everything=everything, agreement=0.3)
    found = label_photo(predictor, image, config)
    assert found
    alike = dataclasses.replace(everything, box_nms_thresh=1.0)
    possible = {one.counts.tobytes() for one in propose(predictor, image, alike)}
    mirrored = [
        np.ascontiguousarray(mask_of_proposal(one)[:, ::-1])
        for one in propose(predictor, np.ascontiguousarray(image[:, ::-1]), alike)
    ]
    for one in found:
        assert run_lengths(one["segmentation"]).tobytes() in possible
        assert one.get("agreement", 0) >= 0.3
        ious = mask_iou(mask_of(one)[None], np.stack(mirrored))
        assert ious.max() >= one.get("agreement", 0) - 1e-9


def mask_of_proposal(proposal) -> np.ndarray:
    """The mask of a proposal of the model's photo."""
    return counts_to_mask(proposal.counts, (48, 64))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mirror": False, "scales": ()}, "no view is left"),
        ({"scales": (1.0,)}, r"scales=\(1.0,\): use numbers between 0 and 1"),
        ({"agreement": 0.0}, "agreement=0.0: use above 0"),
        ({"least_views": 3}, "least_views=3: use 1 to 2"),
        ({"smallest": 1.0}, "smallest=1.0: use 0 or more"),
    ],
)
def test_options_out_of_bounds_are_refused_by_name(options, said):
    with pytest.raises(ValueError, match=said):
        PseudoLabelConfig(**options)

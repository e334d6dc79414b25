"""AP against pycocotools, and against LVIS's federated rules written out plainly."""

import numpy as np
import pytest
from drawn_detections import CATEGORIES, SIZE, coco_evaluation, drawn_images

from samjax.evaluation.metrics.average_precision import (
    CategoryMatches,
    MatchingRules,
    match_image,
    precision_recall,
)
from samjax.evaluation.metrics.detection_matching import AREA_BANDS, IOU_THRESHOLDS
from samjax.geometry.masks import decode_rle

pytest.importorskip("pycocotools", reason="AP needs the extra `eval`")


def matches_of(images, rules=None):
    return [match_image(found, truth, rules) for truth, found in images]


def curves(matches):
    """Precision (a, t, r) and recall (a, t) of every category."""
    found = {}
    for category in CATEGORIES:
        parts = [of_image[category] for of_image in matches if category in of_image]
        if parts:
            found[category] = precision_recall(parts)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cap", [3, 100])
def test_precision_and_recall_are_those_of_pycocotools(seed, cap):
    images = drawn_images(seed)
    evaluation = coco_evaluation(images, [cap])
    evaluation.evaluate()
    evaluation.accumulate()
    ours = curves(matches_of(images, MatchingRules(max_detections=cap)))
    assert len(ours) == len(CATEGORIES)
    for index, category in enumerate(CATEGORIES):
        precision, recall = ours[category]
        theirs = evaluation.eval["precision"][:, :, index, :, 0].transpose(2, 0, 1)
        np.testing.assert_allclose(np.nan_to_num(precision, nan=-1), theirs, atol=1e-6)
        theirs = evaluation.eval["recall"][:, index, :, 0].T
        np.testing.assert_allclose(np.nan_to_num(recall, nan=-1), theirs, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_boundary_ap_is_pycocotools_rule_on_the_smaller_of_both_overlaps(seed):
    pytest.importorskip("cv2")
    from scipy.ndimage import binary_erosion

    images = drawn_images(seed, count=5)
    evaluation = coco_evaluation(images, [100])
    square = np.ones((3, 3), bool)
    distance = max(1, round(0.02 * float(np.hypot(*SIZE))))

    def edge(rle):
        mask = decode_rle(rle)
        return mask & (binary_erosion(mask, square, iterations=distance) == 0)

    def smaller(image, category):
        found = evaluation._dts[image, category]
        found = sorted(found, key=lambda entry: -entry["score"])
        truth = evaluation._gts[image, category]
        ious = np.zeros((len(found), len(truth)))
        for row, detection in enumerate(found):
            mask, inner = (
                decode_rle(detection["segmentation"]),
                edge(detection["segmentation"]),
            )
            for column, entry in enumerate(truth):
                other = decode_rle(entry["segmentation"])
                shared = (mask & other).sum()
                whole = mask.sum() if entry["iscrowd"] else (mask | other).sum()
                outer = edge(entry["segmentation"])
                ious[row, column] = shared / whole
                if not entry["iscrowd"]:
                    of_edges = (inner & outer).sum() / (inner | outer).sum()
                    ious[row, column] = min(ious[row, column], of_edges)
        return ious if ious.size else []

    evaluation.computeIoU = smaller
    evaluation.evaluate()
    evaluation.accumulate()
    ours = curves(matches_of(images, MatchingRules(overlap="boundary")))
    for index, category in enumerate(CATEGORIES):
        theirs = evaluation.eval["precision"][:, :, index, :, 0].transpose(2, 0, 1)
        got = np.nan_to_num(ours[category][0], nan=-1)
        np.testing.assert_allclose(got, theirs, atol=1e-6)


def lvis_ap(images, extra, cap):
    """LVIS's rules, loop by loop: mean precision by band, over all categories."""
    bands = list(AREA_BANDS.values())
    precision = {}
    for category in CATEGORIES:
        for row, (low, high) in enumerate(bands):
            for column, threshold in enumerate(IOU_THRESHOLDS):
                rows, objects = [], 0
                for (truth, detections), fields in zip(images, extra, strict=True):
                    present = {entry.category for entry in truth}
                    kept = sorted(detections, key=lambda found: -found.score)[:cap]
                    kept = [found for found in kept if found.category == category]
                    if category not in present | set(fields["negative"]):
                        kept = []
                    own = [entry for entry in truth if entry.category == category]
                    out = [not low <= entry.area <= high for entry in own]
                    objects += out.count(False)
                    taken = set()
                    for found in kept:
                        mask = decode_rle(found.mask)
                        best, place = 0.0, None
                        for wanted in (False, True):
                            for number, entry in enumerate(own):
                                other = decode_rle(entry.mask)
                                iou = (mask & other).sum() / (mask | other).sum()
                                if (
                                    out[number] is wanted
                                    and number not in taken
                                    and iou >= min(threshold, 1 - 1e-10)
                                    and iou >= best
                                ):
                                    best, place = iou, number
                            if place is not None:
                                break
                        if place is not None:
                            taken.add(place)
                            if not out[place]:
                                rows.append((found.score, True))
                        elif (
                            low <= mask.sum() <= high
                            and category not in fields["not_exhaustive"]
                        ):
                            rows.append((found.score, False))
                if not objects:
                    continue
                rows.sort(key=lambda entry: -entry[0])
                right = np.cumsum([entry[1] for entry in rows])
                points = [
                    (count / objects, count / (place + 1))
                    for place, count in enumerate(right)
                ]
                precision.setdefault(row, []).extend(
                    max((p for r, p in points if r >= recall), default=0.0)
                    for recall in np.linspace(0, 1, 101)
                )
    return {row: np.mean(values) for row, values in precision.items()}


@pytest.mark.parametrize("cap", [4, 10, 300])
def test_lvis_ap_follows_the_federated_rules(cap):
    images = drawn_images(7, count=5, crowds=False)
    rng = np.random.default_rng(3)
    extra = [
        {
            "negative": {int(c) for c in CATEGORIES if rng.random() < 0.4},
            "not_exhaustive": {int(c) for c in CATEGORIES if rng.random() < 0.4},
        }
        for _ in images
    ]
    matches = [
        match_image(
            found,
            truth,
            MatchingRules(
                rules="lvis",
                max_detections=cap,
                negative=frozenset(fields["negative"]),
                not_exhaustive=frozenset(fields["not_exhaustive"]),
            ),
        )
        for (truth, found), fields in zip(images, extra, strict=True)
    ]
    stacked = np.stack([curve[0] for curve in curves(matches).values()], axis=-1)
    expected = lvis_ap(images, extra, cap)
    assert len(expected) == 4
    for band, value in expected.items():
        assert np.nanmean(stacked[band]) == pytest.approx(value, abs=1e-6)


def test_the_caps_of_both_rules_differ():
    (truth, detections), *_ = drawn_images(1, count=1)
    assert len({found.category for found in detections}) > 1
    coco = match_image(detections, truth, MatchingRules(max_detections=2))
    lvis = match_image(
        detections,
        truth,
        MatchingRules(rules="lvis", max_detections=2, negative=frozenset(CATEGORIES)),
    )
    assert all(len(part.scores) <= 2 for part in coco.values())
    assert sum(len(part.scores) for part in coco.values()) > 2
    assert sum(len(part.scores) for part in lvis.values()) == 2


def test_matches_survive_json():
    for matches in matches_of(drawn_images(2)):
        for part in matches.values():
            again = CategoryMatches.from_json(part.to_json())
            for before, after in zip(part, again, strict=True):
                np.testing.assert_array_equal(before, after)

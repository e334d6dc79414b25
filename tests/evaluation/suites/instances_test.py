"""The suite of instances on drawn photos: COCO's and LVIS's files, detectors, refinement."""

import dataclasses

import numpy as np
import pytest
from detection_set_files import (
    GREEN,
    RED,
    stray_result,
    true_results,
    write_coco,
    write_lvis,
    write_results,
)
from small_photo_set import TWO, ColorSegmenter, square, write_set

from samjax.evaluation.datasets.detection_data import with_results
from samjax.evaluation.datasets.detection_sets import open_detection_set
from samjax.evaluation.grabcut import GrabCut
from samjax.evaluation.policies.boxed_masks import BoxedMasks
from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.segmenters.saved import SavedResults
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.instances import Instances, instance_suite
from samjax.geometry.masks import encode_rle

pytest.importorskip("pycocotools", reason="AP needs the extra `eval`")


def result_of(folder, segmenter=None, **options):
    suite = Instances(**options).make([folder], 64)
    return evaluate(suite, segmenter or ColorSegmenter())


def test_true_masks_from_true_boxes_have_an_ap_of_one(tmp_path):
    result = result_of(write_coco(tmp_path / "set"))
    # The annotation with the id 0 counts as all others.
    assert result.scores["ap"] == pytest.approx(1.0)
    assert result.scores["ap50"] == result.scores["ar"] == pytest.approx(1.0)
    assert result.scores["box"] == 1.0 and result.intervals["box"] == [1.0, 1.0]
    # No object has more than 32 x 32 pixels.
    assert "ap_large" not in result.scores and result.scores["ap_small"] == 1.0
    assert any("ground-truth boxes" in text for text in result.deviations)
    assert "paper" not in result.sets[0].details


def test_detections_keep_the_score_and_the_category_of_their_box(tmp_path):
    folder = write_coco(tmp_path / "set")
    wrong = true_results()
    for entry in wrong:
        entry["category_id"] = RED + GREEN - entry["category_id"]
    right = write_results(tmp_path / "right.json", true_results())
    wrong = write_results(tmp_path / "wrong.json", wrong)
    assert result_of(folder, boxes=(right,)).scores["ap"] == pytest.approx(1.0)
    assert result_of(folder, boxes=(wrong,)).scores["ap"] == 0.0
    # A stray box above all others costs precision, one below them none.
    for score, expected in ((0.99, 0.875), (0.01, 1.0)):
        stray = [*true_results(), stray_result(score)]
        file = write_results(tmp_path / f"stray{score}.json", stray)
        ap = result_of(folder, boxes=(file,)).scores["ap"]
        # Of red squares the precision is 3/4 at every recall.
        assert ap == pytest.approx(expected)
    assert "SAM's ViT-H" in result_of(folder, boxes=(right,)).sets[0].details["paper"]


def test_lvis_files_are_scored_by_federated_rules(tmp_path):
    folder = write_lvis(tmp_path / "set")
    results = [
        entry
        for entry in true_results()
        if (entry["image_id"], entry["category_id"]) != (2, RED)
    ]
    # Not a mistake: not all green squares of the photo are annotated.
    ignored = stray_result(0.99, GREEN)
    # A mistake: red squares are known to be absent there.
    mistake = stray_result(0.99, RED)
    file = write_results(tmp_path / "a.json", [*results, ignored])
    scores = result_of(folder, boxes=(file,)).scores
    assert scores["ap"] == scores["ap_rare"] == scores["ap_frequent"] == 1.0
    assert "ap_common" not in scores
    file = write_results(tmp_path / "b.json", [*results, mistake])
    result = result_of(folder, boxes=(file,))
    assert result.scores["ap_frequent"] == 1.0
    assert result.scores["ap_rare"] == pytest.approx(2 / 3)
    assert result.protocol["rules"] == "lvis"
    assert result.protocol["max_detections"] == 300


def test_a_box_is_refined_with_the_logits_of_its_best_mask(tmp_path):
    folder, segmenter = write_coco(tmp_path / "set"), ColorSegmenter()
    result_of(folder, segmenter, images=1, refine=2)
    first, second, third = segmenter.prompts
    assert all(prompt.mask is None for prompt in first)
    for prompts in (second, third):
        for before, after in zip(first, prompts, strict=True):
            np.testing.assert_array_equal(before.box, after.box)
            assert after.mask is not None
    segmenter = ColorSegmenter()
    result_of(folder, segmenter, images=1, refine=0)
    assert len(segmenter.prompts) == 1


def test_boundary_ap_is_a_score_beside(tmp_path):
    pytest.importorskip("cv2")
    scores = result_of(write_coco(tmp_path / "set"), boundary=True).scores
    assert scores["boundary_ap"] == scores["ap"] == 1.0


def test_grabcut_takes_the_boxes_without_refinement(tmp_path):
    pytest.importorskip("cv2")
    scores = result_of(write_coco(tmp_path / "set"), GrabCut()).scores
    assert scores["box"] > 0.9 and scores["ap"] > 0.8


def test_saved_masks_are_scored_without_a_model(tmp_path):
    folder = write_coco(tmp_path / "set")
    file = write_results(tmp_path / "masks.json", true_results(masks=True))
    saved = SavedResults((file,))
    assert isinstance(saved, Segmenter) and len(saved.describe()["files"][0]["sha256"])
    result = result_of(folder, saved, results=(file,))
    assert result.scores["ap"] == pytest.approx(1.0) and "box" not in result.scores


def test_crowds_are_neither_found_nor_missed(tmp_path):
    def add_crowd(content):
        mask = square(2, 50, 28)
        content["annotations"].append(
            {
                "id": 99,
                "image_id": 0,
                "category_id": RED,
                "iscrowd": 1,
                "segmentation": encode_rle(mask),
                "area": float(mask.sum()),
            }
        )

    folder = write_coco(tmp_path / "set", add_crowd)
    dataset = open_detection_set(folder)
    assert len(dataset[0].targets) == 2 and len(dataset[0].truth["annotations"]) == 3
    masks = [*true_results(masks=True), stray_result(0.99, image=0)]
    file = write_results(tmp_path / "masks.json", masks)
    suite = Instances(results=(file,)).make([folder], None)
    assert evaluate(suite, SavedResults((file,))).scores["ap"] == pytest.approx(1.0)


def test_bad_results_are_named_counted_and_left_out(tmp_path):
    folder = write_coco(tmp_path / "set")
    large = encode_rle(np.ones((9, 9), bool))
    empty = encode_rle(np.zeros((60, 80), bool))
    bad = {
        "unknown image": {"image_id": 17},
        "unknown category": {"category_id": 17},
        "damaged box": {"bbox": [3, 4, 5, 0]},
        "result without a score": {"score": None},
        "damaged mask": {"segmentation": large},
        "zero area": {"segmentation": empty},
    }
    results = true_results() + [true_results()[0] | part for part in bad.values()]
    file = write_results(tmp_path / "results.json", [*results, 5])
    (dataset,) = with_results([open_detection_set(folder)], [file], masks=False)
    reasons = [part.reason for part in dataset.skipped]
    assert sorted(reasons) == sorted([*bad, "unknown image"])
    assert all(part.detail for part in dataset.skipped)
    assert sum(map(len, dataset.boxes.values())) == 6
    result = result_of(folder, boxes=(file,))
    assert {reason: len(of) for reason, of in result.sets[0].skipped.items()} == {
        **dict.fromkeys(bad, 1),
        "unknown image": 2,
    }
    for content, text in (("{}", "expected a list"), ("[", "not JSON")):
        file.write_text(content)
        with pytest.raises(ValueError, match=text):
            result_of(folder, boxes=(file,))
    write_results(file, [])
    with pytest.raises(ValueError, match="no result with a bbox"):
        result_of(folder, boxes=(file,))


@pytest.mark.parametrize(
    ("options", "segmenter", "text"),
    [
        ({}, "canny", "--segmenter canny"),
        ({}, "saved", "--results"),
        ({"images": 0}, "samjax", "--images 0"),
        ({"refine": -1}, "samjax", "--refine -1"),
        ({"max_detections": 0}, "samjax", "--max-detections 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, segmenter, text, tmp_path):
    with pytest.raises(OptionError, match=text):
        Instances(**options).check([tmp_path], segmenter)
    with pytest.raises(OptionError, match="--data"):
        Instances().check([], "samjax")


def test_sets_of_two_kinds_need_their_rules_named(tmp_path):
    folders = [write_coco(tmp_path / "a"), write_lvis(tmp_path / "b")]
    with pytest.raises(ValueError, match="--rules"):
        Instances().make(folders, None)
    result = evaluate(Instances(rules="coco").make(folders, None), ColorSegmenter())
    # Only one of the sets has rare categories.
    assert "ap_rare" in result.scores and "ap_rare" not in result.sets[0].scores


def test_folders_of_images_and_masks_have_one_category(tmp_path):
    from PIL import Image

    folder = write_set(tmp_path / "set", [TWO])
    (folder / "annotations.json").unlink()
    (folder / "masks").mkdir()
    labels = (TWO[0] * 1 + TWO[1] * 2).astype(np.uint8)
    Image.fromarray(labels).save(folder / "masks" / "000.png")
    result = result_of(folder)
    assert result.scores["ap"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="without ids of images"):
        file = write_results(tmp_path / "a.json", true_results())
        result_of(folder, boxes=(file,))


def test_the_suite_is_a_value_of_the_library_too(tmp_path):
    dataset = open_detection_set(write_coco(tmp_path / "set"), images=2)
    suite = instance_suite([dataset], BoxedMasks(refine=0, first="single"))
    result = evaluate(suite, ColorSegmenter())
    assert result.sets[0].images == 2 and len(result.sets[0].objects) == 4
    text = "\n".join(result.deviations)
    assert "0 rounds" in text and "single mask of the box" in text
    assert dataclasses.asdict(suite.policies[0])["refined"] == "single"

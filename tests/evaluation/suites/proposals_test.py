"""The suite of proposals on drawn photos, and its two ways through samjax's model."""

import dataclasses

import numpy as np
import pytest
from detection_set_files import (
    stray_result,
    true_results,
    write_coco,
    write_lvis,
    write_results,
)
from small_photo_set import (
    TWO,
    ColorSegmenter,
    OneSample,
    rounds_of,
    sample_of,
    write_set,
)

from samjax.evaluation.policies.proposals import Proposals
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.evaluation.segmenters.saved import SavedResults
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.proposals import ObjectProposals, proposal_suite
from samjax.geometry.masks import decode_rle
from samjax.inference import Predictor

pytest.importorskip("pycocotools", reason="AR needs the extra `eval`")


def result_of(folder, segmenter=None, **options):
    options = {"points_per_side": 10} | options
    suite = ObjectProposals(**options).make([folder], 64)
    return evaluate(suite, segmenter or ColorSegmenter())


def test_a_model_that_finds_every_object_has_a_recall_of_one(tmp_path):
    result = result_of(write_coco(tmp_path / "set"))
    assert result.scores == {
        **{f"ar@{count}": 1.0 for count in (1000, 100, 10)},
        "ar@1000_small": 1.0,
    }
    assert result.intervals["ar@1000"] == [1.0, 1.0]
    # Both squares and the ground around them; the doubles of 100 points are dropped.
    assert result.sets[0].details["proposals"] == {"mean": 3.0, "most": 3}
    assert result.sets[0].objects[0]["recall"]["ar@10"] == 1.0


def test_recall_counts_the_best_ranked_masks_only(tmp_path):
    folder = write_coco(tmp_path / "set")
    masks = true_results(masks=True)
    strays = [stray_result(0.85, image=image) for image in range(3)]
    file = write_results(tmp_path / "masks.json", [*masks, *strays])
    suite = ObjectProposals(results=(file,), counts=(1, 2, 3)).make([folder], None)
    result = evaluate(suite, SavedResults((file,)))
    # The red square is ranked first, the stray mask before the green one.
    assert [result.scores[f"ar@{count}"] for count in (1, 2, 3)] == [0.5, 0.5, 1.0]


def test_lvis_gives_columns_by_frequency_with_the_papers_beside(tmp_path):
    folder = write_lvis(tmp_path / "set")
    masks = [entry for entry in true_results(masks=True) if entry["score"] < 0.85]
    file = write_results(tmp_path / "masks.json", masks)
    suite = ObjectProposals(results=(file,)).make([folder], None)
    result = evaluate(suite, SavedResults((file,)))
    # Only green squares, three of five objects, are found.
    assert result.scores["ar@1000"] == pytest.approx(3 / 5)
    assert result.scores["ar@1000_frequent"] == 1.0
    assert result.scores["ar@1000_rare"] == 0.0
    assert "ar@1000_common" not in result.scores
    assert result.intervals["ar@1000_rare"] == [0.0, 0.0]
    paper = result.sets[0].details["paper"]["ViT-H"]
    assert paper["ar@1000"] == 0.593 and paper["ar@1000_rare"] == 0.658
    notes = suite.metrics[0].notes(result.sets[0].details)
    assert any("0.593" in note for note in notes)


def test_a_folder_of_images_and_masks_is_scored_too(tmp_path):
    from PIL import Image

    folder = write_set(tmp_path / "set", [TWO])
    (folder / "annotations.json").unlink()
    (folder / "masks").mkdir()
    labels = (TWO[0] * 1 + TWO[1] * 2).astype(np.uint8)
    Image.fromarray(labels).save(folder / "masks" / "000.png")
    assert result_of(folder).scores["ar@1000"] == 1.0


def test_bad_annotations_are_named_counted_and_left_out(tmp_path):
    def spoil(content):
        annotations = content["annotations"]
        annotations[1]["category_id"] = 77
        annotations[2]["segmentation"] = {"size": [99, 99], "counts": [99 * 99]}
        annotations[3]["segmentation"] = {"size": [60, 80], "counts": [60 * 80]}
        annotations.append(dict(annotations[0]))
        annotations.append(annotations[5] | {"id": 50, "image_id": 9})
        del annotations[5]["segmentation"]

    folder = write_coco(tmp_path / "set", spoil)
    (folder / "images/002.png").unlink()
    result = result_of(folder)
    reasons = {name: len(parts) for name, parts in result.sets[0].skipped.items()}
    assert reasons == {
        "duplicate id": 1,
        "unknown image": 1,
        "unknown category": 1,
        "damaged mask": 1,
        "zero area": 1,
        "damaged or missing photo": 1,
    }
    assert result.scores["ar@1000"] == 1.0
    # What is left: the annotation with the id 0.
    assert [entry["annotation"] for entry in result.sets[0].objects] == [0]


@pytest.mark.slow
def test_samjax_gives_the_same_proposals_point_by_point_and_by_its_compiled_loop(
    tiny_model,
):
    segmenter = PredictorSegmenter(Predictor(*tiny_model))

    class Plain:
        """The same without its own way to propose masks."""

        prompt_kinds = segmenter.prompt_kinds
        describe, embed = segmenter.describe, segmenter.embed
        predict = segmenter.predict

    policy = Proposals(points_per_side=4, nms=1.0, most=100)
    sample = sample_of(TWO)
    ((fast,), (slow,)) = (
        rounds_of(policy, one, sample) for one in (segmenter, Plain())
    )
    assert len(fast.detections) == len(slow.detections) > 10

    def ordered(round):
        return sorted(round.detections, key=lambda part: part.mask["counts"])

    for one, other in zip(ordered(fast), ordered(slow), strict=True):
        assert one.mask == other.mask
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_thresholds_ranking_and_the_cap(tmp_path):
    sample = sample_of(TWO)

    def found(**options):
        policy = Proposals(points_per_side=10, **options)
        (round,) = rounds_of(policy, ColorSegmenter(), sample)
        assert round.detections is not None
        return round.detections

    # The true masks have a predicted IoU of 0.8, the empty ones less.
    assert {part.score for part in found()} == {0.8}
    assert not found(pred_iou=0.8) and len(found(pred_iou=0.7)) == 3
    assert len(found(most=2)) == 2
    assert {part.score for part in found(output="single")} == {0.9}
    shuffled = found(ranking="random")
    assert len({part.score for part in shuffled}) == 3
    assert [part.score for part in shuffled] == sorted(
        (part.score for part in shuffled), reverse=True
    )
    assert found(ranking="random") == shuffled != found(ranking="random", seed=1)
    assert all(decode_rle(part.mask).any() for part in shuffled)


def test_deviations_name_what_is_not_the_papers():
    def of(**options):
        suite = ObjectProposals(**options)
        policy = suite.policy()
        dataset = OneSample(sample_of(TWO))
        return "\n".join(proposal_suite([dataset], policy).deviations)

    assert "score of NMS" in of() and "points" not in of()
    assert "points_per_side 16, where the paper has 64" in of(points_per_side=16)
    assert "pred_iou 0.5" in of(pred_iou=0.5)
    assert "points" not in of(output="single")
    assert "128" in of(output="single", points_per_side=64)
    assert dataclasses.asdict(ObjectProposals(output="single").policy())["nms"] == 0.95


@pytest.mark.parametrize(
    ("options", "segmenter", "text"),
    [
        ({}, "grabcut", "--segmenter grabcut"),
        ({}, "saved", "--results"),
        ({"points_per_side": 0}, "samjax", "--points-per-side 0"),
        ({"counts": ()}, "samjax", "--counts"),
        ({"nms": 2.0}, "samjax", "--nms 2.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, segmenter, text, tmp_path):
    with pytest.raises(OptionError, match=text):
        ObjectProposals(**options).check([tmp_path], segmenter)
    with pytest.raises(OptionError, match="--data"):
        ObjectProposals().check([], "samjax")

"""Scores on sets of photos: of the right objects, summed up as they should be."""

import numpy as np
import pytest
from small_photo_set import (
    TWO,
    ColorSegmenter,
    LateSegmenter,
    square,
    write_set,
)

from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.evaluation.policies.interactive_clicks import PromptProtocol, prompt_objects
from samjax.evaluation.suites.single_point import PhotoProtocol, evaluate_photos

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

ANY_SIZE = PhotoProtocol(min_area=1)


def evaluate(folders, segmenter=None, protocol=ANY_SIZE, **callbacks):
    sets = [read_photo_set(folder) for folder in folders]
    return evaluate_photos(segmenter or ColorSegmenter(), sets, protocol, **callbacks)


class HalfSegmenter(ColorSegmenter):
    """Predicts the upper part of the truth, of each object another share."""

    def truth(self, image, prompt):
        mask = super().truth(image, prompt)
        rows = np.flatnonzero(mask.any(axis=1))
        mask[rows[len(rows) * 3 // 4 if rows[0] < 10 else len(rows) // 2] :] = False
        return mask


def test_the_truth_scores_one_and_each_photo_is_embedded_once(tmp_path):
    seen, segmenter = [], ColorSegmenter()
    result = evaluate(
        [write_set(tmp_path / "a"), write_set(tmp_path / "b", [TWO] * 3)],
        segmenter,
        on_image=lambda: seen.append(1),
    )
    assert set(result.scores.values()) == {1.0}
    assert list(result.scores) == [
        *("1", "oracle", "3", "oracle_3", "5", "oracle_5"),
        *("box", "box_oracle", "box_single"),
    ]
    assert set(map(tuple, result.intervals.values())) == {(1.0, 1.0)}
    assert [one.images for one in result.sets] == [2, 3]
    assert [len(one.objects) for one in result.sets] == [4, 6]
    assert segmenter.embedded == len(seen) == 5
    assert result.calibration["mean_predicted"] == pytest.approx(0.8)
    assert result.calibration["error"] == pytest.approx(0.2)
    assert not any(one.noc for one in result.sets)


def test_scores_are_means_over_objects_and_then_over_sets(tmp_path):
    folders = [
        write_set(tmp_path / "a", [TWO, TWO[:1]]),
        write_set(tmp_path / "b", [TWO[1:]]),
    ]
    result = evaluate(folders, HalfSegmenter())
    for one in result.sets:
        ious = [record["iou"]["1"] for record in one.objects]
        assert one.scores["1"] == pytest.approx(np.mean(ious))
        low, high = one.intervals["1"]
        assert low <= one.scores["1"] <= high
    assert result.scores["1"] == pytest.approx(
        np.mean([one.scores["1"] for one in result.sets])
    )
    # Not the mean over all objects.
    assert result.scores["1"] != pytest.approx(
        np.mean([r["iou"]["1"] for one in result.sets for r in one.objects])
    )


def test_small_objects_are_left_out_and_counted(tmp_path):
    folder = write_set(tmp_path / "a", [[square(2, 2, 19), square(30, 30, 20)]] * 2)
    result = evaluate([folder], protocol=PhotoProtocol(min_area=400))
    (one,) = result.sets
    assert {record["area"] for record in one.objects} == {400} and one.small == 2
    assert result.protocol["min_area"] == 400


def test_regions_to_ignore_are_left_out_of_scores_and_areas(tmp_path):
    target = square(10, 10, 20)
    unknown = square(10, 10, 20) & ~square(10, 10, 20 - 1)
    folder = write_set(tmp_path / "a", [[target]], ignored=[unknown])

    class Whole(ColorSegmenter):
        def truth(self, image, prompt):
            return target & ~unknown

    (one,) = evaluate([folder], Whole()).sets
    assert set(one.scores.values()) == {1.0}
    with pytest.raises(ValueError, match="no object to score"):
        evaluate([folder], Whole(), PhotoProtocol(min_area=19**2 + 1))


def test_damaged_photos_and_masks_are_left_out_named_and_counted(tmp_path):
    def damage(content):
        content["annotations"][0]["segmentation"]["size"] = [600, 800]

    folder = write_set(tmp_path / "a", [TWO] * 4, change=damage)
    (folder / "images/001.png").write_text("no image")
    (folder / "images/002.png").unlink()
    told = []
    result = evaluate([folder], on_skipped=told.append)
    (one,) = result.sets
    assert len(one.objects) == 3 and one.images == 2
    assert {reason: len(parts) for reason, parts in one.skipped.items()} == {
        "damaged mask": 1,
        "damaged or missing photo": 2,
    }
    assert "001.png" in one.skipped["damaged or missing photo"][0]
    assert [part.name for part in told] == ["images/001.png", "images/002.png"]


def test_a_set_of_nothing_but_damage_is_refused(tmp_path):
    folder = write_set(tmp_path / "a")
    for photo in (folder / "images").iterdir():
        photo.write_text("no image")
    with pytest.raises(ValueError, match=r"no object to score.*000\.png"):
        evaluate([folder])


@pytest.mark.parametrize(("needed", "mean", "failures"), [(3, 3, 0), (25, 20, 1)])
def test_numbers_of_clicks_are_counted_to_a_bound(tmp_path, needed, mean, failures):
    folder = write_set(tmp_path / "a")
    protocol = PhotoProtocol(min_area=1, noc=True)
    (one,) = evaluate([folder], LateSegmenter(needed), protocol).sets
    assert set(one.noc) == {"0.85", "0.90"}
    for found in one.noc.values():
        assert found["mean"] == mean and found["failures"] == failures
        assert found["interval"] == [mean, mean]
    clicks = [record["clicks"] for record in one.objects]
    number = None if failures else needed
    assert all(of_object == {"0.85": number, "0.90": number} for of_object in clicks)


def test_of_many_photos_and_objects_always_the_same_are_drawn(tmp_path):
    masks = [square(5 * (i % 9), 12 * (i // 9), 4) for i in range(5)]
    folder = write_set(tmp_path / "a", [masks] * 6)
    protocol = PhotoProtocol(min_area=1, images=3, objects=2)
    first, again = (evaluate([folder], protocol=protocol) for _ in range(2))
    assert first.sets[0].objects == again.sets[0].objects
    assert len(first.sets[0].objects) == 6 and first.sets[0].images == 3
    photos = [record["photo"] for record in first.sets[0].objects]
    assert {photos[0], photos[-1]} == {"images/000.png", "images/005.png"}
    other = evaluate(
        [folder], protocol=PhotoProtocol(min_area=1, images=3, objects=2, seed=5)
    )
    numbers = [
        [record["annotation"] for record in result.sets[0].objects]
        for result in (first, other)
    ]
    assert numbers[0] != numbers[1]


def test_records_lead_back_to_their_annotations(tmp_path):
    folder = write_set(tmp_path / "a")
    photo_set = read_photo_set(folder)
    (one,) = evaluate([folder]).sets
    by_number = {
        annotation.number: annotation
        for photo in photo_set.photos
        for annotation in photo.objects
    }
    assert {record["annotation"] for record in one.objects} == set(by_number)
    for record in one.objects:
        assert record["area"] == by_number[record["annotation"]].area
        assert record["category"] == "thing"


def test_records_are_those_of_the_prompts(tmp_path):
    folder = write_set(tmp_path / "a", [TWO])
    (photo,) = read_photo_set(folder).photos
    segmenter = HalfSegmenter()
    direct = prompt_objects(
        segmenter, photo.read(), photo.masks(), PromptProtocol(clicks=(1, 3, 5))
    )
    (one,) = evaluate([folder], segmenter).sets
    for record, scores in zip(one.objects, direct, strict=True):
        assert record["iou"]["oracle_3"] == scores.iou["click_3_oracle"]
        assert record["iou"]["5"] == scores.iou["click_5"]
        assert record["predicted"]["1"] == scores.predicted["click_1"]
        assert record["predicted"]["box"] == scores.predicted["box"]


def test_a_model_without_clicks_has_no_calibration_and_no_number_of_clicks(tmp_path):
    segmenter = ColorSegmenter()
    segmenter.prompt_kinds = frozenset(("box",))
    folder = write_set(tmp_path / "a")
    result = evaluate([folder], segmenter)
    assert set(result.scores) == {"box", "box_oracle", "box_single"}
    assert result.calibration is None
    with pytest.raises(ValueError, match="takes points"):
        evaluate([folder], segmenter, PhotoProtocol(noc=True))


def test_two_sets_of_one_name_and_none_at_all_are_refused(tmp_path):
    folder = write_set(tmp_path / "a")
    for folders in ([], [folder, folder]):
        with pytest.raises(ValueError, match="own name"):
            evaluate(folders)


@pytest.mark.parametrize(
    "bad", [{"min_area": 0}, {"images": 0}, {"objects": -1}, {"clicks": (0,)}]
)
def test_senseless_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        PhotoProtocol(**bad)

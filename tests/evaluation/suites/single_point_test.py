"""The single-point suite on photo sets: the selected objects, and their mean scores."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_set_files import write_ishape
from small_photo_set import (
    TWO,
    ColorSegmenter,
    LateSegmenter,
    draw,
    records_of,
    sample_of,
    square,
    write_set,
)

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.kept_images import KeptImages
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.policies.interactive_clicks import InteractiveClicks
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.single_point import SinglePoint, photo_suite
from samjax.evaluation.table import table

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

ANY_SIZE = Selection(min_area=1)


def run(folders, segmenter=None, selection=ANY_SIZE, *, noc=False, **callbacks):
    datasets = [open_dataset(folder, selection) for folder in folders]
    suite = photo_suite(datasets, selection, noc=noc)
    return evaluate(suite, segmenter or ColorSegmenter(), **callbacks)


class AreaSegmenter(ColorSegmenter):
    """Predicts a square around the first click: photos of lossy formats have no colours."""

    def truth(self, image, prompt):
        mask = np.zeros(image.shape[:2], bool)
        x, y = (prompt.points[0] if prompt.box is None else prompt.box[:2]).astype(int)
        mask[y : y + 10, x : x + 10] = True
        return mask


class HalfSegmenter(ColorSegmenter):
    """Predicts the upper part of the truth, of each object another share."""

    def truth(self, image, prompt):
        mask = super().truth(image, prompt)
        rows = np.flatnonzero(mask.any(axis=1))
        mask[rows[len(rows) * 3 // 4 if rows[0] < 10 else len(rows) // 2] :] = False
        return mask


def test_the_truth_scores_one_and_each_photo_is_embedded_once(tmp_path):
    seen, segmenter = [], ColorSegmenter()
    result = run(
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
    assert [of_set.images for of_set in result.sets] == [2, 3]
    assert [len(of_set.objects) for of_set in result.sets] == [4, 6]
    assert segmenter.embedded == len(seen) == 5
    assert result.calibration["mean_predicted"] == pytest.approx(0.8)
    assert result.calibration["error"] == pytest.approx(0.2)
    assert not any(of_set.noc for of_set in result.sets)


def test_scores_are_means_over_objects_and_then_over_sets(tmp_path):
    folders = [
        write_set(tmp_path / "a", [TWO, TWO[:1]]),
        write_set(tmp_path / "b", [TWO[1:]]),
    ]
    result = run(folders, HalfSegmenter())
    for of_set in result.sets:
        ious = [record["iou"]["1"] for record in of_set.objects]
        assert of_set.scores["1"] == pytest.approx(np.mean(ious))
        low, high = of_set.intervals["1"]
        assert low <= of_set.scores["1"] <= high
    assert result.scores["1"] == pytest.approx(
        np.mean([of_set.scores["1"] for of_set in result.sets])
    )
    # Not the mean over all objects.
    assert result.scores["1"] != pytest.approx(
        np.mean([r["iou"]["1"] for of_set in result.sets for r in of_set.objects])
    )


def test_small_objects_are_left_out_and_counted(tmp_path):
    folder = write_set(tmp_path / "a", [[square(2, 2, 19), square(30, 30, 20)]] * 2)
    result = run([folder], selection=Selection(min_area=400))
    (of_set,) = result.sets
    assert {record["area"] for record in of_set.objects} == {400} and of_set.small == 2
    assert result.protocol["min_area"] == 400


def test_regions_to_ignore_are_left_out_of_scores_and_areas(tmp_path):
    target = square(10, 10, 20)
    unknown = square(10, 10, 20) & ~square(10, 10, 20 - 1)
    folder = write_set(tmp_path / "a", [[target]], ignored=[unknown])

    class Whole(ColorSegmenter):
        def truth(self, image, prompt):
            return target & ~unknown

    (of_set,) = run([folder], Whole()).sets
    assert set(of_set.scores.values()) == {1.0}
    with pytest.raises(ValueError, match="no object to score"):
        run([folder], Whole(), Selection(min_area=19**2 + 1))


def test_damaged_photos_and_masks_are_left_out_named_and_counted(tmp_path):
    def damage(content):
        content["annotations"][0]["segmentation"]["size"] = [600, 800]

    folder = write_set(tmp_path / "a", [TWO] * 4, change=damage)
    (folder / "images/001.png").write_text("no image")
    (folder / "images/002.png").unlink()
    skipped = []
    result = run([folder], on_skipped=skipped.append)
    (of_set,) = result.sets
    assert len(of_set.objects) == 3 and of_set.images == 2
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "damaged mask": 1,
        "damaged or missing photo": 2,
    }
    assert "001.png" in of_set.skipped["damaged or missing photo"][0]
    assert [part.name for part in skipped] == ["images/001.png", "images/002.png"]


def test_a_set_of_nothing_but_damage_is_refused(tmp_path):
    folder = write_set(tmp_path / "a")
    for photo in (folder / "images").iterdir():
        photo.write_text("no image")
    with pytest.raises(ValueError, match=r"no object to score.*000\.png"):
        run([folder])


@pytest.mark.parametrize(("needed", "mean", "failures"), [(3, 3, 0), (25, 20, 1)])
def test_numbers_of_clicks_are_counted_to_a_bound(tmp_path, needed, mean, failures):
    folder = write_set(tmp_path / "a")
    (of_set,) = run([folder], LateSegmenter(needed), noc=True).sets
    assert set(of_set.noc) == {"0.85", "0.90", "0.95"}
    for entry in of_set.noc.values():
        assert entry["mean"] == mean and entry["failures"] == failures
        assert entry["interval"] == [mean, mean]
    clicks = [record["clicks"] for record in of_set.objects]
    number = None if failures else needed
    assert all(of_object == dict.fromkeys(of_set.noc, number) for of_object in clicks)


def test_of_many_photos_and_objects_always_the_same_are_drawn(tmp_path):
    masks = [square(5 * (i % 9), 12 * (i // 9), 4) for i in range(5)]
    folder = write_set(tmp_path / "a", [masks] * 6)
    selection = Selection(min_area=1, images=3, objects=2)
    first, again = (run([folder], selection=selection) for _ in range(2))
    assert first.sets[0].objects == again.sets[0].objects
    assert len(first.sets[0].objects) == 6 and first.sets[0].images == 3
    photos = [record["photo"] for record in first.sets[0].objects]
    assert {photos[0], photos[-1]} == {"images/000.png", "images/005.png"}
    other = run([folder], selection=Selection(min_area=1, images=3, objects=2, seed=5))
    numbers = [
        [record["annotation"] for record in result.sets[0].objects]
        for result in (first, other)
    ]
    assert numbers[0] != numbers[1]


def test_records_lead_back_to_their_annotations(tmp_path):
    folder = write_set(tmp_path / "a")
    photo_set = read_photo_set(folder)
    (of_set,) = run([folder]).sets
    by_number = {
        annotation.annotation_id: annotation
        for photo in photo_set.photos
        for annotation in photo.objects
    }
    assert {record["annotation"] for record in of_set.objects} == set(by_number)
    for record in of_set.objects:
        assert record["area"] == by_number[record["annotation"]].area
        assert record["category"] == "thing"


def test_records_are_those_of_the_policies(tmp_path):
    folder = write_set(tmp_path / "a", [TWO])
    segmenter = HalfSegmenter()
    direct = records_of(
        segmenter, sample_of(TWO), InteractiveClicks(counts=(1, 3, 5)), Boxes()
    )
    (of_set,) = run([folder], segmenter).sets
    for record, expected in zip(of_set.objects, direct, strict=True):
        assert record["iou"]["oracle_3"] == expected["iou"]["click_3_oracle"]
        assert record["iou"]["5"] == expected["iou"]["click_5"]
        assert record["predicted"]["1"] == expected["predicted"]["click_1"]
        assert record["predicted"]["box"] == expected["predicted"]["box"]


def test_a_model_without_clicks_has_no_calibration_and_no_number_of_clicks(tmp_path):
    segmenter = ColorSegmenter()
    segmenter.prompt_kinds = frozenset(("box",))
    folder = write_set(tmp_path / "a")
    result = run([folder], segmenter)
    assert set(result.scores) == {"box", "box_oracle", "box_single"}
    assert result.calibration is None
    with pytest.raises(ValueError, match="takes points"):
        run([folder], segmenter, noc=True)


def test_two_sets_of_one_name_and_none_at_all_are_refused(tmp_path):
    folder = write_set(tmp_path / "a")
    for folders in ([], [folder, folder]):
        with pytest.raises(ValueError, match="own name"):
            run(folders)


@pytest.mark.parametrize("bad", [{"min_area": 0}, {"images": 0}, {"objects": -1}])
def test_selections_of_less_than_one_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        Selection(**bad)
    with pytest.raises(OptionError, match="at least 1"):
        SinglePoint(**bad).check([Path("a")], "samjax")


def test_folders_of_masks_are_scored_like_photo_sets(tmp_path):
    for kind, pixels in (
        ("images", draw(TWO)),
        ("masks", (TWO[0] + 2 * TWO[1]).astype(np.uint8)),
    ):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "mine" / kind / "a.png")
    suite = SinglePoint(min_area=500).make([tmp_path / "mine"], None)
    (of_set,) = evaluate(suite, ColorSegmenter()).sets
    assert of_set.name == "mine" and set(of_set.scores.values()) == {1.0}
    assert [record["area"] for record in of_set.objects] == [625]
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "too small": 1
    }


def test_a_set_of_the_paper_is_scored_at_the_papers_clicks_beside_its_figures(tmp_path):
    write_ishape(tmp_path)
    options = SinglePoint(dataset=("ishape",), first_click="random")
    options.check([tmp_path], "samjax")
    suite = options.make([tmp_path], None)
    result = evaluate(suite, AreaSegmenter())
    (of_set,) = result.sets
    assert of_set.name == "iShape"
    assert {"1", "2", "3", "5", "9", "oracle"} <= set(result.scores)
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "missing photo": 1
    }
    published = result.protocol["published"]["iShape"]
    assert published["photos"] == 1 and published["sampled_to_masks"] == 10_000
    assert result.details["paper"]["iShape"]["images"] == 754
    assert result.protocol["first_click_at"] == "random"
    text = table(suite, result)
    assert "iShape, SAM's paper: 754 photos, 9,742 masks; ViT-H +8.8 points" in text
    deviations = " ".join(result.deviations)
    assert "1 of the paper's 23 sets" in deviations and "samples" in deviations


@pytest.mark.parametrize(
    ("options", "count", "message"),
    [
        ({"dataset": ("ishapes",)}, 1, "invalid choice"),
        ({"dataset": ("ishape",)}, 2, "one for each"),
        ({"dataset": ("ishape",)}, 0, "name sets of them"),
        ({"first_click": "random"}, 0, "name sets of them"),
    ],
)
def test_options_of_sets_that_do_not_fit_are_refused(options, count, message):
    with pytest.raises(OptionError, match=message):
        SinglePoint(**options).check([Path("a")] * count, "samjax")


def test_a_killed_evaluation_goes_on_and_gives_the_same_json(tmp_path):
    class Killed(HalfSegmenter):
        def embed(self, image):
            if self.embedded == 3:
                raise KeyboardInterrupt
            return super().embed(image)

    folders = [write_set(tmp_path / "a"), write_set(tmp_path / "b", [TWO] * 3)]
    file, name = tmp_path / "result.images.jsonl", {"suite": "single-point"}
    with pytest.raises(KeyboardInterrupt), KeptImages(file, name) as kept:
        run(folders, Killed(), noc=True, kept=kept)
    segmenter, written = HalfSegmenter(), []
    with KeptImages(file, name) as kept:
        results = [run(folders, segmenter, noc=True, kept=kept)]
    assert segmenter.embedded == 2
    results.append(run(folders, HalfSegmenter(), noc=True))
    for result in results:
        result.save(tmp_path / "result.json", overwrite=True)
        text = (tmp_path / "result.json").read_text()
        written.append(re.sub(r'"seconds": [^\n]*', "", text))
    assert written[0] == written[1]
    assert '"clicks"' in written[0] and '"predicted"' in written[0]

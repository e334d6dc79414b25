"""The suites that look at masks without a model: statistics and audit."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_photo_set import SIZE, TWO, square, write_set

from samjax import cli
from samjax.evaluation.datasets.mask_records import open_records
from samjax.evaluation.metrics.mask_statistics import (
    centre_of,
    density,
    hull_area,
    stratified,
)
from samjax.evaluation.no_model import NoModel
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.audit import Audit
from samjax.evaluation.suites.statistics import Statistics
from samjax.evaluation.table import table
from samjax.geometry.masks import encode_rle

pytest.importorskip("cv2", reason="convex hulls need the extra `eval`")


def write_records(folder: Path, images: list[list[np.ndarray]]) -> Path:
    """SA-1B's records of images, without the photos."""
    folder.mkdir()
    for number, masks in enumerate(images):
        record = {
            "image": {
                "image_id": number,
                "width": SIZE[1],
                "height": SIZE[0],
                "file_name": f"{number:03d}.jpg",
            },
            "annotations": [
                {
                    "id": 10 * number + index,
                    "bbox": [0, 0, 1, 1],
                    "area": int(mask.sum()),
                    "segmentation": encode_rle(mask),
                    "predicted_iou": 0.9,
                    "point_coords": [[1, 1]],
                    "crop_box": [0, 0, 80, 60],
                    "stability_score": 0.9,
                }
                for index, mask in enumerate(masks, start=1)
            ],
        }
        (folder / f"{number:03d}.json").write_text(json.dumps(record))
    return folder


def corner() -> np.ndarray:
    """An L of three squares, whose hull is known."""
    return square(10, 10, 20) & ~square(20, 20, 10)


def test_a_hull_is_filled_and_its_pixels_are_counted():
    assert hull_area(square(10, 10, 20)) == 400
    assert hull_area(square(3, 3, 1)) == 1
    # Half of the square that is missing, with the diagonal's pixels.
    assert hull_area(corner()) == 300 + 45
    line = np.zeros(SIZE, bool)
    line[5, 3:9] = True
    assert hull_area(line) == 6


def test_centres_are_of_pixels_or_of_the_box():
    assert centre_of(square(10, 20, 4), "centroid") == (22, 12)
    assert centre_of(corner(), "box") == (20, 20)
    assert centre_of(corner(), "centroid")[0] < 20


def test_as_many_masks_are_drawn_of_each_size():
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.uniform(0, 0.1, 500), rng.uniform(0.1, 0.2, 20), [0.9]])
    chosen = stratified(sizes, (0.0, 0.1, 0.2, 1.0), 10, seed=0)
    assert len(chosen) == 40 and (np.diff(chosen) > 0).all()
    assert (sizes[chosen] < 0.1).sum() == 20
    assert (
        stratified(sizes, (0.0, 0.1, 0.2, 1.0), 10, seed=0).tolist() == chosen.tolist()
    )
    assert not len(stratified(sizes[:5], (0.0, 1.0), 10, seed=0))


def test_the_density_of_centres_sums_to_one():
    centres = np.array([[0.1, 0.9], [0.1, 0.9], [1.0, 0.0]])
    shares = density(centres, 4)
    assert shares.sum() == pytest.approx(1) and shares[3, 0] == pytest.approx(2 / 3)
    assert shares[0, 3] == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", ["coco", "records"])
def test_statistics_are_those_of_the_masks(tmp_path, kind):
    images = [[corner()], [square(0, 0, 30), square(30, 40, 12)], []]
    if kind == "coco":
        path = write_set(tmp_path / "a", images)
        for photo in (path / "images").iterdir():
            photo.unlink()
    else:
        path = write_records(tmp_path / "a", images)
    suite = Statistics().make([path], None)
    result = evaluate(suite, NoModel())
    (of_set,) = result.sets
    assert of_set.scores["masks_per_image"] == 1.0 and of_set.images == 3
    sizes = np.sqrt(np.array([300, 900, 144]) / 4800)
    assert of_set.scores["relative_size"] == pytest.approx(sizes.mean())
    assert of_set.scores["concavity"] == pytest.approx((1 - 300 / 345) / 3)
    assert of_set.details["masks_per_image_bins"]["none"] == pytest.approx(1 / 3)
    assert set(of_set.details["plots"]) == {
        *("masks_per_image", "relative_size", "concavity", "centres")
    }
    text = table(suite, result)
    assert "SA-1B 100.9" in text and "too few in any bin" in text


def test_damaged_records_and_empty_masks_are_named_and_left_out(tmp_path):
    path = write_records(tmp_path / "a", [[square(0, 0, 0), TWO[0]], [TWO[1]]])
    (path / "003.json").write_text("no JSON")
    (of_set,) = evaluate(Statistics().make([path], None), NoModel()).sets
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "damaged entry": 1,
        "no pixel": 1,
    }
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="no record"):
        open_records(tmp_path / "b")


def test_the_command_writes_plots_beside_the_result(tmp_path, capsys):
    path, out = write_records(tmp_path / "a", [[TWO[0]]]), tmp_path / "out"
    words = [
        "evaluate",
        "--suite",
        "statistics",
        "--data",
        str(path),
        "--out",
        str(out),
    ]
    for _ in range(2):
        assert cli.main(words) == 0, capsys.readouterr().err
    assert {file.name for file in out.iterdir()} >= {
        *("a_centres.svg", "a_concavity.svg", "a_masks_per_image.svg"),
        *("a_relative_size.svg", "result.json", "result.html"),
    }
    assert "relative mask size" in (out / "result.html").read_text()
    assert "<style>" in (out / "a_concavity.svg").read_text()
    (out / "a_centres.svg").write_text("my own")
    assert cli.main(words) != 0
    assert (out / "a_centres.svg").read_text() == "my own"


def test_an_audit_gives_the_shares_of_pairs_above_both_thresholds(tmp_path):
    # IoUs of 1, 0.8 and 0.5 with the corrected masks, which come in another order.
    whole = square(0, 0, 20)
    parts = [square(0, 0, 20) & (np.arange(80) < width) for width in (20, 16, 10)]
    automatic = write_records(
        tmp_path / "automatic", [[parts[0], square(40, 40, 9)], [parts[1]], [parts[2]]]
    )
    corrected = write_records(
        tmp_path / "corrected", [[square(40, 60, 5), whole], [whole], [whole]]
    )
    suite = Audit(corrected=(corrected,)).make([automatic], None)
    result = evaluate(suite, NoModel())
    scores = result.scores
    assert scores["above_0.90"] == pytest.approx(1 / 3)
    assert scores["above_0.75"] == pytest.approx(2 / 3)
    assert scores["iou"] == pytest.approx((1 + 0.8 + 0.5) / 3)
    (of_set,) = result.sets
    assert set(of_set.intervals) == {"iou", "above_0.90", "above_0.75"}
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "masks that were removed": 1,
        "masks that were added": 1,
    }
    assert of_set.objects[0]["corrected"] == 2
    assert "94% above 0.90, 97% above 0.75" in table(suite, result)


def test_masks_of_one_id_can_be_pairs_however_far_apart(tmp_path):
    automatic = write_records(tmp_path / "automatic", [[TWO[0]]])
    corrected = write_records(tmp_path / "corrected", [[TWO[1]]])
    suite = Audit(corrected=(corrected,), pairs="id").make([automatic], None)
    assert evaluate(suite, NoModel()).scores["iou"] == 0


def test_photos_without_corrected_masks_are_named_and_left_out(tmp_path):
    automatic = write_records(tmp_path / "automatic", [[TWO[0]], [TWO[0]]])
    corrected = write_records(tmp_path / "corrected", [[TWO[0]]])
    suite = Audit(corrected=(corrected,)).make([automatic], None)
    (of_set,) = evaluate(suite, NoModel()).sets
    assert of_set.skipped == {"no corrected masks of the photo": ["001.jpg"]}


@pytest.mark.parametrize(
    ("options", "data"),
    [
        (Statistics(), []),
        (Statistics(images=0), ["a"]),
        (Audit(), ["a"]),
        (Audit(corrected=(Path("a"), Path("b"))), ["a"]),
        (Audit(corrected=(Path("a"),), images=0), ["a"]),
    ],
)
def test_options_that_do_not_fit_are_refused(options, data):
    with pytest.raises(OptionError):
        options.check(list(map(Path, data)), "samjax")

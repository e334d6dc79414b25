"""The table that the command prints."""

from small_photo_set import TWO, LateSegmenter, square, write_set

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import photo_suite
from samjax.evaluation.table import table


def test_the_table_has_the_scores_their_intervals_and_the_notes(tmp_path):
    selection = Selection(min_area=400)
    folders = [
        write_set(tmp_path / "birds", [TWO] * 2),
        write_set(tmp_path / "fish", [[*TWO, square(40, 5, 3)]]),
    ]
    datasets = [open_dataset(folder, selection) for folder in folders]
    suite = photo_suite(datasets, selection, clicks=(3,), noc=True)
    lines = table(suite, evaluate(suite, LateSegmenter(2))).splitlines()
    head, birds, ranges = (line.split() for line in lines[:3])
    assert head[:4] == ["mean", "IoU", "photos", "objects"]
    assert dict(zip(head[4:], birds[3:], strict=True)) == {
        "1": "0.000",
        "oracle": "0.000",
        "3": "1.000",
        "oracle_3": "1.000",
        "box": "1.000",
        "box_oracle": "1.000",
        "box_single": "1.000",
    }
    assert birds[:3] == ["birds", "2", "4"] and "1.00-1.00" in ranges
    assert lines[5].startswith("mean of sets")
    for note in (
        "birds: 2.00 clicks (2.00 to 2.00) to an IoU of 0.85, not reached by 0%",
        "fish: left out: 1 too small",
        "fish: intervals of so few photos are too narrow",
    ):
        assert note in lines
    assert lines[-1].startswith("predicted IoU, 1 click: mean 0.800, true 0.000")

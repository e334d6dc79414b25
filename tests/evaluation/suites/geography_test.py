"""The suite geography: counts and scores by country, region and income."""

from pathlib import Path

import pytest
from small_photo_set import TWO, ColorSegmenter, write_set

from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.geography import Geography, read_places
from samjax.evaluation.table import table

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

PLACES = """image,country,region,income,year
000.png,Kenya,Africa,low income,2022
001.png,Kenya,Africa,low,2022
002.png,Italy,Europe,High income,2022
"""


@pytest.fixture
def places(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text(PLACES)
    return path


def test_photos_and_masks_are_counted_and_scored_by_every_column(tmp_path, places):
    data = write_set(tmp_path / "a", [TWO, TWO[:1], TWO, TWO])
    suite = Geography(table=places).make([data], None)
    result = evaluate(suite, ColorSegmenter())
    (of_set,) = result.sets
    counts = of_set.details["counts"]
    assert counts["country"]["Kenya"] == {
        "photos": 2,
        "masks": 3,
        "share_of_photos": 2 / 3,
        "share_of_masks": 3 / 5,
        "masks_per_photo": 1.5,
    }
    assert set(counts["income"]) == {"low", "high"} and "year" not in counts
    assert of_set.details["groups"]["region"]["3"]["groups"]["Africa"]["mean"] == 1.0
    assert {reason: len(parts) for reason, parts in of_set.skipped.items()} == {
        "without a group": 2
    }
    assert result.protocol["years_of_the_table"] == ["2022"]
    text = table(suite, result)
    assert "region: Africa 2 photos (66.7%; SA-1B 2.8%), 3 masks, 1.5 a photo" in text


def test_income_groups_without_a_year_are_refused(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text("image,income\n000.png,low\n")
    with pytest.raises(ValueError, match="year"):
        read_places(path)
    path.write_text("image,country\n000.png,Kenya\n")
    assert read_places(path) == ({("000.png", None): {"country": "Kenya"}}, [])


def test_pairs_of_many_countries_are_not_compared(tmp_path):
    data = write_set(tmp_path / "a", [TWO[:1]] * 14)
    path = tmp_path / "places.csv"
    lines = [f"{number:03d}.png,c{number}" for number in range(14)]
    path.write_text("\n".join(["image,country", *lines]))
    suite = Geography(table=path, clicks=(1,)).make([data], None)
    (of_set,) = evaluate(suite, ColorSegmenter()).sets
    of_click = of_set.details["groups"]["country"]["1"]
    assert len(of_click["groups"]) == 14 and not of_click["differences"]


@pytest.mark.parametrize(
    ("options", "data", "segmenter"),
    [
        ({}, ["a"], "samjax"),
        ({"table": Path("b")}, [], "samjax"),
        ({"table": Path("b")}, ["a"], "grabcut"),
        ({"table": Path("b"), "clicks": ()}, ["a"], "samjax"),
        ({"table": Path("b"), "objects": 0}, ["a"], "samjax"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, data, segmenter):
    with pytest.raises(OptionError):
        Geography(**options).check(list(map(Path, data)), segmenter)

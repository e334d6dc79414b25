"""The suites fairness and clothing: planted bias, groups of MIAP, FACET and tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from people_files import (
    PEOPLE,
    BiasedSegmenter,
    write_facet,
    write_miap,
    write_rows,
)
from small_photo_set import write_set

from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError, suite_options
from samjax.evaluation.suites.fairness import Clothing, Fairness
from samjax.evaluation.table import table

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> tuple[Path, Path]:
    """Sixty drawn scenes of two people, the left and the right one in a group each."""
    folder = tmp_path_factory.mktemp("scenes")
    data = write_set(folder / "people", [PEOPLE] * 60)
    rows = [
        {"annotation": number, "gender": "left" if number % 2 else "right"}
        for number in range(1, 121)
    ]
    return data, write_rows(folder / "groups.csv", rows)


def run(scenes, bias, seed=0, **options):
    data, groups = scenes
    suite = Fairness(groups=groups, **options).make([data], None)
    return suite, evaluate(suite, BiasedSegmenter(bias, seed))


def test_a_planted_bias_is_found_at_one_click_and_not_at_three(scenes):
    suite, result = run(scenes, bias=0.15)
    tables = result.sets[0].details["groups"]["gender"]
    (at_one,), (at_three,) = (tables[clicks]["differences"] for clicks in "13")
    assert at_one["differs"] and at_one["p_holm"] < 0.01
    assert (at_one["first"], at_one["second"]) == ("left", "right")
    assert at_one["interval"][0] <= at_one["difference"] <= at_one["interval"][1] < 0
    assert not at_three["differs"] and at_three["difference"] == 0
    assert tables["1"]["groups"]["left"]["images"] == 60
    text = table(suite, result)
    assert ": differ" in text and "no difference found" in text
    assert "left less right -0." in text


def test_no_bias_is_found_where_there_is_none(scenes):
    found = 0
    for seed in range(8):
        _, result = run(scenes, bias=0.0, seed=seed, clicks=(1,))
        (pair,) = result.sets[0].details["groups"]["gender"]["1"]["differences"]
        found += pair["differs"]
    # 5 % of runs find one: two of eight would be one case in eighteen.
    assert found <= 1


def test_records_have_the_groups_and_the_protocol_the_choices(scenes):
    _, result = run(scenes, bias=0.0, clicks=(1, 3), differences="unpaired")
    record = result.sets[0].objects[0]
    assert record["groups"] == {"gender": "left"} and set(record["iou"]) >= {"1", "3"}
    assert result.suite == "fairness" and result.protocol["differences"] == "unpaired"
    assert result.protocol["first_click_at"] == "random"
    assert "another set" in result.deviations[0]


def samples_of(dataset):
    skipped = list(dataset.skipped)
    samples = []
    for index in range(len(dataset)):
        sample = dataset[index]
        assert not isinstance(sample, Skipped)
        samples.append(sample)
        skipped += sample.skipped
    return samples, [part.reason for part in skipped]


def test_masks_of_miap_get_the_groups_of_the_nearest_box(tmp_path):
    (dataset,) = Fairness().make([write_miap(tmp_path / "miap")], None).datasets
    samples, reasons = samples_of(dataset)
    assert [sample.name for sample in samples] == ["aa", "bb"]
    groups = [record["groups"] for record in samples[0].objects]
    assert groups == [{"gender": "feminine", "age": "young"}, {"gender": "masculine"}]
    # The first mask was stored at half of the photo's size.
    iou = (samples[0].targets[0] & PEOPLE[0]).sum() / (
        samples[0].targets[0] | PEOPLE[0]
    ).sum()
    assert iou > 0.9
    np.testing.assert_array_equal(samples[0].targets[1], PEOPLE[1])
    assert len(samples[1].targets) == 1
    assert sorted(reasons) == [
        "missing or damaged mask",
        "no box of MIAP fits",
        "no box of MIAP fits",
    ]


def test_clothing_of_miap_gets_the_groups_of_the_person_around_it(tmp_path):
    suite = Clothing().make([write_miap(tmp_path / "miap")], None)
    samples, reasons = samples_of(suite.datasets[0])
    assert [len(sample.targets) for sample in samples] == [1, 1] and not reasons
    assert samples[0].objects[0]["groups"]["gender"] == "feminine"
    assert samples[0].targets[0].sum() == 64
    assert suite.name == "clothing" and "smallest box" in suite.deviations[-1]


@pytest.mark.parametrize(("kind", "count"), [(Fairness, 2), (Clothing, 1)])
def test_masks_of_facet_get_the_groups_of_their_person(tmp_path, kind, count):
    (dataset,) = kind().make([write_facet(tmp_path / "facet")], None).datasets
    (sample,), reasons = samples_of(dataset)
    assert len(sample.targets) == count and reasons == ["unknown category"]
    # Two of three votes are a tone; one each of two is none.
    assert sample.objects[0]["groups"] == {
        "gender": "feminine",
        "age": "middle",
        "skin tone": "3",
    }
    if count == 2:
        assert sample.objects[1]["groups"] == {"gender": "masculine"}


def test_the_papers_figures_stand_beside_those_of_miap(tmp_path):
    suite = Fairness(clicks=(1, 3)).make([write_miap(tmp_path / "miap")], None)
    result = evaluate(suite, BiasedSegmenter(0.0))
    text = table(suite, result)
    assert "the paper 0.544" in text and "too few photos" in text
    assert all("another set" not in part for part in result.deviations)


def test_a_table_may_be_json_and_name_images(tmp_path):
    data = write_set(tmp_path / "a", [PEOPLE] * 3)
    rows = [{"image": "000", "place": "x"}, {"image": "images/001.png", "place": "y"}]
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps(rows))
    suite = Fairness(groups=groups, clicks=(1,)).make([data], None)
    samples, reasons = samples_of(suite.datasets[0])
    places = [[record["groups"]["place"] for record in one.objects] for one in samples]
    assert places == [["x", "x"], ["y", "y"], []]
    assert reasons == ["without a group"] * 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"annotation": "x", "gender": "a"}], "row 1"),
        ([{"gender": "a"}], "row 1"),
        ([{"image": "a", "gender": ""}], "no group"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path, rows, message):
    data = write_set(tmp_path / "a", [PEOPLE])
    groups = write_rows(tmp_path / "groups.csv", rows)
    with pytest.raises(ValueError, match=message):
        Fairness(groups=groups).make([data], None)


def test_a_set_without_groups_asks_for_a_table(tmp_path):
    with pytest.raises(ValueError, match="--groups"):
        Fairness().make([write_set(tmp_path / "a", [PEOPLE])], None)


@pytest.mark.parametrize("name", ["fairness", "clothing"])
@pytest.mark.parametrize(
    ("options", "data", "segmenter"),
    [
        ({}, [], "samjax"),
        ({}, ["a"], "grabcut"),
        ({"clicks": (0,)}, ["a"], "samjax"),
        ({"level": 1.0}, ["a"], "samjax"),
        ({"min_area": 0}, ["a"], "samjax"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, data, segmenter):
    with pytest.raises(OptionError):
        suite_options(name)(**options).check(list(map(Path, data)), segmenter)

"""Shards from tars: kept and left out data, and the same files after interruptions."""

import dataclasses
import io
import json

import numpy as np
import pytest
from data.tfds.small_tars import SIZE, changed, files_of, jpeg, members, write_tar
from PIL import Image

from samjax.data.decode import ImageFile
from samjax.data.examples import RawExample
from samjax.data.prepare import PrepareConfig, Status, prepare
from samjax.data.schema import record_from_json
from samjax.data.tfds import convert
from samjax.data.tfds.convert import convert_example, convert_shard
from samjax.data.tfds.layout import BuildConfig, make_plan, read_report
from samjax.data.tfds.schema import read_stored
from samjax.data.tfds.source import open_shard

SMALL = BuildConfig(long_side=36, parts=2)


def build(plan) -> list:
    """Converts all shards of a plan; returns their reports."""
    for number in range(plan.num_shards):
        *_, last = convert_shard(plan, number)
        assert last.report == read_report(plan, number)
    return [read_report(plan, number) for number in range(plan.num_shards)]


def stored(plan, number):
    """The examples of a shard."""
    reader = open_shard(plan.shard(number))
    places = range(reader.num_records())
    return [read_stored(data) for data in reader.read(list(places))]


def test_every_image_of_a_tar_is_in_one_of_its_shards_with_its_own_masks(tmp_path):
    content = members(range(1, 8))
    tar = write_tar(tmp_path / "sa_000000.tar", content)
    plan = make_plan([tar], tmp_path / "out", SMALL)
    reports = build(plan)
    assert [report["ids"] for report in reports] == [[1, 2, 3], [4, 5, 6, 7]]
    assert [report["written"] for report in reports] == [3, 4]
    assert sum(report["masks"] for report in reports) == 21
    found = [one for number in range(2) for one in stored(plan, number)]
    for number, one in enumerate(found, start=1):
        expected = record_from_json(content[f"./sa_{number}.json"])
        assert one.record == expected
        assert ImageFile(one.image).size == (24, 36)
    lengths = [plan.shard(number).stat().st_size for number in range(2)]
    assert [report["bytes"] for report in reports] == lengths


def test_a_smaller_copy_looks_like_the_image():
    raw = RawExample("a", *members(range(3, 4)).values())
    data = read_stored(convert_example(raw, SMALL).data).image
    got = np.asarray(Image.open(io.BytesIO(data)), float)
    whole = Image.open(io.BytesIO(raw.image))
    expected = np.asarray(whole.resize((36, 24), Image.Resampling.BILINEAR), float)
    assert np.abs(got - expected).mean() < 3


@pytest.mark.parametrize("long_side", [None, 72, 100])
def test_an_image_that_is_small_enough_keeps_its_bytes(long_side):
    raw = RawExample("a", *members(range(3, 4)).values())
    config = BuildConfig(long_side=long_side)
    assert read_stored(convert_example(raw, config).data).image == raw.image


def test_training_takes_a_smaller_copy_with_the_masks_of_the_original():
    raw = RawExample("a", *members(range(3, 4)).values())
    image, record = read_stored(convert_example(raw, SMALL).data)
    config = PrepareConfig(image_size=36, masks_per_image=3, boundaries_per_mask=64)
    examples = [
        prepare(RawExample("a", *parts), config, np.random.default_rng(0))
        for parts in ((raw.image, raw.record), (image, record))
    ]
    assert [example.status for example in examples] == [Status.FINE] * 2
    np.testing.assert_array_equal(examples[0].runs, examples[1].runs)
    difference = examples[0].image.astype(int) - examples[1].image
    assert np.abs(difference).mean() < 3


def damaged_members() -> tuple[dict[str, bytes], dict[str, str]]:
    """Members, some of them damaged, and the expected problem of each."""
    content = members(range(10))
    content["./sa_1.jpg"] = content["./sa_1.jpg"][:-40]
    content["./sa_2.json"] = content["./sa_2.json"][:-40]
    content["./sa_3.jpg"] = jpeg(3, (72, 48))
    content["./sa_4.jpg"] = b"no image"
    content["./sa_5.json"] = changed(
        content["./sa_5.json"], lambda record: record["image"].pop("width")
    )
    del content["./sa_6.json"]
    del content["./sa_7.jpg"]
    return content, {
        "sa_1": "",
        "sa_2": "not JSON",
        "sa_3": "not of the same image",
        "sa_4": "",
        "sa_5": "image.width is missing",
        "sa_6": "JSON is missing",
        "sa_7": "image is missing",
    }


@pytest.mark.parametrize("long_side", [36, None])
def test_damaged_parts_are_left_out_on_their_own_and_reported(tmp_path, long_side):
    content, expected = damaged_members()
    tar = write_tar(tmp_path / "sa_000000.tar", content)
    config = BuildConfig(long_side=long_side, parts=1)
    (report,) = build(make_plan([tar], tmp_path / "out", config))
    assert report["ids"] == [0, 8, 9]
    said = {name.rpartition(":")[2]: why for name, why in report["bad"].items()}
    assert set(said) == set(expected)
    for name, part in expected.items():
        assert part in said[name] and said[name]


def test_a_damaged_mask_does_not_affect_others(tmp_path):
    def damage(record):
        masks = record["annotations"]
        masks[0]["segmentation"]["counts"] += "1"
        masks[1]["segmentation"]["counts"] = "é"
        masks[2]["bbox"] = [0.0, 0.0, 100.0, 5.0]
        masks[3]["segmentation"]["size"] = [SIZE[1], SIZE[0]]

    content = members(range(2), masks=6)
    content["./sa_1.json"] = changed(content["./sa_1.json"], damage)
    tar = write_tar(tmp_path / "sa_000000.tar", content)
    plan = make_plan([tar], tmp_path / "out", BuildConfig(parts=1))
    (report,) = build(plan)
    assert (report["written"], report["masks"], report["bad"]) == (2, 8, {})
    ((name, said),) = report["bad_masks"].items()
    assert name.endswith("sa_1")
    for line, part in zip(
        said, ["run lengths", "run lengths", "leaves the image", "size"], strict=True
    ):
        assert part in line
    ids = [one["id"] for one in stored(plan, 0)[1].record["annotations"]]
    assert ids == [104, 105]


def test_a_truncated_tar_gives_the_images_before_the_damage(tmp_path):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(9)))
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    first, second = build(make_plan([tar], tmp_path / "out", SMALL))
    ids = first["ids"] + second["ids"]
    assert ids == list(range(len(ids))) and 2 < len(ids) < 6
    assert first["damage"] and second["damage"]


def test_a_file_that_is_not_a_tar_leaves_its_shards_empty(tmp_path):
    wrong = tmp_path / "sa_000000.tar"
    wrong.write_bytes(b"no tar at all" * 100)
    good = write_tar(tmp_path / "sa_000001.tar", members(range(2)))
    plan = make_plan([good, wrong], tmp_path / "out", SMALL)
    reports = build(plan)
    assert [report["written"] for report in reports] == [0, 0, 1, 1]
    assert "not a tar" in reports[0]["damage"] and not reports[2]["damage"]
    assert stored(plan, 0) == []


def test_a_missing_tar_is_an_error(tmp_path):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(2)))
    plan = make_plan([tar], tmp_path / "out", SMALL)
    tar.unlink()
    with pytest.raises(FileNotFoundError):
        list(convert_shard(plan, 0))
    assert read_report(plan, 0) is None


def test_a_build_stopped_at_any_image_resumes_to_the_same_files(tmp_path, monkeypatch):
    content, _ = damaged_members()
    tars = [
        write_tar(tmp_path / "sa_000000.tar", content),
        write_tar(tmp_path / "sa_000001.tar", members(range(20, 25))),
    ]
    whole = make_plan(tars, tmp_path / "whole", SMALL)
    build(whole)
    expected = files_of(whole.folder)
    real = convert.convert_example

    class Killed(BaseException):
        pass

    for stop in range(1, 15, 2):
        plan = make_plan(tars, tmp_path / f"stopped{stop}", SMALL)
        calls = 0

        def count(raw, config):
            nonlocal calls
            calls += 1
            if calls == stop:  # noqa: B023
                raise Killed
            return real(raw, config)

        monkeypatch.setattr(convert, "convert_example", count)
        with pytest.raises(Killed):
            build(plan)
        monkeypatch.setattr(convert, "convert_example", real)
        # A process that is killed leaves the hidden file too.
        left = plan.shard(0).with_name(f".{plan.shard(0).name}.0123abcd.tmp")
        left.write_bytes(b"a part")
        build(plan)
        assert files_of(plan.folder) == expected


def test_a_finished_shard_is_not_built_again(tmp_path, monkeypatch):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(3)))
    plan = make_plan([tar], tmp_path / "out", SMALL)
    build(plan)
    monkeypatch.setattr(convert, "convert_example", None)
    for number in range(2):
        *_, last = convert_shard(plan, number)
        assert last.was_there and last.report == read_report(plan, number)


@pytest.mark.parametrize("lost", ["shard", "report"])
def test_a_shard_with_a_missing_or_truncated_file_is_built_again(tmp_path, lost):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(3)))
    plan = make_plan([tar], tmp_path / "out", SMALL)
    build(plan)
    expected = files_of(plan.folder)
    path = getattr(plan, lost)(1)
    path.write_bytes(path.read_bytes()[:-7])
    assert read_report(plan, 1) is None
    build(plan)
    path.unlink()
    build(plan)
    assert files_of(plan.folder) == expected


def test_a_full_disk_is_an_os_error(tmp_path):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(3)))
    plan = make_plan([tar], tmp_path / "out", SMALL)
    with (
        pytest.raises(OSError, match="cannot be written"),
        convert._writer(tmp_path / "gone" / "shard"),
    ):
        pass
    assert read_report(plan, 0) is None


def test_reports_do_not_change_from_run_to_run(tmp_path):
    tar = write_tar(tmp_path / "sa_000000.tar", members(range(3)))
    plans = [make_plan([tar], tmp_path / name, SMALL) for name in "ab"]
    for plan in plans:
        build(plan)
    assert files_of(plans[0].folder) == files_of(plans[1].folder)
    assert "tmp" not in json.dumps(read_report(plans[0], 0))


def test_quality_is_that_of_the_copies(tmp_path):
    raw = RawExample("a", *members(range(3, 4)).values())
    sizes = [
        len(convert_example(raw, dataclasses.replace(SMALL, quality=quality)).data)
        for quality in (30, 95)
    ]
    assert sizes[0] < sizes[1]

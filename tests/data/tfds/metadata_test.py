"""Completion of a build: when the metadata is written, and that plain TFDS reads it."""

import tarfile

import pytest
from data.tfds.small_tars import files_of, jpeg, members, record, write_tar

from samjax.data.images import find_images
from samjax.data.tfds.build import build_shards
from samjax.data.tfds.layout import BuildConfig, make_plan, read_report
from samjax.data.tfds.metadata import add_up, finish

SMALL = BuildConfig(long_side=36, parts=2)


def plan_of(tmp_path, *tars, config=SMALL):
    paths = [
        write_tar(tmp_path / "tars" / f"sa_{index}.tar", content)
        for index, content in enumerate(tars)
    ]
    return make_plan(paths, tmp_path / "out", config)


def build(plan, numbers):
    for _ in build_shards(plan, numbers):
        pass


def test_nothing_is_written_before_the_last_shard(tmp_path):
    plan = plan_of(tmp_path, members(range(3)), members(range(3, 6)))
    build(plan, [0, 1, 3])
    before = files_of(plan.folder)
    totals = finish(plan)
    assert (totals.shards, totals.images, totals.masks) == (3, 5, 15)
    assert files_of(plan.folder) == before


def test_left_out_images_and_masks_are_totalled(tmp_path):
    content = members(range(4))
    content["./sa_1.jpg"] = b""
    content["./sa_2.json"] = content["./sa_2.json"].replace(b'"id":201', b'"id":-1')
    plan = plan_of(tmp_path, content)
    with tarfile.open(plan.tars[0]) as tar:
        last = tar.getmember("./sa_3.jpg").offset_data
    plan.tars[0].write_bytes(plan.tars[0].read_bytes()[: last + 10])
    build(make_plan(plan.tars, tmp_path / "again", SMALL), range(2))
    again = make_plan(plan.tars, tmp_path / "again", SMALL)
    totals = add_up(read_report(again, number) for number in range(2))
    assert (totals.images, totals.bad_images, totals.bad_masks) == (2, 1, 1)
    assert totals.damaged_tars == ["sa_0.tar"]


def test_a_dataset_without_an_image_is_refused(tmp_path):
    plan = plan_of(tmp_path, {"./sa_1.jpg": b"x"})
    build(plan, range(2))
    with pytest.raises(ValueError, match="none of 2 shards has an image"):
        finish(plan)


def test_plain_tfds_reads_everything_back(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    # Three parts of two images: a shard is empty.
    config = BuildConfig(long_side=None, parts=3)
    plan = plan_of(tmp_path, members(range(1, 3)), members(range(3, 9)), config=config)
    build(plan, range(6))
    totals = finish(plan)
    assert (totals.shards, totals.images) == (6, 8)
    builder = tfds.builder_from_directory(plan.folder)
    assert builder.info.name == "segment_anything"
    assert str(builder.info.version) == "1.0.0"
    assert builder.info.splits["train"].shard_lengths == [0, 1, 1, 2, 2, 2]
    skip = {"image": {"content": tfds.decode.SkipDecoding()}}
    source = builder.as_data_source(split="train", decoders=skip)
    assert len(source) == 8
    for number, example in enumerate(source, start=1):
        expected = record(number)
        image = dict(example["image"])
        assert image.pop("content") == jpeg(number)
        assert image.pop("file_name").decode() == f"sa_{number}.jpg"
        assert {**image, "file_name": f"sa_{number}.jpg"} == expected["image"]
        counts = example["annotations"]["segmentation"]["counts"]
        assert [text.decode() for text in counts] == [
            one["segmentation"]["counts"] for one in expected["annotations"]
        ]
        assert list(example["annotations"]["id"]) == [
            one["id"] for one in expected["annotations"]
        ]
    # With decoding, and by the path alone.
    whole = tfds.data_source("segment_anything", split="train", **_at(plan, tfds))
    assert whole[0]["image"]["content"].shape == (48, 72, 3)


def _at(plan, tfds):
    """The folder in which TFDS finds a dataset by name: its name and version."""
    place = plan.folder.parent / "named" / "segment_anything" / "1.0.0"
    place.parent.mkdir(parents=True)
    place.symlink_to(plan.folder)
    return {"data_dir": place.parents[1]}


def test_all_processes_of_a_build_write_the_same_metadata(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    plan = plan_of(tmp_path, members(range(3)))
    build(plan, range(2))
    finish(plan)
    before = files_of(plan.folder)
    assert {"dataset_info.json", "features.json"} < set(before)
    finish(plan)
    assert files_of(plan.folder) == before


def test_everything_mode_reads_the_images_of_a_split(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    plan = plan_of(
        tmp_path, members(range(1, 4)), config=BuildConfig(long_side=None, parts=1)
    )
    build(plan, range(1))
    finish(plan)
    items = find_images([f"tfds:{plan.folder}:train[1:]"])
    assert [item.read() for item in items] == [jpeg(2), jpeg(3)]

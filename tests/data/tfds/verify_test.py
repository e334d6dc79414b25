"""Verification of a built dataset: sound parts pass, damaged ones are reported."""

import json

import pytest
from data.tfds.small_tars import dataset_of, jpeg, members, record, write_tar

from samjax.data.tfds.layout import BuildConfig
from samjax.data.tfds.schema import write_stored
from samjax.data.tfds.source import find_shards
from samjax.data.tfds.verify import read_by_tfds, verify_shards


@pytest.fixture
def dataset(tmp_path):
    tar = write_tar(tmp_path / "sa_0.tar", members(range(6)))
    return dataset_of([tar], tmp_path / "dataset", BuildConfig(long_side=36, parts=2))


@pytest.mark.parametrize("pixels", [False, True])
def test_a_sound_dataset_has_no_problems(dataset, pixels):
    found = list(verify_shards(dataset, pixels=pixels))
    assert [one.problems for one in found] == [[], []]
    assert [(one.images, one.masks) for one in found] == [(3, 9), (3, 9)]


def test_every_other_example_is_less_work(dataset):
    assert [one.images for one in verify_shards(dataset, every=2)] == [2, 2]


def rewritten(dataset, examples) -> list[str]:
    """Replaces the examples of the first shard; returns the problems reported for it."""
    from array_record.python.array_record_module import ArrayRecordWriter

    path = find_shards(dataset)[0].path
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for image, written in examples:
        writer.write(write_stored(image, written))
    writer.close()
    first, second = verify_shards(dataset, pixels=True)
    assert not second.problems
    return first.problems


def test_a_damaged_mask_is_named(dataset):
    broken = record(1)
    broken["annotations"][1]["segmentation"]["counts"] += "1"
    problems = rewritten(
        dataset, [(jpeg(0), record(0)), (jpeg(1), broken), (jpeg(2), record(2))]
    )
    assert len(problems) == 1
    assert "[1] (sa_1.jpg): mask 101 is damaged" in problems[0]


def test_images_that_are_missing_truncated_or_of_another_shape_are_reported(dataset):
    examples = [
        (jpeg(0, (36, 48)), record(0)),
        (jpeg(1)[:-60], record(1)),
        (b"none", record(2)),
    ]
    problems = rewritten(dataset, examples)
    assert len(problems) == 3
    assert "(h, w) = (36, 48), its masks (48, 72)" in problems[0]


def test_a_repeated_image_id_and_a_wrong_count_are_reported(dataset):
    examples = [(jpeg(0), record(0))] * 2
    count, twice = rewritten(dataset, examples)
    assert "has 2 examples, the metadata says 3" in count
    assert "the number of example 0" in twice


@pytest.mark.parametrize("damage", ["cut", "remove", "flip"])
def test_a_file_that_is_damaged_or_gone_is_named(dataset, damage):
    path = find_shards(dataset)[1].path
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 3 :]
    if damage == "flip":
        start = content.index(b"image/content")
        content[start + 100 : start + 110] = bytes(10)
    path.write_bytes(content)
    if damage == "remove":
        path.unlink()
    first, second = verify_shards(dataset)
    assert not first.problems
    assert len(second.problems) == 1 and path.name in second.problems[0]


def test_tfds_reads_a_dataset_or_gives_the_reason(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    from samjax.data.tfds.layout import make_plan
    from samjax.data.tfds.metadata import finish

    tar = write_tar(tmp_path / "sa_0.tar", members(range(6)))
    config = BuildConfig(long_side=36, parts=2)
    folder = dataset_of([tar], tmp_path / "dataset", config)
    finish(make_plan([tar], folder, config))
    assert read_by_tfds(folder) == 6
    features = folder / "features.json"
    features.write_text(json.dumps({}))
    with pytest.raises(ValueError, match="TFDS cannot read"):
        read_by_tfds(folder)

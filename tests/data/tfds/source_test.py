"""The TFDS dataset as raw examples, without TFDS."""

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from data.tfds.small_tars import dataset_of, members, record, write_tar

from samjax.data.examples import ExampleSource
from samjax.data.schema import record_from_json, record_to_json
from samjax.data.tfds.layout import BuildConfig
from samjax.data.tfds.source import TfdsSource, dataset_folder, find_shards

ROOT = Path(__file__).parents[3]


@pytest.fixture
def dataset(tmp_path):
    tars = [
        write_tar(tmp_path / "tars" / f"sa_{index}.tar", members(numbers))
        for index, numbers in enumerate((range(1, 3), range(3, 9)))
    ]
    # Two images in three parts: a shard is empty.
    config = BuildConfig(long_side=36, parts=3)
    return dataset_of(tars, tmp_path / "dataset", config)


def test_the_examples_are_those_of_the_tars_in_order(dataset):
    source = TfdsSource(dataset)
    assert isinstance(source, ExampleSource)
    assert len(source) == 8
    for index in range(8):
        raw = source[index]
        assert raw.name == f"sa_{index + 1}.jpg"
        assert raw.record == record(index + 1)
        assert raw.image.startswith(b"\xff\xd8")
        assert record_from_json(record_to_json(raw.record)) == raw.record
    with pytest.raises(IndexError):
        source[8]
    with pytest.raises(IndexError):
        source[-1]


def test_a_pickled_source_is_small_and_reads_the_same(dataset):
    source = TfdsSource(dataset)
    expected = [source[index] for index in range(8)]
    data = pickle.dumps(source)
    assert len(data) < 2000
    copy = pickle.loads(data)
    assert [copy[index] for index in range(8)] == expected


def test_many_threads_read_at_once(dataset):
    source = TfdsSource(dataset)
    expected = [TfdsSource(dataset)[index] for index in range(8)]
    got = {}

    def read(start):
        for index in range(8):
            place = (start + index) % 8
            got[start, place] = source[place]

    threads = [threading.Thread(target=read, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 64
    assert all(raw == expected[place] for (_, place), raw in got.items())


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "not an example"])
def test_an_unreadable_example_is_empty(dataset, damage):
    path = find_shards(dataset)[3].path
    content = bytearray(path.read_bytes())
    if damage == "flip":
        # Within the first record of the shard, behind the file's own header.
        start = content.index(b"image/content")
        content[start + 100 : start + 110] = bytes(10)
    elif damage == "cut":
        del content[len(content) // 3 :]
    elif damage == "not an example":
        from array_record.python.array_record_module import ArrayRecordWriter

        writer = ArrayRecordWriter(str(path), "group_size:1")
        for _ in range(2):
            writer.write(b"something else")
        writer.close()
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    if damage == "remove":
        path.unlink()
    source = TfdsSource(dataset)
    assert source[2][1:3] == (None, None) and source[2].problem
    assert source[2].name.endswith(":0")
    others = [0, 1, 4, 5, 6, 7] + ([3] if damage == "flip" else [])
    assert all(source[index].image is not None for index in others)


def test_the_directory_is_found_from_above(dataset, tmp_path):
    place = tmp_path / "above" / "segment_anything" / "1.0.0"
    place.parent.mkdir(parents=True)
    place.symlink_to(dataset)
    for path in (place, place.parent, place.parents[1]):
        assert dataset_folder(path).resolve() == dataset.resolve()
        assert len(TfdsSource(path)) == 8


def test_a_path_that_is_not_a_dataset_is_an_error(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a directory"):
        TfdsSource(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"\['train'\].*expected 'test'"):
        TfdsSource(dataset, "test")
    information = dataset / "dataset_info.json"
    content = json.loads(information.read_text())
    information.write_text(json.dumps(content | {"fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match="as tfrecord files"):
        TfdsSource(dataset)
    information.unlink()
    with pytest.raises(ValueError, match="not finished.*data build"):
        TfdsSource(dataset)


def test_other_templates_of_file_names_are_supported(dataset):
    information = dataset / "dataset_info.json"
    content = json.loads(information.read_text())
    content["splits"][0]["filepathTemplate"] = "{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    information.write_text(json.dumps(content))
    for path in dataset.glob("segment_anything-*"):
        path.rename(path.with_name(path.name.partition("-")[2]))
    assert TfdsSource(dataset)[7].record == record(8)


def test_reading_loads_neither_tensorflow_nor_tfds_nor_jax(dataset):
    code = (
        "import sys; from samjax.data.tfds.source import TfdsSource; "
        "TfdsSource(sys.argv[1])[0]; "
        "print([n for n in ('tensorflow', 'tensorflow_datasets', 'grain') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, dataset],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n"


def test_datasets_of_the_published_builder_are_read(tmp_path):
    """The published builder's own examples, written by TFDS itself."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.core.file_adapters import ArrayRecordFileAdapter  # pyright: ignore[reportMissingImports]

    from samjax.data.tfds.schema import tfds_features

    features = tfds_features()
    serializer = tfds.core.example_serializer.ExampleSerializer(
        features.get_serialized_info()
    )
    expected = record(5)
    annotations = [
        one
        | {
            name: tfds.features.BBox(
                one[name][1] / 48,
                one[name][0] / 72,
                (one[name][1] + one[name][3]) / 48,
                (one[name][0] + one[name][2]) / 72,
            )
            for name in ("bbox", "crop_box")
        }
        for one in expected["annotations"]
    ]
    image = expected["image"] | {"content": members(range(5, 6))["./sa_5.jpg"]}
    data = serializer.serialize_example(
        features.encode_example({"image": image, "annotations": annotations})
    )
    folder = tmp_path / "segment_anything" / "1.0.0"
    folder.mkdir(parents=True)
    path = folder / "segment_anything-train.array_record-00000-of-00001"
    ArrayRecordFileAdapter.write_examples(path, [(0, data)])
    split = tfds.core.SplitInfo(
        name="train", shard_lengths=[1], num_bytes=len(data), filename_template=None
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=[split], check_data=False
    )
    assert TfdsSource(tmp_path)[0].record == expected

"""Sources of images: their items, the order of items, and errors."""

import io
import sys
import tarfile
import types

import numpy as np
import pytest
from PIL import Image

from samjax.data.images import find_images


def picture(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (5, 4), (shade, 0, 0)).save(data, format="PNG")
    return data.getvalue()


def tar_of(path, members: dict[str, bytes], mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_folder_gives_its_images_by_name_and_nothing_else(tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.png").write_bytes(b"")
    items = find_images([tmp_path])
    assert [item.name for item in items] == ["a.jpg", "b.PNG"]
    assert [item.stem for item in items] == ["a", "b"]
    assert [item.read() for item in items] == [b"a.jpg", b"b.PNG"]


def test_a_tar_gives_its_images_by_name_and_reads_them_in_place(tmp_path):
    members = {
        "./sa_2.jpg": picture(2),
        "./sa_2.json": b"{}",
        "./sa_1.jpg": picture(1) + b"\0" * 700,
    }
    items = find_images([tar_of(tmp_path / "sa_000000.tar", members)])
    assert [item.name for item in items] == ["sa_1.jpg", "sa_2.jpg"]
    assert [item.read() for item in items] == [
        members["./sa_1.jpg"],
        members["./sa_2.jpg"],
    ]


def test_a_tar_that_shrank_after_it_was_indexed_is_noticed(tmp_path):
    path = tar_of(tmp_path / "a.tar", {"one.png": picture(1)})
    (item,) = find_images([path])
    path.write_bytes(path.read_bytes()[:520])
    with pytest.raises(ValueError, match="ends within"):
        item.read()


def test_a_compressed_tar_is_refused_with_a_remedy(tmp_path):
    path = tar_of(tmp_path / "a.tar", {"one.png": picture(1)}, mode="w:gz")
    with pytest.raises(ValueError, match="unpack"):
        find_images([path])


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"image": x}])
def test_a_sequence_is_named_by_indices_and_read_lazily(wrap):
    read = []

    class Source:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            read.append(index)
            return wrap(np.full((2, 2, 3), index, np.uint8))

    items = find_images([Source()])
    assert [item.name for item in items] == ["000000.png", "000001.png", "000002.png"]
    assert read == []
    np.testing.assert_array_equal(items[2].read(), np.full((2, 2, 3), 2))
    assert read == [2]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("tfds:segment_anything/train", ("builder", "segment_anything", "train")),
        ("tfds:my/data:test[:9]", ("folder", "my/data", "test[:9]")),
    ],
)
def test_a_dataset_of_tfds_is_opened_without_decoding(monkeypatch, name, call):
    calls = []

    class Builder:
        def __init__(self, kind, which):
            self.call = (kind, which)
            self.info = types.SimpleNamespace(features={"image": None})

        def as_data_source(self, split, decoders):
            calls.append((*self.call, split))
            assert decoders == {"image": "skip"}
            return [{"image": {"content": picture(7)}}]

    stand_in = types.SimpleNamespace(
        builder=lambda which: Builder("builder", which),
        builder_from_directory=lambda which: Builder("folder", which),
        decode=types.SimpleNamespace(SkipDecoding=lambda: "skip"),
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", stand_in)
    (item,) = find_images([name])
    assert item.read() == picture(7)
    assert calls == [call]


def test_a_missing_source_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        find_images([tmp_path / "gone.jpg"])
    with pytest.raises(ValueError, match="no image is there"):
        find_images([tmp_path])


def test_two_images_with_the_same_stem_are_refused(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.png and a\.jpg"):
        find_images([tmp_path])

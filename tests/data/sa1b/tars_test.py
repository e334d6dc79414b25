"""Many tars as one dataset with random access from threads and processes."""

import json
import multiprocessing
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samjax.data.examples import ExampleSource, RawExample
from samjax.data.sa1b.extracted import ExtractedSource
from samjax.data.sa1b.source import open_sa1b
from samjax.data.sa1b.tars import TarSource
from samjax.files.marks import KEY, mark_of


def write_tars(folder: Path, count: int = 3) -> list[RawExample]:
    """Writes tars of 0, 1, 2, ... pairs, the last also with an unpaired image."""
    expected = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with tarfile.open(folder / f"sa_{number}.tar", "w") as tar:
            names = [f"image_{number}_{i}" for i in range(number)]
            for name in names:
                image, record = f"the image {name}".encode(), f"[{name}]".encode()
                _add(tar, folder, f"./{name}.jpg", image)
                _add(tar, folder, f"./{name}.json", record)
                expected.append(RawExample(f"sa_{number}.tar:{name}", image, record))
            if number == count - 1:
                _add(tar, folder, "./lonely.jpg", b"lonely")
                expected.append(RawExample(f"sa_{number}.tar:lonely", b"lonely", None))
    return expected


def _add(tar: tarfile.TarFile, folder: Path, name: str, content: bytes):
    path = folder / "member"
    path.write_bytes(content)
    tar.add(path, name)
    path.unlink()


def every(source: ExampleSource) -> list[RawExample]:
    return [source[i] for i in range(len(source))]


def test_many_tars_are_read_as_one_list(tmp_path):
    expected = write_tars(tmp_path)
    source = open_sa1b(str(tmp_path))
    assert isinstance(source, ExampleSource)
    assert every(source) == expected
    assert isinstance(source, TarSource)
    unpaired = "1 images without JSON or JSON files without image"
    assert source.problems == (f"{tmp_path / 'sa_2.tar'}: {unpaired}",)
    for index in (-1, len(expected)):
        with pytest.raises(IndexError):
            source[index]


def test_folders_patterns_and_lists_name_the_same_tars(tmp_path):
    expected = write_tars(tmp_path / "deep" / "down")
    tars = sorted(str(tar) for tar in tmp_path.rglob("*.tar"))
    for path in (str(tmp_path), str(tmp_path / "deep" / "*" / "sa_?.tar"), tars[::-1]):
        assert every(open_sa1b(path)) == expected


def test_copies_of_a_source_are_small_and_read_in_other_processes(tmp_path):
    expected = write_tars(tmp_path)
    source = TarSource(sorted(tmp_path.glob("*.tar")))
    copy = pickle.dumps(source)
    assert b"image_1_0" not in copy
    assert every(pickle.loads(copy)) == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(every, (source,)) == expected
    with ThreadPoolExecutor(8) as threads:
        fresh = pickle.loads(copy)
        order = list(range(len(expected))) * 20
        read = list(threads.map(fresh.__getitem__, order))
    assert read == [expected[i] for i in order]


def test_an_index_without_a_file_is_pickled_with_the_source(tmp_path, monkeypatch):
    expected = write_tars(tmp_path)

    def refuse(*_):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("samjax.data.sa1b.index._write", refuse)
    monkeypatch.setattr("samjax.data.sa1b.index._read", lambda *_: None)
    source = TarSource(sorted(tmp_path.glob("*.tar")))
    copy = pickle.dumps(source)
    monkeypatch.setattr("samjax.data.sa1b.index.build_index", refuse)
    assert every(pickle.loads(copy)) == expected


def test_no_file_stays_open(tmp_path):
    write_tars(tmp_path)
    source = open_sa1b(str(tmp_path))
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    every(source)
    after = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    assert len(after) == len(before)


def test_removed_or_truncated_tars_give_examples_without_content(tmp_path):
    expected = write_tars(tmp_path)
    source = open_sa1b(str(tmp_path))
    os.truncate(tmp_path / "sa_2.tar", 600)
    (tmp_path / "sa_1.tar").unlink()
    found = every(source)
    assert len(found) == len(expected)
    assert found[0].image is None and found[0].record is None
    assert all(len(example.image or b"") < 100 for example in found[1:])
    assert all(not example.record for example in found[1:])
    assert every(pickle.loads(pickle.dumps(source)))[0].image is None


def test_a_truncated_tar_is_reported_and_the_others_are_read(tmp_path):
    expected = write_tars(tmp_path, 4)
    tar = tmp_path / "sa_3.tar"
    with tarfile.open(tar) as file:
        cut = file.getmember("./image_3_2.jpg").offset_data + 3
    os.truncate(tar, cut)
    source = open_sa1b(str(tmp_path))
    assert every(source) == expected[:-2]
    assert isinstance(source, TarSource)
    assert list(source.damage) == [str(tar)]
    (problem,) = source.problems
    assert problem.startswith(
        f"{tar}: the tar is cut off within a member at byte {cut}"
    )
    assert "the 2 images before that" in problem


def test_extracted_files_are_read_recursively(tmp_path):
    for name in ("b/sa_2", "b/sa_3", "sa_1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
        (tmp_path / f"{name}.json").write_bytes(b"{}")
    (tmp_path / "b" / "sa_2.json").unlink()
    (tmp_path / "b" / "._sa_2.json").write_bytes(b"left by macOS")
    source = open_sa1b(str(tmp_path))
    assert isinstance(source, ExtractedSource)
    expected = [
        RawExample("b/sa_2", b"b/sa_2", None),
        RawExample("b/sa_3", b"b/sa_3", b"{}"),
        RawExample("sa_1", b"sa_1", b"{}"),
    ]
    assert every(source) == expected
    assert every(pickle.loads(pickle.dumps(source))) == expected
    (tmp_path / "sa_1.jpg").unlink()
    gone = source[2]
    assert gone[:3] == ("sa_1", None, b"{}") and "No such file" in (gone.problem or "")


def test_settings_and_overlays_of_a_run_into_the_folder_are_no_examples(tmp_path):
    for name in ("sa_1.jpg", "sa_1.json", "overlays/sa_1.jpg", "run/problems.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    settings = {KEY: mark_of("settings"), "weights": "0"}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    source = open_sa1b(str(tmp_path))
    assert [example.name for example in every(source)] == ["sa_1"]
    # The same names without samjax's mark are the user's.
    (tmp_path / "run" / "settings.json").write_text("{}")
    names = [example.name for example in every(open_sa1b(str(tmp_path)))]
    assert names == ["overlays/sa_1", "run/problems", "run/settings", "sa_1"]


def test_a_path_that_is_not_a_dataset_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_sa1b(str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="found no tar"):
        open_sa1b(str(tmp_path / "*.tar"))
    with pytest.raises(ValueError, match="no images and JSON files"):
        open_sa1b(str(tmp_path))
    (tmp_path / "sa_0.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ValueError, match="is compressed"):
        open_sa1b(str(tmp_path))
    (tmp_path / "sa_0.tar.gz").unlink()
    write_tars(tmp_path, 1)
    os.truncate(tmp_path / "sa_0.tar", 0)
    with pytest.raises(ValueError, match="without an image"):
        open_sa1b(str(tmp_path))

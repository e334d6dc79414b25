"""SA-1B's folders and shards: reproducible bytes, and damage reported by member."""

import io
import tarfile

import numpy as np
import pytest
from data.formats.small_records import HOSTILE_NAMES, record, record_lists
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.data.formats import sa1b
from samjax.data.formats.sa1b import (
    read_folder,
    read_shard,
    write_record,
    write_shard,
)
from samjax.data.schema import record_to_json

MASK = np.eye(5, dtype=bool)


@pytest.fixture
def shard(tmp_path):
    return tmp_path / "sa_000000.tar"


def items(records) -> list[tuple[str, bytes, dict]]:
    return [
        (one["image"]["file_name"], bytes([i]) * (100 + 600 * i), one)
        for i, one in enumerate(records)
    ]


def three() -> list:
    return items([record([MASK, ~MASK], image_id=i) for i in (3, 1, 2)])


def tar_of(path, members: list[tuple[str, bytes]], **options) -> None:
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def read_all(path) -> tuple[list, list[str]]:
    """The readable examples of a shard, and the problems of the rest."""
    problems: list[ValueError] = []
    return list(read_shard(path, problems=problems.append)), [str(p) for p in problems]


@given(record_lists())
@settings(max_examples=30)
def test_a_folder_gives_records_back_by_name(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("folder")
    for one in reversed(records):
        path = write_record(folder, one)
        assert path.read_text() == record_to_json(one)
    assert [one for _, one in read_folder(folder)] == records


def test_the_image_of_a_record_is_found_if_it_is_there(tmp_path):
    for image_id, name in ((1, "写真.jpg"), (2, "b.png")):
        write_record(tmp_path, record([MASK], image_id=image_id, file_name=name))
    (tmp_path / "写真.jpg").write_bytes(b"image")
    (tmp_path / ".hidden.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    assert {one["image"]["image_id"]: path for path, one in read_folder(tmp_path)} == {
        1: tmp_path / "写真.jpg",
        2: None,
    }


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_out_of_the_folder_are_neither_written_nor_read(
    tmp_path, shard, name
):
    one = record([MASK])
    one["image"]["file_name"] = name
    with pytest.raises(ValueError, match="file name"):
        write_record(tmp_path, one)
    with pytest.raises(ValueError, match="file name"):
        write_shard(shard, [(name, b"image", one)])
    assert list(tmp_path.iterdir()) == []
    text = record_to_json(one)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json: got the file name"):
        list(read_folder(tmp_path))
    tar_of(shard, [("./a.jpg", b"image"), ("./a.json", text.encode())])
    with pytest.raises(ValueError, match=r"member './a\.json': got the file name"):
        list(read_shard(shard))


def test_a_bad_file_of_a_folder_is_reported_and_the_rest_is_read(tmp_path):
    write_record(tmp_path, record([MASK]))
    (tmp_path / "a.json").write_text('{"image": 3}')
    with pytest.raises(ValueError, match=r"a\.json: not a record"):
        list(read_folder(tmp_path))
    problems: list[ValueError] = []
    assert len(list(read_folder(tmp_path, problems=problems.append))) == 1
    assert len(problems) == 1


@settings(max_examples=30)
@given(record_lists())
def test_a_shard_gives_images_and_records_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    write_shard(path, iter(items(records)))
    assert list(read_shard(path)) == items(records)


@pytest.mark.parametrize("name", ["写真 ä.jpg", "x" * 150 + ".png", "a.b.JPG"])
def test_a_shard_keeps_names_of_all_kinds(shard, name):
    write_shard(shard, items([record([MASK], file_name=name)]))
    assert list(read_shard(shard)) == items([record([MASK], file_name=name)])


def test_a_shard_has_sa_1bs_layout_and_no_time_or_owner(shard):
    write_shard(shard, three())
    with tarfile.open(shard, "r:") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        f"./sa_{i}.{ending}" for i in (3, 1, 2) for ending in ("jpg", "json")
    ]
    for member in members:
        assert member.isreg() and member.mode == 0o644
        assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
        assert member.uname == member.gname == ""


def test_equal_records_give_equal_bytes(tmp_path):
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / name, three())
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_failed_shard_leaves_nothing(shard):
    def broken():
        yield three()[0]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_shard(shard, broken())
    assert list(shard.parent.iterdir()) == []


def test_members_that_readers_could_not_pair_are_not_written(shard):
    name, image, one = three()[0]
    with pytest.raises(ValueError, match="second image named sa_3"):
        write_shard(shard, [(name, image, one), (name, image, one)])
    with pytest.raises(ValueError, match="same name in both"):
        write_shard(shard, [("other.jpg", image, one)])
    with pytest.raises(ValueError, match="expected a suffix"):
        write_shard(shard, items([record([], file_name="a.txt")]))


@pytest.mark.parametrize("prefix", ["", "./"])
@given(order=st.permutations(range(6)))
@settings(max_examples=20)
def test_members_may_be_in_any_order(tmp_path_factory, prefix, order):
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    members = [
        member
        for name, image, one in three()
        for member in (
            (f"{prefix}{name}", image),
            (f"{prefix}{name[:-4]}.json", record_to_json(one).encode()),
        )
    ]
    tar_of(path, [members[i] for i in order])
    back = list(read_shard(path))
    assert sorted(back, key=lambda item: item[0]) == sorted(
        three(), key=lambda item: item[0]
    )


def test_folders_hidden_members_and_other_files_are_skipped(shard):
    write_shard(shard, three())
    with tarfile.open(shard, "a") as tar:
        for name in ("./._sa_3.jpg", "./README", "./notes.txt"):
            tar.addfile(tarfile.TarInfo(name))
        folder = tarfile.TarInfo("./folder.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert read_all(shard) == (three(), [])


DAMAGES = {
    "without JSON": ([("./a.jpg", b"")], r"'\./a\.jpg' has no JSON"),
    "without image": ([("./a.json", b"{}")], r"'\./a\.json' has no image"),
    "not JSON": ([("./a.jpg", b""), ("./a.json", b"{")], r"'\./a\.json': .*not JSON"),
    "mixed up": (
        [("./a.jpg", b""), ("./a.json", record_to_json(record([])).encode())],
        r"'\./a\.json' is the record of 'sa_1\.jpg'",
    ),
    "twice": ([("./sa_1.jpg", b"")], r"'\./sa_1\.jpg' comes a second time"),
    "two images": ([("./sa_1.png", b"")], r"'\./sa_1\.png' comes a second time"),
    "upward": ([("../../x.jpg", b"")], r"'\.\./\.\./x\.jpg': got the file name"),
    "absolute": ([("/x.json", b"")], r"got the file name"),
    "in a folder": ([("./a/x.jpg", b"")], r"got the file name"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_member_is_named_and_the_rest_is_read(shard, damage):
    members, message = DAMAGES[damage]
    good = [
        member
        for name, image, one in three()
        for member in (
            (name, image),
            (f"{name[:-4]}.json", record_to_json(one).encode()),
        )
    ]
    tar_of(shard, good + members)
    with pytest.raises(ValueError, match=message):
        list(read_shard(shard))
    back, problems = read_all(shard)
    assert back == three()
    assert len(problems) == 1


def test_a_link_is_not_followed(shard):
    write_shard(shard, three())
    with tarfile.open(shard, "a") as tar:
        link = tarfile.TarInfo("./b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    back, problems = read_all(shard)
    assert back == three()
    assert len(problems) == 1 and "'./b.jpg' is a link" in problems[0]


def test_a_member_over_its_bound_is_not_read(shard, monkeypatch):
    write_shard(shard, three())
    monkeypatch.setattr(sa1b, "_LONGEST_IMAGE", 1000)
    back, problems = read_all(shard)
    assert back == three()[:2]
    assert "'./sa_2.jpg' has 1300 bytes" in problems[0]
    with pytest.raises(ValueError, match="got 1300 bytes"):
        write_shard(shard, three())


def test_a_shard_truncated_anywhere_is_reported(shard):
    """Python's tarfile stops without an error at many positions; samjax must not."""
    write_shard(shard, three())
    content = shard.read_bytes()
    with tarfile.open(shard, "r:") as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    for length in [*range(0, end + 1, 256), *range(1, end, 509), end + 511]:
        shard.write_bytes(content[:length])
        back, problems = read_all(shard)
        assert problems, length
        assert all(str(shard) in problem for problem in problems)
        assert back == three()[: len(back)]
    shard.write_bytes(content[: end + 512])
    assert read_all(shard) == (three(), [])


def test_a_truncated_image_is_reported_and_not_returned(shard):
    name, image, one = three()[2]
    tar_of(shard, [("./sa_2.json", record_to_json(one).encode()), (name, image)])
    with tarfile.open(shard, "r:") as tar:
        start = tar.getmember(name).offset_data
    content = shard.read_bytes()
    for length in (start, start + 700, start + len(image) - 1):
        shard.write_bytes(content[:length])
        back, problems = read_all(shard)
        assert back == []
        assert "cut off in member 'sa_2.jpg'" in problems[0]


@settings(max_examples=150)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_flipped_byte_of_a_header_is_never_ignored(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    write_shard(path, three())
    content = bytearray(path.read_bytes())
    with tarfile.open(path, "r:") as tar:
        headers = [member.offset for member in tar.getmembers()]
    place = headers[place % len(headers)] + place // len(headers) % 512
    changed = content[place] != byte
    content[place] = byte
    path.write_bytes(content)
    back, problems = read_all(path)
    if len(back) < 3:
        assert problems
    if not changed:
        assert back == three()


def test_a_header_that_points_backwards_does_not_loop(shard):
    """A negative size makes some versions of tarfile loop for ever."""
    member = tarfile.TarInfo("./a.jpg")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    shard.write_bytes(bytes(header) * 2 + bytes(1024))
    back, problems = read_all(shard)
    assert back == [] and problems


def test_a_chain_of_extended_headers_is_damage(shard):
    extended = tarfile.TarInfo("x")
    extended.type = tarfile.XHDTYPE
    shard.write_bytes(extended.tobuf(tarfile.GNU_FORMAT) * 3000 + bytes(1024))
    back, problems = read_all(shard)
    assert back == [] and problems


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_compressed_tar_is_refused_with_the_expected_format(shard, mode):
    with tarfile.open(shard, mode) as tar:
        tar.addfile(tarfile.TarInfo("./a.jpg"))
    with pytest.raises(ValueError, match="not an uncompressed tar"):
        list(read_shard(shard))


def test_only_one_image_is_held_at_a_time(shard, monkeypatch):
    """A member is read only when its example is requested."""
    write_shard(shard, three())
    read: list[str] = []
    original = sa1b._content

    def content(file, member):
        read.append(member.name)
        return original(file, member)

    monkeypatch.setattr(sa1b, "_content", content)
    next(read_shard(shard))
    assert sorted(read) == ["./sa_3.jpg", "./sa_3.json"]

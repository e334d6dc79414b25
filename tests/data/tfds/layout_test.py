"""The plan of a build: indices of shards, and changes that are refused."""

import json

import pytest

from samjax.data.tfds.layout import BuildConfig, make_plan, shard_name
from samjax.files import WouldReplace


def tars_of(folder, *names):
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_shards_are_numbered_by_tars_in_order_of_their_names(tmp_path):
    tars = tars_of(tmp_path / "tars", "b.tar", "a.tar")
    plan = make_plan(tars, tmp_path / "out", BuildConfig(parts=3))
    assert plan.num_shards == 6
    assert [plan.tar_and_part(number) for number in (0, 2, 3)] == [
        (tars[1], 0),
        (tars[1], 2),
        (tars[0], 0),
    ]
    assert plan.shard(4).name == shard_name(4, 6)
    assert shard_name(4, 6) == "segment_anything-train.array_record-00004-of-00006"


def test_the_same_plan_is_found_again_wherever_the_tars_are_mounted(tmp_path):
    make_plan(
        tars_of(tmp_path / "one", "a.tar", "b.tar"), tmp_path / "out", BuildConfig()
    )
    before = (tmp_path / "out" / "build.json").read_bytes()
    tars = tars_of(tmp_path / "two", "b.tar", "a.tar")
    plan = make_plan(tars, tmp_path / "out", BuildConfig())
    assert plan.tars == (tars[1], tars[0])
    assert (tmp_path / "out" / "build.json").read_bytes() == before


@pytest.mark.parametrize(
    ("names", "config", "said"),
    [
        (["a.tar", "b.tar"], BuildConfig(long_side=512), "long_side was 1024, now 512"),
        (["a.tar", "b.tar"], BuildConfig(parts=2), "parts was 4, now 2"),
        (["a.tar"], BuildConfig(), "of 2 tars, now of 1.*b.tar"),
        (["a.tar", "c.tar"], BuildConfig(), "b.tar, c.tar"),
    ],
)
def test_another_plan_in_the_same_folder_is_refused(tmp_path, names, config, said):
    out = tmp_path / "out"
    make_plan(tars_of(tmp_path / "tars", "a.tar", "b.tar"), out, BuildConfig())
    with pytest.raises(ValueError, match=said):
        make_plan(tars_of(tmp_path / "tars", *names), out, config)


def test_a_tar_of_another_size_is_another_plan(tmp_path):
    (tar,) = tars_of(tmp_path / "tars", "a.tar")
    make_plan([tar], tmp_path / "out", BuildConfig())
    tar.write_bytes(b"longer than before")
    with pytest.raises(ValueError, match=r"a\.tar"):
        make_plan([tar], tmp_path / "out", BuildConfig())


def test_a_plan_that_cannot_be_read_is_refused(tmp_path):
    (tar,) = tars_of(tmp_path / "tars", "a.tar")
    make_plan([tar], tmp_path / "out", BuildConfig())
    (tmp_path / "out" / "build.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        make_plan([tar], tmp_path / "out", BuildConfig())


def test_no_tars_and_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no tars"):
        make_plan([], tmp_path / "out", BuildConfig())
    tars = [*tars_of(tmp_path / "a", "x.tar"), *tars_of(tmp_path / "b", "x.tar")]
    with pytest.raises(ValueError, match=r"two tars named x\.tar"):
        make_plan(tars, tmp_path / "out", BuildConfig())
    assert not (tmp_path / "out").exists()


def test_the_plan_is_json_that_names_no_folder(tmp_path):
    make_plan(tars_of(tmp_path / "tars", "a.tar"), tmp_path / "out", BuildConfig())
    content = json.loads((tmp_path / "out" / "build.json").read_text())
    assert content["tars"] == [["a.tar", 5]]


@pytest.mark.parametrize(
    "change", [{"long_side": 0}, {"quality": 101}, {"quality": 0}, {"parts": 0}]
)
def test_options_out_of_range_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        BuildConfig(**change)


@pytest.mark.parametrize(
    "name", [shard_name(3, 4), "dataset_info.json", "features.json"]
)
def test_a_dataset_of_another_program_is_not_overwritten(tmp_path, name):
    tars = tars_of(tmp_path / "tars", "a.tar")
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(WouldReplace, match=name):
        make_plan(tars, out, BuildConfig())
    assert [path.name for path in out.iterdir()] == [name]
    make_plan(tars, out, BuildConfig(), overwrite=True)
    # A build that was begun goes on.
    make_plan(tars, out, BuildConfig())

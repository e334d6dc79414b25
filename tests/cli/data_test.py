"""`samjax data`: from tars to a dataset, and what is said on the way."""

import importlib.util
import json

import pytest
from data.tfds.small_tars import dataset_of, files_of, members, write_tar

from samjax import cli
from samjax.cli import data as command
from samjax.data.tfds.layout import BuildConfig


@pytest.fixture
def tars(tmp_path):
    folder = tmp_path / "tars"
    for index in range(2):
        content = members(range(5 * index, 5 * index + 5))
        write_tar(folder / f"sa_{index}.tar", content)
    return folder


@pytest.fixture
def run(capfd):
    """Runs the command; returns its status, output and errors."""

    def run(*words):
        status = cli.main(["data", *map(str, words)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_index_counts_and_says_what_is_wrong(run, tars):
    assert run("index", tars)[:2] == (0, "10 images in 2 tars\n")
    cut = tars / "sa_1.tar"
    cut.write_bytes(cut.read_bytes()[:-14000])
    status, out, err = run("index", tars / "*.tar")
    assert status == 0
    assert "images in 2 tars" in out and "sa_1.tar: " in err


def test_verify_reads_back_and_fails_on_damage(run, tars, tmp_path):
    folder = dataset_of(
        sorted(tars.glob("*.tar")), tmp_path / "out", BuildConfig(long_side=36, parts=2)
    )
    if importlib.util.find_spec("tensorflow_datasets") is None:
        status, out, err = run("verify", folder, "--pixels")
        assert status == 0, err
        assert "10 images and 30 masks in 4 shards read, not tried by TFDS" in out
    shard = sorted(folder.glob("segment*"))[1]
    shard.write_bytes(shard.read_bytes()[:5000])
    status, _, err = run("verify", folder)
    assert status == 1
    assert shard.name in err


def test_stats_are_a_table_and_a_file(run, tars, tmp_path):
    status, out, err = run("stats", tars, "--out", tmp_path / "stats.json")
    assert status == 0, err
    assert "masks per image" in out and "mean 3" in out
    written = json.loads((tmp_path / "stats.json").read_text())
    assert (written["images"], written["masks"]) == (10, 30)
    _, out, _ = run("stats", tars, "--images", "4")
    assert " 12 " in out
    folder = dataset_of(sorted(tars.glob("*.tar")), tmp_path / "out", BuildConfig())
    _, out, _ = run("stats", folder)
    assert " 30 " in out


def test_build_goes_from_tars_to_a_dataset_in_shares(run, tars, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    build = ["build", tars, "--long-side", "36", "--parts", "2", "--out"]
    status, out, err = run(*build, tmp_path / "whole", "--workers", "2")
    assert status == 0, err
    assert "complete: 10 images and 30 masks in 4 shards" in out
    assert "left out" not in out
    assert err.count("shard ") == 4 and "images in" in err
    shared = tmp_path / "shared"
    _, out, _ = run(*build, shared, "--share", "1/2")
    assert "2 of 4 shards are there" in out
    assert not (shared / "dataset_info.json").exists()
    _, out, _ = run(*build, shared, "--share", "0/2")
    assert "complete: 10 images" in out
    assert files_of(shared) == files_of(tmp_path / "whole")
    _, out, _ = run(*build, shared)
    assert "0 images in" in out and "4 done before" in out
    status, out, err = run("verify", shared)
    assert status == 0, err
    assert "10 images and 30 masks in 4 shards read, TFDS reads 10" in out


def test_build_says_what_it_left_out(run, tars, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    content = members(range(20, 24))
    content["./sa_21.jpg"] = b""
    tar = write_tar(tars / "sa_2.tar", content)
    tar.write_bytes(tar.read_bytes()[:-12000])
    status, out, _ = run("build", tars, "--out", tmp_path / "out", "--originals")
    assert status == 0
    assert "left out: 2 images and 0 masks, 1 tars damaged" in out
    assert str(tmp_path / "out" / "reports") in out


def test_build_without_tfds_says_so_before_any_work(run, tars, tmp_path, monkeypatch):
    real = __import__

    def without(name, *rest):
        if name.startswith("tensorflow_datasets"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr("builtins.__import__", without)
    status, _, err = run("build", tars, "--out", tmp_path / "out")
    assert status == 1
    assert "samjax[tfds]" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of {index, build, verify, stats, label}"),
        (["bild"], "bild"),
        (["build", "x"], "not given: --out"),
        (["index"], "not given: TARS"),
        (["stats"], "not given: PLACES"),
        (["build", "x", "--out", "y", "--share", "2/2"], "expected INDEX/COUNT"),
        (["build", "x", "--out", "y", "--workers", "0"], "--workers 0: use at least 1"),
        (["build", "x", "--out", "y", "--long-side", "0"], "--long-side 0"),
        (["verify", "x", "--every", "0"], "--every 0"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(run, words, said):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert said in err
    assert err.startswith("samjax: ") and err.count("\n") == 1


def test_a_place_that_is_not_there_is_one_line_and_status_1(run, tmp_path):
    for words in (["index"], ["stats"], ["verify"]):
        status, _, err = run(*words, tmp_path / "gone")
        assert status == 1
        assert "gone" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["index", "build", "verify", "stats"])
def test_every_command_has_help(run, name, capfd):
    with pytest.raises(SystemExit) as exit:
        run(name, "--help")
    assert not exit.value.code
    assert f"usage: samjax data {name}" in capfd.readouterr().out


def test_every_command_is_a_type_with_a_docstring():
    for kind in (command.Index, command.Build, command.Verify, command.Stats):
        assert kind.__doc__

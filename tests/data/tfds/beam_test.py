"""The build on Apache Beam writes the files of the command, with and without copying."""

import pytest

pytest.importorskip("apache_beam")

from data.tfds.small_tars import files_of, members, write_tar

from samjax.data.tfds import beam
from samjax.data.tfds.build import build_shards
from samjax.data.tfds.layout import BuildConfig, make_plan
from samjax.data.tfds.metadata import finish
from samjax.data.tfds.remote import read_text, send

SMALL = BuildConfig(long_side=36, parts=2)
# Its default runner would fetch another one from the network first.
RUNNER = "--runner=FnApiRunner"


@pytest.fixture
def tars(tmp_path):
    for index in range(3):
        numbers = range(5 * index, 5 * index + 5)
        write_tar(tmp_path / "tars" / f"sa_{index}.tar", members(numbers))
    return [str(tmp_path / "tars" / "*.tar")]


@pytest.fixture
def expected(tars, tmp_path):
    plan = make_plan(sorted((tmp_path / "tars").iterdir()), tmp_path / "whole", SMALL)
    for _ in build_shards(plan, range(plan.num_shards)):
        pass
    finish(plan)
    return files_of(plan.folder)


@pytest.mark.parametrize("stage", [False, True])
def test_the_files_are_those_of_the_command(tars, expected, tmp_path, stage):
    out = tmp_path / "out"
    totals = beam.run(tars, str(out), SMALL, [RUNNER], stage=stage)
    assert (totals.shards, totals.images, totals.bad_images) == (6, 15, 0)
    assert files_of(out) == expected


@pytest.mark.parametrize("stage", [False, True])
def test_a_pipeline_resumes_where_another_was_stopped(tars, expected, tmp_path, stage):
    out = tmp_path / "out"
    beam.run(tars, str(out), SMALL, [RUNNER], stage=stage)
    names = sorted(path.name for path in (out / "reports").iterdir())
    (out / "reports" / names[2]).unlink()
    (out / names[2].removesuffix(".json")).unlink()
    (out / "dataset_info.json").unlink()
    beam.run(tars, str(out), SMALL, [RUNNER], stage=stage)
    assert files_of(out) == expected


@pytest.mark.parametrize("stage", [False, True])
def test_another_dataset_in_the_folder_is_refused(tars, expected, tmp_path, stage):
    out = tmp_path / "out"
    beam.run(tars, str(out), SMALL, [RUNNER], stage=stage)
    with pytest.raises(ValueError, match="parts was 2, now 4"):
        beam.run(tars, str(out), BuildConfig(long_side=36), [RUNNER], stage=stage)


def test_a_pattern_without_tars_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no file"):
        beam.run([str(tmp_path / "*.tar")], str(tmp_path / "out"), SMALL, [RUNNER])


def test_a_file_is_sent_whole_and_replaces_another(tmp_path):
    source = tmp_path / "source"
    place = tmp_path / "new" / "place"
    assert read_text(str(place)) is None
    for text in ("one", "other"):
        source.write_text(text)
        send(source, str(place))
        assert read_text(str(place)) == text
        assert [path.name for path in place.parent.iterdir()] == ["place"]


def test_the_module_is_a_command(tars, expected, tmp_path, capsys):
    out = tmp_path / "out"
    words = [*tars, "--out", str(out), "--long-side", "36", "--parts", "2", RUNNER]
    assert beam.main(words) == 0
    assert "15 images and 45 masks in 6 shards" in capsys.readouterr().out
    assert files_of(out) == expected

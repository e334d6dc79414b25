"""The folder of a run: damaged results, odd names, two at once, and a user's files."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import pytest
from engine.run_test import OPEN, files_of, run_all

from samjax.data.formats import read_folder
from samjax.data.images import find_images
from samjax.engine import schedule
from samjax.engine.run import generate_to_folder
from samjax.files import WouldReplace


def test_a_run_does_not_begin_over_files_that_no_run_made(predictor, photos, tmp_path):
    for name, options in {
        "sa_3.json": {},
        "sa_000001.tar": {"shard_size": 3},
        "run/problems.json": {},
    }.items():
        out = tmp_path / name.replace("/", "_")
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
        with pytest.raises(WouldReplace, match=name) as error:
            run_all(predictor, photos, out, **options)
        assert "--overwrite" in str(error.value)
        assert files_of(out) == {name: b"mine"}
        if name == "sa_3.json":
            run_all(predictor, photos, out, overwrite=True)
            assert len(list(read_folder(out))) == 7


DAMAGED = {
    "0 bytes": (b"", "has 0 bytes", False),
    "cut off": (b'{"image":{"image_id":3,"wid', "is damaged", True),
    "no text": (b"\xff\xfe\x00", "is damaged", True),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_named_and_made_again(predictor, photos, tmp_path, damage):
    content, words, is_kept = DAMAGED[damage]
    run_all(predictor, photos, tmp_path)
    expected = files_of(tmp_path)
    (tmp_path / "sa_4.json").write_bytes(content)
    notes = [one.note for one in run_all(predictor, photos, tmp_path) if one.note]
    assert len(notes) == 1 and "sa_4.json" in notes[0] and words in notes[0]
    aside = {"sa_4.json.damaged": content} if is_kept else {}
    assert files_of(tmp_path) == expected | aside


def test_a_users_file_of_a_records_name_costs_its_image_only(
    predictor, photos, tmp_path
):
    run_all(predictor, photos, tmp_path)
    (tmp_path / "sa_4.json").write_text('{"shapes": []}')
    done = run_all(predictor, photos, tmp_path)
    assert len(done) == 8
    problems = json.loads((tmp_path / "run/problems.json").read_text())
    assert "is no record" in problems["sa_4.png"]
    assert (tmp_path / "sa_4.json").read_text() == '{"shapes": []}'


@pytest.mark.parametrize("length", [0, 0.5, 0.999])
def test_a_shard_that_is_cut_off_is_named_and_made_again(
    predictor, photos, tmp_path, length
):
    run_all(predictor, photos, tmp_path, shard_size=4)
    expected = files_of(tmp_path)
    shard = tmp_path / "sa_000001.tar"
    # Tars are filled up with zeros after their end.
    end = len(shard.read_bytes().rstrip(b"\0"))
    os.truncate(shard, int(length * end))
    done = run_all(predictor, photos, tmp_path, shard_size=4)
    notes = [one.note for one in done if one.note]
    assert len(notes) == 1 and "sa_000001.tar: the tar is cut off" in notes[0]
    assert files_of(tmp_path).items() >= expected.items()
    assert (tmp_path / "sa_000001.tar.damaged").exists()


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_two_runs_of_shards_into_one_folder_lose_nothing(
    predictor, photos, tmp_path, stop
):
    run_all(predictor, photos, tmp_path / "one", shard_size=4)
    out = tmp_path / "two"
    items = find_images([photos])
    first = generate_to_folder(predictor, items, out, OPEN, shard_size=4, in_flight=1)
    for _ in range(stop):
        next(first)
    run_all(predictor, photos, out, shard_size=4)
    list(first)
    assert files_of(out) == files_of(tmp_path / "one")


ODD = [
    b"caf\xe9.png",
    b"line\nbreak.png",
    b"back\\slash.png",
    b"C:x.png",
    b"n" * 230 + b".png",
    b"bell\x07.png",
]


@pytest.mark.parametrize("shard_size", [None, 2])
def test_an_odd_name_costs_its_image_only_and_is_told(
    predictor, photos, tmp_path, shard_size, monkeypatch
):
    folder = tmp_path / "odd"
    folder.mkdir()
    content = (photos / "sa_3.png").read_bytes()
    for name in (*ODD, b"a.png", b"z.png"):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(content)
    computed = []
    original = schedule.generate_masks
    monkeypatch.setattr(
        schedule,
        "generate_masks",
        lambda *given: (computed.append(1), original(*given))[1],
    )
    out = tmp_path / "out"
    for _ in range(2):
        done = run_all(predictor, folder, out, shard_size=shard_size)
        assert len(done) == len(ODD) + 2
    assert len(computed) == 2
    files = (out / "run").glob("*problems.json")
    problems = [json.loads(path.read_text()) for path in files]
    if shard_size is None:
        assert sorted(path.name for path in out.glob("*.json")) == ["a.json", "z.json"]
        assert len(problems[0]) == len(ODD)
        assert all("expected a plain one" in words for words in problems[0].values())


def test_masks_of_another_decoder_are_other_results(predictor, photos, tmp_path):
    (item, *_) = find_images([photos])
    list(generate_to_folder(predictor, [item], tmp_path, OPEN))
    params = jax.tree.map(lambda leaf: leaf, predictor.params)
    params["mask_decoder"] = jax.tree.map(lambda x: 1.5 * x, params["mask_decoder"])
    other = dataclasses.replace(predictor, params=params)
    assert other.fingerprint == predictor.fingerprint
    with pytest.raises(ValueError, match="model is"):
        list(generate_to_folder(other, [item], tmp_path, OPEN))


def test_a_run_of_an_earlier_version_goes_on(predictor, photos, tmp_path):
    """It did not write down which decoder it had."""
    (item, *_) = find_images([photos])
    list(generate_to_folder(predictor, [item], tmp_path, OPEN))
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    del settings["model"]
    path.write_text(json.dumps(settings))
    list(generate_to_folder(predictor, [item], tmp_path, OPEN))

"""`samjax engine`: what it writes, prints and refuses."""

import json
import shutil

import pytest
from engine.annotations.store_test import SIZE, add
from PIL import Image

from samjax import cli
from samjax.engine.annotations import AnnotationStore
from samjax.engine.simulation import rounds


@pytest.fixture
def folder(tmp_path):
    """A folder that was annotated."""
    images = tmp_path / "photos"
    (images / ".samjax").mkdir(parents=True)
    Image.new("RGB", SIZE[::-1]).save(images / "a.png")
    store = AnnotationStore(images / ".samjax" / "annotations.sqlite3")
    add(store, "one")
    add(store, "two")
    store.close()
    return images


def test_a_snapshot_of_an_annotated_folder(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["engine", "snapshot", str(folder), "--out", str(out)]) == 0
    assert "revision 2: 2 masks of 1 images" in capsys.readouterr().out
    words = ["--revision", "1", "--out", str(tmp_path / "before")]
    assert cli.main(["engine", "snapshot", str(folder), *words]) == 0
    assert "revision 1: 1 masks of 1 images" in capsys.readouterr().out
    manifest = json.loads((out / "manifest.json").read_text())
    assert [shard["name"] for shard in manifest["shards"]] == ["000000.tar"]


def test_what_cannot_be_a_snapshot_is_one_line(folder, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    assert cli.main(["engine", "snapshot", str(folder), "--out", str(out)]) == 2
    assert "expected a new folder" in capsys.readouterr().err
    (folder / "a.png").unlink()
    shutil.rmtree(out)
    assert cli.main(["engine", "snapshot", str(folder), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "a.png" in error and error.count("\n") == 1
    assert cli.main(["engine", "snapshot", str(tmp_path), "--out", str(out)]) == 2
    assert "--state" in capsys.readouterr().err


def test_simulate_prints_a_row_for_each_round(monkeypatch, tmp_path, capsys):
    row = {"round": 1, "stage": 1, "seconds_per_mask": 28.34, "clicks_per_mask": 6.9}
    row |= {"masks_per_image": 5.0, "audit_share_over_90": 0.875, "gold_iou": None}
    calls = []

    def simulate(model, params, out, config, show):
        calls.append(config)
        return {"rounds": [row]}

    monkeypatch.setattr(rounds, "simulate", simulate)
    words = ["--rounds", "1", "--seed", "3", "--out", str(tmp_path / "loop")]
    assert cli.main(["engine", "simulate", *words]) == 0
    assert (calls[0].rounds, calls[0].seed) == (1, 3)
    table = capsys.readouterr().out.splitlines()
    assert table[-2].split() == ["1", "1", "28.3", "6.9", "5.0", "88%", "-"]
    assert table[-1].endswith("result.json")


def test_bad_numbers_are_refused_in_one_line(tmp_path, capsys):
    words = ["--rounds", "0", "--out", str(tmp_path / "loop")]
    assert cli.main(["engine", "simulate", *words]) == 1
    assert "rounds=0" in capsys.readouterr().err


def test_regions_by_hand_are_blurred(folder, tmp_path, capsys):
    out, regions = tmp_path / "out", tmp_path / "regions.json"
    Image.effect_noise(SIZE[::-1], 100).convert("RGB").save(folder / "a.png")
    regions.write_text('{"a.png": [[1, 1, 6, 5]]}')
    words = ["engine", "blur", str(folder), str(out)]
    assert cli.main([*words, "--regions", str(regions)]) == 0
    assert "1 regions in 1 images" in capsys.readouterr().out
    assert (out / "blur_report" / "contact_sheet.jpg").exists()
    assert (out / "a.png").read_bytes() != (folder / "a.png").read_bytes()
    assert cli.main([*words, "--regions", str(regions)]) == 0
    capsys.readouterr()
    regions.write_text('{"z.png": [[1, 1, 6, 5]]}')
    assert cli.main([*words, "--regions", str(regions)]) == 2
    assert "names z.png" in capsys.readouterr().err
    assert cli.main(words) == 2 and "--faces" in capsys.readouterr().err
    assert cli.main([*words, "--faces", str(regions)]) == 1
    assert capsys.readouterr().err.count("\n") == 1

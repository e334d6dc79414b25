"""`samjax engine`: what it writes, prints and refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from engine.annotations.store_test import SIZE, add
from PIL import Image

from samjax import checkpoints, cli
from samjax.cli.engine_rounds import table_of
from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.tasks import TaskQueue
from samjax.engine.simulation import rounds
from samjax.inference.embedding import weights_fingerprint


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
    assert "revision 2: 2 masks of 1 image" in capsys.readouterr().out
    words = ["--revision", "1", "--out", str(tmp_path / "before")]
    assert cli.main(["engine", "snapshot", str(folder), *words]) == 0
    assert "revision 1: 1 mask of 1 image" in capsys.readouterr().out
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
    assert "1 region in 1 image" in capsys.readouterr().out
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["round", "{empty}"], "has no store of masks"),
        (["propose", "{folder}", "--proposer", "{empty}/no.safetensors"], "not a file"),
        (["calibrate", "{folder}", "--precision", "1.5"], "precision=1.5"),
        (["calibrate", "{folder}", "--points", "0"], "points=0"),
        (["audit", "{folder}"], "--draw first"),
        (["audit", "{folder}", "--draw", "0"], "--draw 0"),
        (["audit", "{folder}", "--draw", "2"], "none with automatic masks"),
        (["audit", "{folder}", "{folder}", "--draw", "2"], "name one folder"),
        (
            ["automatic", "{folder}", "--out", "{empty}", "--processes", "0"],
            "at least 1",
        ),
        (
            ["automatic", "{folder}", "--out", "{empty}"]
            + ["--processes", "2", "--share", "1/2"],
            "one of the two",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(folder, tmp_path, capsys, words, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    words = [word.format(folder=folder, empty=empty) for word in words]
    assert cli.main(["engine", *words]) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_two_sets_of_masks_are_audited_into_a_page(tmp_path, capsys):
    from engine.audit.audit_test import automatic
    from engine.rounds.conftest import make_project

    project = make_project(tmp_path / "project")
    run = automatic(project, tmp_path / "run")
    out = tmp_path / "audit"
    words = [str(run), str(run), "--images", str(project.images), "--out", str(out)]
    assert cli.main(["engine", "audit", *words, "--worst", "4"]) == 0
    assert "28 pairs of 14 images" in capsys.readouterr().out
    content = json.loads((out / "result.json").read_text())
    assert content["above_0.90"] == 1.0 and len(content["worst"]) == 4
    assert (out / "result.html").read_text().count("<img ") == 4
    # Given again, it replaces its own files.
    assert cli.main(["engine", "audit", *words]) == 0


@pytest.mark.exhaustive
def test_processes_share_a_run_go_on_after_a_kill_and_feed_the_audit(
    tiny_model, tmp_path, capsys
):
    from engine.rounds.conftest import make_project

    project = make_project(tmp_path / "project")
    model, params = tiny_model
    checkpoints.save(tmp_path / "model.safetensors", model.config, params)
    options = ["--model", str(tmp_path / "model.safetensors"), "--preset", "fast"]
    options += ["--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    words = ["engine", "automatic", str(project.images), *options, "--round", "2"]
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli.main([*words, "--out", str(whole)]) == 0
    shared = [sys.executable, "-m", "samjax", *words, "--out", str(out)]
    shared += ["--processes", "2"]
    for signal_number in (signal.SIGKILL, signal.SIGTERM):
        count = len(list(out.glob("*.json")))
        run = subprocess.Popen(shared, start_new_session=True)
        while len(list(out.glob("*.json"))) < min(count + 3, 13):
            assert run.poll() is None, "it ends before it is killed"
            time.sleep(0.01)
        if signal_number == signal.SIGKILL:
            os.killpg(run.pid, signal_number)
        else:
            # Ended alone, the command ends its processes.
            run.send_signal(signal_number)
        assert run.wait(timeout=60) != 0
    subprocess.run(shared, check=True)
    files = sorted(path.name for path in whole.glob("*.json"))
    assert len(files) == 14
    assert sorted(path.name for path in out.glob("*.json")) == files
    for name in files:
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    capsys.readouterr()
    draw = ["audit", str(tmp_path / "project"), "--draw", "3", "--masks", str(out)]
    assert cli.main(["engine", *draw]) == 0
    assert "audit 1: 3 images in the queue" in capsys.readouterr().out
    store = project.open_store()
    _, rows = store.snapshot()
    assert TaskQueue(store.database).counts(1)["audit", "open"] == 3
    store.close()
    own = [row for row in rows if row["source"] == "automatic"]
    fingerprint = weights_fingerprint(model.config, params)
    provenance = {(row["stage"], row["round"], row["model"]) for row in own}
    assert len({row["image"] for row in own}) == 3
    assert provenance == {(3, 2, fingerprint)}


@pytest.mark.parametrize(("images", "few"), [(1, True), (39, True), (40, False)])
def test_the_table_of_a_proposer_says_when_its_intervals_are_too_narrow(images, few):
    row = {"recall": 0.7, "recall_interval": (0.7, 0.7), "precision_of_20": None}
    at = {"masks_per_image": 0.0, "precision": None, "interval": None}
    row |= {"precision_of_20_interval": None, "at_threshold": at}
    ratio = {"ratio": 1.0, "interval": (1.0, 1.0)}
    measured = {"images": images, "proposer": row, "grid": row, "recall_ratio": ratio}
    text = table_of(measured)
    assert (f"measured on {images} images" in text) == few
    assert "ratio of recalls: 1.000 (1.000-1.000)" in text

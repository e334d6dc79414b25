"""Rounds with a small model: what they leave, and that a kill changes nothing."""

import json
import os
import signal
import subprocess
import sys

import pytest
from engine.rounds.conftest import add_mask, draw, make_project

from samjax.data.datasets import DatasetConfig
from samjax.data.sa1b.source import open_sa1b
from samjax.engine.proposer.training import HeadConfig
from samjax.engine.rounds.config import RoundConfig
from samjax.engine.rounds.steps import (
    _Round,
    last_round,
    present_model,
    run_round,
)

pytestmark = pytest.mark.slow

# Lenient, so that a model that was hardly trained has proposals to show.
OPTIONS = {"steps": 2, "batch_size": 1, "precision": 0.01, "iou": 0.05, "points": 9}
OPTIONS["least_masks"] = 1


def config_of(weights, **more) -> RoundConfig:
    head = HeadConfig(channels=8, steps=2, batch_size=2)
    return RoundConfig(number=1, initial=str(weights), head=head, **(OPTIONS | more))


def stored(project):
    store = project.open_store()
    _, rows = store.snapshot()
    store.close()
    names = ("uuid", "image", "source", "stage", "round", "model")
    return sorted(
        (*(row[name] for name in names), row["segmentation"]["counts"]) for row in rows
    )


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("whole") / "project")
    lines = []
    report = run_round(project, config_of(weights), lines.append)
    return project, report, lines


def test_a_round_leaves_its_report_and_the_next_model(whole):
    project, report, _ = whole
    folder = project.round_folder(1)
    written = json.loads((folder / "report.json").read_text())
    assert written.pop("made_with") == "samjax engine" and written == report
    (work,) = report["work"]
    assert (work["masks"], work["images"], work["seconds_per_mask"]) == (24, 12, 8.0)
    assert last_round(project) == 1
    assert (
        present_model(project).endswith("training/model.safetensors")
        == (report["registered"])
    )
    page = (folder / "report.html").read_text()
    assert "Round 1" in page and "http-equiv" in page
    assert report["proposals"]["images"] == 2 and report["proposals"]["masks"] > 0


def test_no_image_is_trained_on_and_compared_on(whole):
    folder = whole[0].round_folder(1)
    sides = []
    for name in ("snapshot", "held_out"):
        source = open_sa1b(str(folder / name))
        sides.append({source[index].name for index in range(len(source))})
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 12


def test_a_finished_round_is_not_done_again(whole, weights):
    project, report, _ = whole
    before = stored(project)
    assert run_round(project, config_of(weights)) == report
    assert stored(project) == before
    with pytest.raises(ValueError, match="began with other options"):
        run_round(project, config_of(weights, steps=3))


def test_masks_of_the_next_people_do_not_change_a_round_that_began(weights, tmp_path):
    project = make_project(tmp_path / "project")
    run_round(project, config_of(weights), until="snapshot")
    store = project.open_store()
    add_mask(store, "image-12.png", draw(12)[1][0])
    store.close()
    run_round(project, config_of(weights), until="snapshot")
    source = open_sa1b(str(project.round_folder(1) / "snapshot"))
    assert not any("image-12" in source[index].name for index in range(len(source)))


def test_gold_images_are_held_out(weights, tmp_path):
    project = make_project(tmp_path / "project")
    gold = ["image-03.png", "image-05.png"]
    project.settings.write_text(json.dumps({"gold_images": gold}))
    run_round(project, config_of(weights), until="snapshot")
    source = open_sa1b(str(project.round_folder(1) / "held_out"))
    names = {source[index].name for index in range(len(source))}
    assert len(names) == 2 and all("03" in name or "05" in name for name in names)


def test_automatic_masks_are_mixed_in_by_weight(whole, weights, tmp_path):
    project = whole[0]
    store = project.open_store()
    snapshot = str(project.round_folder(1) / "snapshot")
    config = config_of(weights, automatic=(snapshot,), hand_weight=10.0)
    running = _Round(project, store, project.round_folder(1), config, print)
    mixed = running._mixed(DatasetConfig(path=snapshot))
    store.close()
    by_hand, automatic = mixed.parts
    assert by_hand.weight == 10 * automatic.weight


def test_a_round_that_is_refused_leaves_no_folder(project, weights):
    store = project.open_store()
    _, rows = store.snapshot()
    for row in rows:
        store.delete(row["id"], row["revision"])
    store.close()
    with pytest.raises(ValueError, match="at least 3"):
        run_round(project, config_of(weights))
    assert not project.round_folder(1).parent.exists()


SCRIPT = """
import sys
from pathlib import Path
from engine.rounds.steps_test import config_of
from samjax.engine.project_folder import find_project
from samjax.engine.rounds.steps import run_round

def show(text):
    print(text, flush=True)

run_round(find_project(Path(sys.argv[1])), config_of(sys.argv[2]), show)
"""


def run_until(project, weights, line: str) -> None:
    """Runs the round in a process that is killed when it prints a line."""
    tests = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    paths = os.pathsep.join([tests, os.path.dirname(tests)])
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, project.state.parent, weights],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    ) as process:
        assert process.stdout is not None
        for shown in process.stdout:
            if line in shown:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, f"never printed {line!r}"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "lines",
    [
        ["round 1: train", "targets: 2", "proposals: 1 of 2"],
        ["round 1: snapshot", "round 1: evaluate", "embeddings to train on: 2"]
        + ["calibration of the grid", "round 1: report"],
    ],
)
def test_a_round_killed_in_the_middle_of_its_steps_ends_with_the_same_result(
    whole, weights, tmp_path, lines
):
    project = make_project(tmp_path / "project")
    for line in lines:
        run_until(project, weights, line)
    report = run_round(project, config_of(weights))
    expected = whole[1]
    assert report == expected
    assert stored(project) == stored(whole[0])

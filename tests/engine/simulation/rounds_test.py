"""The simulated loop, with a small model: it closes, and a restart changes nothing."""

import dataclasses
import json
import sqlite3

import pytest

from samjax.data.synthetic import SceneConfig
from samjax.engine.simulation.annotator import AnnotatorConfig
from samjax.engine.simulation.config import SimulationConfig
from samjax.engine.simulation.rounds import simulate
from samjax.files import WouldReplace

pytestmark = pytest.mark.slow

CONFIG = SimulationConfig(
    rounds=3,
    images=2,
    gold=2,
    steps=2,
    points_per_side=4,
    # Lenient, so that a model that was hardly trained has proposals to show.
    precision=0.01,
    annotator=AnnotatorConfig(max_clicks=2),
    scenes=SceneConfig(size=64, num_masks=4),
)


class Stopped(Exception):
    pass


def stop_at(text: str):
    def show(line: str) -> None:
        if text in line:
            raise Stopped

    return show


def masks_of(path):
    connection = sqlite3.connect(path / "annotations.sqlite3")
    rows = connection.execute(
        "SELECT uuid, image, counts, clicks, stage, round, model FROM annotations"
    ).fetchall()
    connection.close()
    return sorted(rows)


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return simulate(*tiny_model, out, CONFIG), out


def test_every_round_has_its_figures(whole):
    result, out = whole
    written = json.loads((out / "result.json").read_text())
    assert written.pop("made_with").startswith("samjax")
    assert written == json.loads(json.dumps(result))
    assert [entry["stage"] for entry in result["rounds"]] == [1, 1, 2]
    for entry in result["rounds"]:
        assert entry["seconds_per_mask"] > 3 and 0 < entry["clicks_per_mask"] <= 2
        assert 0 < entry["masks_per_image"] <= entry["objects_per_image"]
        assert 0 <= entry["audit_share_over_90"] <= 1
    assert len(masks_of(out)) == sum(entry["masks"] for entry in result["rounds"])
    used = {(row[5], row[6]) for row in masks_of(out)}
    assert len({model for number, model in used if number == 1}) == 1


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("round 1 of 3, stage 1: scene", marks=pytest.mark.exhaustive),
        "round 2 of 3, stage 1: training",
    ],
)
def test_a_restart_changes_nothing(whole, tiny_model, tmp_path, place):
    result, out = whole
    with pytest.raises(Stopped):
        simulate(*tiny_model, tmp_path, CONFIG, stop_at(place))
    assert simulate(*tiny_model, tmp_path, CONFIG) == result
    assert masks_of(tmp_path) == masks_of(out)


def test_a_loop_of_another_config_is_refused(whole, tiny_model):
    _, out = whole
    other = dataclasses.replace(CONFIG, seed=5)
    with pytest.raises(ValueError, match="another config"):
        simulate(*tiny_model, out, other)


def test_a_file_of_somebody_else_is_not_replaced(tiny_model, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WouldReplace):
        simulate(*tiny_model, tmp_path, CONFIG)
    assert (tmp_path / "config.json").read_text() == "{}"

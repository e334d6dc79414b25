"""The suite of edges on drawn photos: scores, processes, and resuming after a kill."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boundary_set_files import outlines, write_bsds, write_file_layout
from PIL import Image
from small_photo_set import ColorSegmenter

from samjax.evaluation.datasets.boundary_sets import open_boundary_set
from samjax.evaluation.edge_detectors import CANNY
from samjax.evaluation.kept_images import KeptImages
from samjax.evaluation.policies.edge_maps import EdgeMaps
from samjax.evaluation.result import Result
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import OptionError
from samjax.evaluation.suites.edges import EdgeDetection, edge_suite

pytest.importorskip("cv2", reason="the suite of edges needs the extra `eval`")


@dataclasses.dataclass
class Outlines:
    """A detector that knows the truth of the drawn photos, by their pixels."""

    strength: float = 1.0
    calls: int = 0
    stop_at: int | None = None

    prompt_kinds = frozenset()

    def describe(self) -> Mapping[str, Any]:
        return {"name": "outlines"}

    def detect_edges(self, image, name=""):
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        number = 36 - int(np.flatnonzero((image[:, 20] > 120).any(axis=1)).max() + 1)
        return outlines(number)[0] * np.float32(self.strength)


# In pixels of the drawn photos 2.4, where the default would be below one.
NEAR = 0.03


def suite_of(folder, image_size=None, **options):
    options = {"workers": 1, "max_distance": NEAR} | options
    return EdgeDetection(**options).make([folder], image_size)


def untimed(result: Result) -> dict:
    return dataclasses.asdict(
        dataclasses.replace(
            result,
            sets=tuple(dataclasses.replace(part, seconds=0.0) for part in result.sets),
        )
    )


def test_the_true_outlines_have_the_best_scores(tmp_path):
    suite = suite_of(write_file_layout(tmp_path / "set", 3))
    result = evaluate(suite, Outlines())
    assert set(result.scores) == {"ods", "ois", "ap", "r50"}
    assert result.scores["ods"] == result.scores["ois"] == result.scores["r50"] == 1.0
    # A perfect binary map has one recall.
    assert result.scores["ap"] == 0.0
    images = result.sets[0].details["edges"]["images"]
    assert [image["f"] for image in images] == [1.0] * 3
    assert not result.intervals and result.sets[0].images == 3


@pytest.mark.parametrize("write", [write_file_layout, write_bsds])
def test_canny_finds_the_outlines(write, tmp_path):
    result = evaluate(suite_of(write(tmp_path / "set")), CANNY)
    assert result.scores["ods"] > 0.9 and result.model["name"] == "canny"
    assert result.protocol["max_distance"] == NEAR
    assert not any("boundary of a mask" in text for text in result.deviations)


def test_a_promptable_model_is_scored_from_its_masks(tmp_path):
    folder = write_file_layout(tmp_path / "set")
    result = evaluate(suite_of(folder, 64, points_per_side=4), ColorSegmenter())
    assert result.scores["ods"] > 0.9
    text = "\n".join(result.deviations)
    assert "outer boundary of a mask" in text and "4 x 4 points" in text
    assert result.protocol["points_per_side"] == 4


def test_processes_give_the_same_result(tmp_path):
    folder = write_file_layout(tmp_path / "set", 5)
    (folder / "images/2.png").unlink()
    one, two = (evaluate(suite_of(folder, workers=count), CANNY) for count in (1, 2))
    assert untimed(one) == untimed(two)
    assert list(one.sets[0].skipped) == ["missing photo"] and one.sets[0].images == 4


def test_a_killed_evaluation_goes_on_and_gives_the_same_result(tmp_path):
    suite = suite_of(write_file_layout(tmp_path / "set", 4))
    file, name = tmp_path / "result.images.jsonl", {"suite": "edges"}
    with pytest.raises(KeyboardInterrupt), KeptImages(file, name) as kept:
        evaluate(suite, Outlines(stop_at=2), kept=kept)
    # As if the kill had come in the middle of a line.
    with open(file, "ab") as end:
        end.write(file.read_bytes()[-40:-7])
    calls = []
    detector = Outlines()
    with KeptImages(file, name) as kept:
        result = evaluate(
            suite,
            detector,
            kept=kept,
            on_image=lambda: calls.append("new"),
            on_kept=lambda: calls.append("kept"),
        )
    assert calls == ["kept", "kept", "new", "new"] and detector.calls == 2
    assert untimed(result) == untimed(evaluate(suite, Outlines()))
    lines = file.read_bytes().splitlines()
    assert len(lines) == 5 and all(map(json.loads, lines))


def test_records_of_another_evaluation_or_of_changed_images_are_not_used(tmp_path):
    folder, file = write_file_layout(tmp_path / "set"), tmp_path / "a.images.jsonl"

    def measured(name: str) -> int:
        detector = Outlines()
        with KeptImages(file, {"model": name}) as kept:
            evaluate(suite_of(folder), detector, kept=kept)
        return detector.calls

    assert [measured(name) for name in ("a", "a", "b", "a")] == [2, 0, 2, 2]
    (folder / "boundaries/0.png").write_bytes(
        (folder / "boundaries/1.png").read_bytes()
    )
    assert measured("a") == 1
    file.write_text("notes of the user\n")
    with pytest.raises(FileExistsError, match="no result of"):
        KeptImages(file, {})
    assert file.read_text() == "notes of the user\n"


@pytest.mark.parametrize(
    ("options", "segmenter", "text"),
    [
        ({}, "grabcut", "--segmenter grabcut"),
        ({"images": 0}, "canny", "--images 0"),
        ({"workers": 0}, "canny", "--workers 0"),
        ({"thresholds": 0}, "canny", "--thresholds 0"),
        ({}, "saved", "--results"),
        ({"results": Path("maps")}, "canny", "--segmenter saved"),
        ({"points_per_side": 0}, "samjax", "--points-per-side 0"),
        ({"nms": 1.5}, "samjax", "--nms 1.5"),
        ({"max_distance": -1.0}, "canny", "--max-distance -1.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, segmenter, text, tmp_path):
    with pytest.raises(OptionError, match=text):
        EdgeDetection(**options).check([tmp_path], segmenter)
    with pytest.raises(OptionError, match="--data"):
        EdgeDetection().check([], "canny")


def test_saved_maps_score_as_their_detector_does(tmp_path):
    folder, maps = write_file_layout(tmp_path / "set", 3), tmp_path / "maps"
    maps.mkdir()
    dataset = open_boundary_set(folder)
    for index in range(len(dataset)):
        sample = dataset[index]
        levels = np.rint(255 * CANNY.detect_edges(sample.image)).astype(np.uint8)
        Image.fromarray(levels).save(maps / f"{Path(sample.name).stem}.png")
    options = EdgeDetection(results=maps, workers=1, max_distance=NEAR, thresholds=4)
    options.check([folder], "saved")
    saved = evaluate(options.make([folder], None), options.saved())
    direct = evaluate(suite_of(folder, thresholds=4), CANNY)
    assert saved.scores == direct.scores
    assert saved.protocol["thresholds"] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert saved.model["maps"] == 3


def test_the_suite_is_a_value_of_the_library_too(tmp_path):
    dataset = open_boundary_set(write_file_layout(tmp_path / "set", 1))
    policy = EdgeMaps(boundary="both", edge_nms="none")
    suite = edge_suite([dataset], policy, max_distance=0.011)
    text = "\n".join(suite.deviations)
    assert "both sides" in text and "no edge NMS" in text and "0.011" in text

"""Evaluations that were killed give the same result, whatever the suite and the step."""

import os
import signal
import subprocess
import sys

import pytest
from small_suites import SUITES, content_of_result

from samjax.evaluation.kept_images import KeptImages
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites import SUITES as ALL_SUITES

pytest.importorskip("cv2", reason="suites need the extra `eval`")
pytest.importorskip("pycocotools", reason="suites need the extra `eval`")


def test_every_suite_is_tried():
    assert set(ALL_SUITES) <= {*SUITES, "coverage"}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_is_interrupted_after_any_image_goes_on(name, tmp_path):
    case = SUITES[name]
    suite = case.open(tmp_path)
    whole = content_of_result(evaluate(suite, case.segmenter()), tmp_path)

    class Stop(Exception):
        pass

    def stop():
        raise Stop

    for done in range(len(suite)):
        file = tmp_path / f"{done}.images.jsonl"
        for _ in range(done):
            # A run that measures one image more than the one before.
            with pytest.raises(Stop), KeptImages(file, {"suite": name}) as kept:
                evaluate(suite, case.segmenter(), kept=kept, on_image=stop, on_kept=int)
        if done:
            with open(file, "ab") as end:
                end.write(file.read_bytes()[-40:-7])
        with KeptImages(file, {"suite": name}) as kept:
            calls = [0]
            result = evaluate(
                suite,
                case.segmenter(),
                kept=kept,
                on_kept=lambda to=calls: to.append(1),
            )
        assert sum(calls) == done
        assert content_of_result(result, tmp_path) == whole


PROGRAM = """
import os, pathlib, signal, sys
from small_suites import SUITES
from samjax.evaluation.kept_images import KeptImages
from samjax.evaluation.suite import evaluate

case = SUITES["fairness"]
folder = pathlib.Path(sys.argv[1])
with KeptImages(folder / "result.images.jsonl", {"suite": "fairness"}) as kept:
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    evaluate(case.open(folder), case.segmenter(), kept=kept, on_image=kill)
"""


@pytest.mark.skipif(os.name == "nt", reason="processes are killed by signals")
def test_a_process_that_is_killed_leaves_its_records(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    ended = subprocess.run(words, check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    (tmp_path / "whole").mkdir()
    case = SUITES["fairness"]
    suite = case.open(tmp_path / "whole")
    whole = content_of_result(evaluate(suite, case.segmenter()), tmp_path)
    kept_images = []
    with KeptImages(tmp_path / "result.images.jsonl", {"suite": "fairness"}) as kept:
        result = evaluate(
            suite,
            case.segmenter(),
            kept=kept,
            on_kept=lambda: kept_images.append(1),
        )
    assert len(kept_images) == 1
    assert content_of_result(result, tmp_path) == whole

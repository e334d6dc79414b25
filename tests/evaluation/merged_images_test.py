"""Shares of an evaluation merge to the result of one process, or are refused in words."""

import re

import pytest
from small_photo_set import TWO, write_set
from small_suites import SUITES, PartSegmenter, content_of_result

from samjax.data.share import Share
from samjax.evaluation.kept_images import KeptImages
from samjax.evaluation.merged_images import MergedImages, find_shares, share_file
from samjax.evaluation.suite import evaluate, measure_share
from samjax.evaluation.suites.single_point import SinglePoint

pytest.importorskip("cv2", reason="suites need the extra `eval`")
pytest.importorskip("pycocotools", reason="suites need the extra `eval`")

NAME = "result.images.jsonl"

EVALUATION = {
    "suite": "single-point",
    "suite_version": 1,
    "protocol": {"clicks": [1, 3], "seed": 0},
    "model": {"name": "small", "weights": "abc"},
    "versions": {"jax": "1.0"},
}


def measure(folder, suite, share, segmenter=None, evaluation=EVALUATION):
    """Measures a share into a folder, and returns the number of its images."""
    folder.mkdir(exist_ok=True)
    with KeptImages(share_file(folder / NAME, share), evaluation) as kept:
        return measure_share(suite, segmenter or PartSegmenter(), kept, share)


def merged(*folders, evaluation=EVALUATION):
    return MergedImages(find_shares(folders, NAME), evaluation)


@pytest.mark.parametrize("name", SUITES)
def test_merged_shares_give_the_result_of_one_process(name, tmp_path):
    case = SUITES[name]
    suite = case.open(tmp_path)
    whole = content_of_result(evaluate(suite, case.segmenter()), tmp_path)
    counts = [
        measure(tmp_path / "out", suite, Share(index, 2), case.segmenter())
        for index in range(2)
    ]
    assert all(counts)
    new = []
    result = evaluate(
        suite,
        case.segmenter(),
        kept=merged(tmp_path / "out"),
        on_image=lambda: new.append(1),
        on_kept=int,
    )
    assert not new and content_of_result(result, tmp_path) == whole


@pytest.fixture
def suite(tmp_path):
    return SinglePoint(min_area=1).make([write_set(tmp_path / "set", [TWO] * 4)], None)


def test_more_shares_than_images_are_merged_too(suite, tmp_path):
    counts = [measure(tmp_path / "out", suite, Share(index, 6)) for index in range(6)]
    assert counts == [1, 1, 1, 1, 0, 0]
    assert evaluate(suite, PartSegmenter(), kept=merged(tmp_path / "out")).sets


def test_shares_may_be_in_several_folders(suite, tmp_path):
    for index in range(2):
        measure(tmp_path / str(index), suite, Share(index, 2))
    folders = [tmp_path / "0", tmp_path / "1"]
    assert evaluate(suite, PartSegmenter(), kept=merged(*folders)).sets[0].images == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": "edges"}, 'suite "edges", expected "single-point"'),
        ({"suite_version": 2}, "suite_version 2, expected 1"),
        ({"model": {"name": "small", "weights": "xyz"}}, 'model.weights "xyz"'),
        ({"protocol": {"clicks": [1], "seed": 0}}, r"protocol.clicks \[1\]"),
        ({"protocol": {"clicks": [1, 3]}}, "protocol.seed null, expected 0"),
        ({"versions": {"jax": "2.0"}}, 'versions.jax "2.0", expected "1.0"'),
    ],
)
def test_what_differs_is_named_and_not_merged(change, said, suite, tmp_path):
    other = EVALUATION | change
    measure(tmp_path / "out", suite, Share(0, 2))
    measure(tmp_path / "out", suite, Share(1, 2), evaluation=other)
    with pytest.raises(ValueError, match=f"share-1-of-2.*{said}"):
        merged(tmp_path / "out")
    measure(tmp_path / "out", suite, Share(1, 2))
    if "versions" in change:
        # The merge may run on another machine.
        found = merged(tmp_path / "out", evaluation=other)
        assert found.versions == EVALUATION["versions"]
        return
    with pytest.raises(ValueError, match=f"this command: got {said}"):
        merged(tmp_path / "out", evaluation=other)


def test_missing_double_and_mixed_shares_are_named(suite, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ValueError, match=re.escape("result.share-0-of-4.images.jsonl")):
        merged(out)
    for index in (0, 2):
        measure(out, suite, Share(index, 4))
    with pytest.raises(ValueError, match="got 2 of 4 shares, expected 1, 3 too"):
        merged(out)
    measure(tmp_path / "more", suite, Share(0, 4))
    with pytest.raises(ValueError, match="share 0/4 twice"):
        merged(out, tmp_path / "more")
    measure(tmp_path / "other", suite, Share(0, 2))
    with pytest.raises(ValueError, match="of 2 and of 4 parts"):
        merged(out, tmp_path / "other")
    share_file(out / NAME, Share(1, 4)).write_text("damaged\n")
    with pytest.raises(ValueError, match="run it again with --share 1/4"):
        merged(out)


def test_unfinished_shares_and_changed_data_are_named(suite, tmp_path):
    out = tmp_path / "out"
    for index in range(2):
        measure(out, suite, Share(index, 2))
    other = SinglePoint(min_area=1).make(
        [write_set(tmp_path / "b" / "set", [TWO] * 3 + [TWO[:1]])], None
    )
    with pytest.raises(ValueError, match=r"images/003.png of set.*other pixels"):
        evaluate(other, PartSegmenter(), kept=merged(out))
    file = share_file(out / NAME, Share(1, 2))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"images/003.png of set.*not finished"):
        evaluate(suite, PartSegmenter(), kept=merged(out))

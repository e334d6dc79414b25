"""Statistics of tars and TFDS datasets."""

import json

import numpy as np
import pytest
from data.tfds.small_tars import dataset_of, members, record, write_tar

from samjax.data.examples import RawExample
from samjax.data.sa1b.tars import TarSource
from samjax.data.tfds.layout import BuildConfig
from samjax.data.tfds.source import TfdsSource
from samjax.data.tfds.stats import Statistics, spread_out


def counted(source, number=None) -> dict:
    counts = Statistics()
    for raw in spread_out(source, number):
        counts.add(raw)
    return counts.summary()


@pytest.fixture
def tar(tmp_path):
    content = members(range(3), masks=2) | members(range(3, 6), masks=5)
    return write_tar(tmp_path / "sa_0.tar", content)


def test_counts_are_those_of_the_records(tar):
    summary = counted(TarSource([tar]))
    assert (summary["images"], summary["masks"], summary["bad_examples"]) == (6, 21, 0)
    assert summary["masks_per_image"] == {
        "mean": 3.5,
        "min": 2,
        "p5": 2,
        "p50": 2,
        "p95": 5,
        "max": 5,
    }
    records = [record(number, masks=2 if number < 3 else 5) for number in range(6)]
    masks = [one for each in records for one in each["annotations"]]
    for name in ("predicted_iou", "stability_score"):
        expected = np.mean([one[name] for one in masks])
        np.testing.assert_allclose(summary[f"{name}_mean"], expected)
    shares = summary["relative_mask_size"]["shares"]
    # All masks have 9 x 14 of 48 x 72 pixels: a side of 0.191 of the image's.
    assert shares[9] == 1 and sum(shares) == 1
    edges = summary["relative_mask_size"]["edges"]
    assert edges[9] <= np.sqrt(9 * 14 / (48 * 72)) < edges[10]
    json.dumps(summary, allow_nan=False)


def test_statistics_of_a_dataset_match_its_tars_except_for_image_sizes(tar, tmp_path):
    folder = dataset_of([tar], tmp_path / "out", BuildConfig(long_side=36, parts=2))
    ours, theirs = counted(TfdsSource(folder)), counted(TarSource([tar]))
    assert ours.pop("stored_long_side")["max"] == 36
    assert theirs.pop("stored_long_side")["max"] == 72
    assert ours.pop("image_bytes_mean") != theirs.pop("image_bytes_mean")
    assert ours == theirs


def test_a_sample_is_spread_over_the_whole_source(tar):
    source = TarSource([tar])
    assert list(spread_out(source, 3)) == [source[0], source[2], source[4]]
    assert list(spread_out(source, 99)) == [source[index] for index in range(6)]


@pytest.mark.parametrize(
    "raw",
    [
        RawExample("a", None, b"{}"),
        RawExample("a", b"x", None),
        RawExample("a", b"x", b"{"),
        RawExample("a", b"no image", json.dumps(record(1)).encode()),
    ],
)
def test_unreadable_examples_are_counted_as_bad(raw):
    counts = Statistics()
    counts.add(raw)
    assert (counts.images, counts.masks, counts.bad) == (0, 0, 1)
    json.dumps(counts.summary(), allow_nan=False)

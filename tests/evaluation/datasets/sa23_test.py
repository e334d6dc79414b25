"""The 23 sets of SAM: every reader on the true layout with one defect, and the table."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from published_set_files import WRITERS, write_ade20k, write_visor
from small_photo_set import TWO, square

from samjax.evaluation.datasets.dataset import Dataset, Skipped
from samjax.evaluation.datasets.sa23 import SA23, VARIANTS
from samjax.evaluation.datasets.selection import Selection

pytest.importorskip("cv2", reason="connected regions need the extra `eval`")

ANY_SIZE = Selection(min_area=1)


def read(dataset):
    """All samples, and the number of parts left out by reason."""
    samples, skipped = [], list(dataset.skipped)
    for index in range(len(dataset)):
        sample = dataset[index]
        if isinstance(sample, Skipped):
            skipped.append(sample)
        else:
            samples.append(sample)
            skipped += sample.skipped
    return samples, skipped


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_is_read_as_distributed_and_its_defect_is_named(tmp_path, name):
    if name == "hypersim" and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed, which reads this set")
    areas, reasons = WRITERS[name](tmp_path)
    dataset = SA23[name].open(tmp_path, ANY_SIZE)
    assert isinstance(dataset, Dataset) and dataset.name == SA23[name].title
    samples, skipped = read(dataset)
    found = [int(mask.sum()) for sample in samples for mask in sample.targets]
    assert found == areas
    assert Counter(part.reason for part in skipped) == reasons
    assert all(part.name for part in skipped)
    assert len({sample.name for sample in samples}) == len(samples)
    for sample in samples:
        for mask, record in zip(sample.targets, sample.objects, strict=True):
            assert record["area"] == mask.sum() and record["photo"] == sample.name
            if mask.shape == TWO[0].shape:
                assert any(not (mask & ~whole).any() for whole in TWO)


def test_every_set_of_the_paper_has_a_row_and_a_reader():
    assert list(SA23) == list(WRITERS)
    papers = [row.paper for row in SA23.values() if row.paper]
    # The sums of table 7.
    assert sum(paper.images for paper in papers) == 40_188
    assert sum(paper.masks for paper in papers) == 172_653
    mean = np.mean([paper.above_ritm for paper in papers])
    assert mean == pytest.approx(9.24, abs=0.01)
    for row in SA23.values():
        assert row.page.startswith("http") and row.licence and row.split
        assert all(part.url.startswith("https://") for part in row.files)


def test_the_page_of_the_sets_has_the_rows_of_the_table():
    page = Path(__file__).parents[3] / "docs" / "evaluation_sets.md"
    lines = page.read_text().splitlines()
    for name, row in SA23.items():
        (line,) = (one for one in lines if one.startswith(f"| `{name}` |"))
        assert row.page in line and row.licence in line and row.split in line
        assert row.paper is not None
        assert f"{row.paper.masks:,}, {row.paper.above_ritm:+.1f}" in line
        assert ("(sampled)" in line) == row.is_sampled


def test_parts_of_objects_are_left_out_of_the_variant(tmp_path):
    write_ade20k(tmp_path)
    samples, skipped = read(VARIANTS["ade20k-objects"].open(tmp_path, ANY_SIZE))
    (sample,) = samples
    np.testing.assert_array_equal(sample.targets, TWO)
    assert not skipped and sample.objects[0]["category"] == f"object {25 * 256 + 7}"


def test_polygons_of_another_frame_are_scaled_to_the_photo(tmp_path):
    write_visor(tmp_path)
    (sample,), _ = read(SA23["visor"].open(tmp_path, ANY_SIZE))
    expected = square(5, 5, 22, (60, 120))
    np.testing.assert_array_equal(sample.targets[0], expected)


@pytest.mark.parametrize("name", WRITERS)
def test_another_folder_is_refused_with_what_was_expected(tmp_path, name):
    (tmp_path / "other").mkdir()
    with pytest.raises((ValueError, OSError)):
        SA23[name].open(tmp_path / "other", ANY_SIZE)
